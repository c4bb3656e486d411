"""The whole role, played by an ordinary user who may become nobody else: the database's OS user, without sudo."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import programs_of
from ansible_collections.pgfleet.standby.tests.servers.servers import as_user, free_port
from ansible_collections.pgfleet.standby.tests.waiting import BOUND

MAJOR = 16
# The interpreter of the tests may be in a home that is closed to others; Debian's is of the same version.
PYTHON = {"ansible_python_interpreter": "/usr/bin/python3"}
PLAY = {
    "hosts": "all",
    "gather_facts": False,
    "environment": {"PYTHONPATH": str(Path(psycopg2.__file__).parents[1])},
    "pre_tasks": [
        {
            "name": "Make directories as the role does before a copy",
            "pgfleet.standby.standby_directories": {
                "data_directory": "{{ standby_from_barman_data_directory }}.next",
                "tablespaces": [{"name": "fast", "location": "{{ standby_from_barman_data_directory }}.fast"}],
                "os_user": "{{ standby_from_barman_os_user }}",
            },
            "become": True,
            "become_user": "root",
        }
    ],
    "roles": ["pgfleet.standby.standby_from_barman"],
}


@dataclass
class Login:
    """A home of the servers' user, and plays that run as that user. ``become`` asks for another user in vain."""

    home: Path
    inputs: dict[str, object]

    def play(self, *options: str) -> tuple[int, str]:
        inputs = {f"standby_from_barman_{name}": value for name, value in self.inputs.items()}
        files = {"play.json": [PLAY], "inputs.json": {**inputs, **PYTHON}}
        for name, content in files.items():
            (self.home / name).write_text(json.dumps(content), encoding="utf-8")
        as_user(self.home)
        account = pwd.getpwnam("nobody")
        prefix = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        argv = ["ansible-playbook", "-i", "n1,", "-c", "local", "-e", "@inputs.json", *options, "play.json"]
        # Not into a pipe, which a server that is started may hold open.
        with (self.home / "said").open("w+", encoding="utf-8") as said:
            done = subprocess.run(
                [*(prefix if os.geteuid() == 0 else []), *argv],
                cwd=self.home,
                env={**os.environ, "HOME": str(self.home), "ANSIBLE_REMOTE_TMP": str(self.home / "tmp")},
                stdout=said,
                stderr=said,
                timeout=BOUND,
                check=False,
            )
        return done.returncode, (self.home / "said").read_text(encoding="utf-8")


def with_basebackup(home: Path, programs: Path) -> Path:
    """The servers' programs, and one that is looked for and not called: the cluster is there."""
    bindir = home / "bin"
    bindir.mkdir()
    for program in programs.iterdir():
        (bindir / program.name).symlink_to(program)
    basebackup = bindir / "pg_basebackup"
    basebackup.write_text(f"#!/bin/sh\necho pg_basebackup (PostgreSQL) {MAJOR}.0\n", encoding="utf-8")
    basebackup.chmod(0o755)
    return bindir


@pytest.fixture
def login(fleet: Fleet) -> Iterator[Login]:
    primary = fleet.primary(MAJOR)
    home = fleet.place("login")
    standby = primary.copy(home / "data")
    standby.make_standby({})
    user = pwd.getpwnam("nobody").pw_name if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    inputs = {
        "method": "pg_basebackup",
        "os_user": user,
        "data_directory": str(standby.data),
        "pg_bindir": str(with_basebackup(home, programs_of(MAJOR))),
        "overwrite": "same_cluster",
        "upstream_conninfo": primary.conninfo,
        "restore_command": "none",
        "login_user": "postgres",
        "passfile": str(home / "passfile"),
        "settings": {"port": str(free_port()), "unix_socket_directories": str(home)},
        "application_name": "without_root",
        "wait_timeout": 60,
    }
    yield Login(home, inputs)
    if (standby.data / "postmaster.pid").exists():
        pid = int((standby.data / "postmaster.pid").read_text(encoding="utf-8").split("\n")[0])
        os.kill(pid, 2)
    primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'without_root'")


def test_a_standby_is_made_and_left_alone_without_any_right_of_root(login: Login) -> None:
    code, said = login.play("-e", "ansible_become=false")
    assert code == 0, said
    assert "unreachable=0    failed=0" in said
    code, said = login.play("-e", "ansible_become=false")
    assert (code, "changed=0" in said) == (0, True), said


def test_what_only_root_may_make_is_refused_before_anything_changes(login: Login) -> None:
    login.inputs["data_directory"] = "/srv/of-root/data"
    code, said = login.play("-e", "ansible_become=false")
    assert code != 0
    assert "directory_" in said, said
    assert "changed=0" in said, said
