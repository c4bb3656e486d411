"""Real plays on this machine, with secrets that would be found wherever they come to light."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import is_secret
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import RELEASES, programs_of
from ansible_collections.pgfleet.standby.tests.waiting import BOUND

MAJOR = 17
# Seconds between two looks at what is soon gone.
LOOK = 0.005
CANARY = "canary7Hq2"
PASSWORD, PASSPHRASE = f"{CANARY}-password", f"{CANARY}-passphrase"

# Each with all that it can be told of secrets. What fails, fails with its messages.
TASKS = """
- hosts: localhost
  gather_facts: false
  vars_files: [vars.yml]
  module_defaults:
    group/pgfleet.standby.upstream:
      upstream_conninfo: "{{ conninfo }}"
      upstream_password: "{{ password }}"
      passfile: "{{ top }}/passfile"
    group/pgfleet.standby.cluster:
      data_directory: "{{ top }}/standby"
      pg_bindir: "{{ bindir }}"
  tasks:
    - name: Look
      pgfleet.standby.standby_info:
      register: look
    - name: Plan
      pgfleet.standby.standby_preflight:
        application_name: n1
        method: pg_basebackup
        slot_name: wanted
        slot_created: true
        tablespace_mapping: {/srv/data: "{{ top }}/standby tablespace"}
      ignore_errors: true
      register: plan
    - name: Settle
      pgfleet.standby.standby_recovery:
        application_name: n1
        restore_command: none
        use_primary_conninfo_password: "{{ item }}"
      loop: [false, true]
      async: 300
      poll: 1
      diff: true
      register: settle
    - name: Look for drift
      pgfleet.standby.standby_drift_info:
        application_name: n1
        restore_command: none
      register: drift
    - name: Fail
      pgfleet.standby.standby_info:
        upstream_conninfo: "host=/nowhere password={{ password }} nonsense={{ password }}"
      ignore_errors: true
      register: fail
    - name: Keep what was registered
      ansible.builtin.copy:
        content: "{{ {'look': look, 'plan': plan, 'settle': settle, 'drift': drift, 'fail': fail} | to_json }}"
        dest: "{{ top }}/registered.json"
        mode: "0600"
"""

# What a directory needs to be taken for a standby that does not run.
OF_STANDBY = ("PG_VERSION", "global/pg_control", "standby.signal", "postgresql.conf", "postgresql.auto.conf")


@dataclass
class Seen:
    """What came to light while a play ran, by its place."""

    texts: dict[str, str] = field(default_factory=dict)
    registered: dict[str, Any] = field(default_factory=dict)

    def leaks(self, word: str) -> list[str]:
        """The places that show a word, with a bit of what is around it."""
        found = []
        for place, text in self.texts.items():
            at = text.find(word)
            if at >= 0:
                found.append(f"{place}: {text[max(0, at - 100) : at + 50]}")
        return found


@contextmanager
def watched(seen: Seen, results: Path) -> Iterator[None]:
    """The arguments of all processes, and the files of asynchronous tasks, which go soon: looked at again and again."""
    arguments: set[str] = set()
    files: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with suppress(OSError):
                    arguments.add(Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace"))
            for path in results.rglob("*"):
                with suppress(OSError):
                    files.add(path.read_text(encoding="utf-8"))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        seen.texts.update({"arguments of processes": "\n".join(arguments), "async": "\n".join(files)})


def play(fleet: Fleet, top: Path, conninfo: Any, password: str) -> Seen:
    """Run it with all that may tell of a secret."""
    seen = Seen()
    for name in OF_STANDBY:
        (top / "standby" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(fleet.standby(MAJOR).data / name, top / "standby" / name)
    (top / "vars.yml").write_text(
        json.dumps(
            {
                "conninfo": conninfo,
                "password": password,
                "top": str(top),
                "bindir": str(programs_of(MAJOR)),
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
            }
        ),
        encoding="utf-8",
    )
    (top / "play.yml").write_text(TASKS, encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "1",
        "ANSIBLE_LOG_PATH": str(top / "log"),
        "ANSIBLE_ASYNC_DIR": str(top / "async"),
        "ANSIBLE_LOCALHOST_WARNING": "0",
    }
    with watched(seen, top / "async"):
        done = subprocess.run(
            ["ansible-playbook", "-vvv", "-i", "localhost,", str(top / "play.yml")],
            env=environment,
            cwd=top,
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )
    seen.texts.update(stdout=done.stdout, stderr=done.stderr, log=(top / "log").read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    seen.texts["registered"] = (top / "registered.json").read_text(encoding="utf-8")
    seen.registered = json.loads(seen.texts["registered"])
    return seen


def as_string(keywords: dict[str, str]) -> str:
    """Another form of the same conninfo."""
    return " ".join(f"{name}={value}" for name, value in keywords.items())


@pytest.mark.parametrize(
    ("more", "form"),
    [
        pytest.param({}, dict, id="dictionary"),
        pytest.param({"sslpassword": PASSPHRASE}, as_string, id="string with another", marks=pytest.mark.long),
    ],
)
def test_no_secret_comes_to_light(fleet: Fleet, tmp_path: Path, more: dict[str, str], form: Any) -> None:
    seen = play(fleet, tmp_path, form({**fleet.primary(MAJOR).conninfo, **more}), PASSWORD)
    assert seen.leaks(CANARY) == []
    assert [place for place, text in seen.texts.items() if "Module did not set no_log" in text] == []
    assert "server_state" in seen.texts["async"]
    assert "standby_recovery" in seen.texts["arguments of processes"]
    assert seen.registered["plan"]["plan"]["data_directory"] == f"{tmp_path}/standby"
    conf = (tmp_path / "standby/postgresql.auto.conf").read_text(encoding="utf-8")
    assert all(word in conf for word in (PASSWORD, *more.values()))


def test_a_password_that_is_a_part_of_a_path_changes_no_path(fleet: Fleet, tmp_path: Path) -> None:
    seen = play(fleet, tmp_path, fleet.primary(MAJOR).conninfo, "standby")
    assert seen.registered["plan"]["plan"]["data_directory"] == f"{tmp_path}/standby"
    first, second = seen.registered["settle"]["results"]
    assert (first["passfile"], second["server_state"]) == (f"{tmp_path}/passfile", "started")
    assert seen.registered["look"]["pgdata"]["path"] == f"{tmp_path}/standby"
    assert seen.registered["look"]["pgdata"]["state"] == "standby"


# Keywords that libpq does not mark although they log in: the keys of SCRAM of PostgreSQL 18.
OF_US = {"scram_client_key", "scram_server_key", "oauth_client_secret"}

# Each keyword of a libpq and its mark, in a process of its own: versions of a library cannot be mixed in one.
ASKS_LIBPQ = """
import ctypes, sys
names = ("keyword", "envvar", "compiled", "val", "label", "dispchar")
fields = [*((name, ctypes.c_char_p) for name in names), ("size", ctypes.c_int)]
Option = type("Option", (ctypes.Structure,), {"_fields_": fields})
libpq = ctypes.CDLL(sys.argv[1])
libpq.PQconndefaults.restype = ctypes.POINTER(Option)
options, number = libpq.PQconndefaults(), 0
while options[number].keyword:
    print(options[number].keyword.decode(), options[number].dispchar.decode() or "-")
    number += 1
"""


@pytest.mark.parametrize("major", sorted(RELEASES))
def test_what_libpq_calls_a_secret_is_one_here(major: int) -> None:
    library = programs_of(major).parent / "lib" / "libpq.so.5"
    argv = [sys.executable, "-c", ASKS_LIBPQ, str(library)]
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=BOUND, check=True)
    marked = dict(line.split() for line in answer.stdout.splitlines())
    secret = {keyword for keyword, sign in marked.items() if sign == "*"}
    assert {"password"} <= secret
    assert [keyword for keyword in secret if not is_secret(keyword)] == []
    assert [keyword for keyword in marked if is_secret(keyword) and keyword not in secret | OF_US] == []
