"""A standby without Barman: the role by pg_basebackup, and a copy that is killed at every moment that matters."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clone_on_host import FAST, Clone
from lab import Lab
from play import Playbook
from podman import BOUND
from standby_host import DATA, HOST, STATE

MAPPED = "/srv/ta ble=space's"
WALDIR = "/srv/wal of it"
SLOT = f"basebackup_{HOST}"
PLAY = {"method": "pg_basebackup", "host": "", "server": ""}

# Waits on the host until a copy is so far, then kills what copies; tells whether the password was to be seen.
KILL = """
import glob, os, pathlib, signal, sys, time

data, moment, names, password = sys.argv[1], sys.argv[2], sys.argv[3].encode(), sys.argv[4].encode()

def size():
    return sum(p.lstat().st_size for p in pathlib.Path(data).rglob("*") if p.is_file())

MOMENTS = {
    "in the middle": lambda: size() > 20 << 20,
    "pg_control is there": lambda: glob.glob(data + "/.pgfleet/[!g]*/global/pg_control"),
}
seen = False

def processes():
    global seen
    for process in pathlib.Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            # What starts the module here has its options for a moment, and is none of ours.
            seen = seen or (password in command and not command.split(bytes(1))[0] in (b"env", b"setpriv"))
            if any(name in command for name in names.split(b",")):
                yield int(process.name)

while not MOMENTS[moment]():
    list(processes())
    time.sleep(0.002)
for pid in processes():
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
print("seen" if seen else "hidden")
"""


@pytest.fixture
def elsewhere(lab: Lab) -> Iterator[None]:
    """The host as it was installed, before and after, and no slot left at the primary."""
    lab.reset(HOST)
    yield
    lab.reset(HOST)
    lab.host(HOST).run(["rm", "-rf", MAPPED, WALDIR])
    there = f"FROM pg_replication_slots WHERE slot_name = '{SLOT}' AND NOT active"
    lab.primary_sql(f"SELECT pg_drop_replication_slot(slot_name) {there}")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.long
def test_the_role_makes_a_standby_without_barman(lab: Lab, playbook: Playbook, tmp_path: Path) -> None:
    host, report = lab.host(HOST), tmp_path / "report.json"
    places = {"tablespace_mapping": {FAST: MAPPED}, "waldir": WALDIR, "slot_name": SLOT}
    options: dict[str, Any] = {**PLAY, **places, "bwlimit": 400_000, "report_path": str(report)}
    refused = playbook.run("--limit", HOST, "--check", **{**options, "pg_basebackup_options": ["-X", "none"]})
    assert "basebackup_option_refused" in refused.output, refused.output

    done = playbook.run("--limit", HOST, **{**options, "pg_basebackup_options": ["--label=a standby"]})
    assert done.rc == 0, done.output
    [record] = json.loads(report.read_text(encoding="utf-8"))
    assert (record["action"], record["method"], record["state"]) == ("clone", "pg_basebackup", "streaming"), record
    assert "WAL in Barman's archive" in record["not_checked"]
    links = host.run(["find", DATA, "-maxdepth", "2", "-type", "l", "-printf", "%f %l\n"]).stdout.splitlines()
    oid = lab.primary_sql("SELECT oid FROM pg_tablespace WHERE spcname = 'fast'")
    assert sorted(links) == sorted([f"pg_wal {WALDIR}", f"{oid} {MAPPED}"])
    assert not host.run(["sh", "-c", f"ls -d {DATA}/.pgfleet '{WALDIR}/.pgfleet' 2>/dev/null"], check=False).stdout
    assert lab.primary_sql(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{SLOT}'") == "t"
    assert "a standby" in host.run(["sh", "-c", f"cat {DATA}/backup_label* "]).stdout

    again = playbook.run("--limit", HOST, **options)
    assert (again.rc, again.recap[HOST]["changed"]) == (0, 0), again.output


class Base(Clone):
    """A host's copy by pg_basebackup."""

    def begin(self, **options: Any) -> subprocess.Popen[str]:
        command = self.argv("standby_basebackup", {**self.options, **options})
        podman = ["podman", "exec", "--user", "postgres", self.host.container, *command]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            podman, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, env=self.host.podman.env
        )

    def start_settings(self) -> dict[str, str]:
        """The primary's limits, and no WAL but what the copy brings."""
        return {"max_connections": "200", "max_wal_senders": "50", "max_worker_processes": "50"}

    def copy(self, **options: Any) -> dict[str, Any]:
        return self.module("standby_basebackup", **{**self.options, **options})


@pytest.fixture
def base(lab: Lab) -> Iterator[Base]:
    lab.reset(HOST)
    base = Base.on(lab)
    base.options = {
        "data_directory": DATA,
        "upstream_conninfo": {"host": "primary", "user": "replicator"},
        "application_name": HOST,
    }
    pgpass = base.host.read("/var/lib/postgresql/.pgpass")
    base.host.run(["mv", "/var/lib/postgresql/.pgpass", "/var/lib/postgresql/.pgpass.away"])
    base.options["upstream_password"] = pgpass.strip().rpartition(":")[2]
    yield base
    base.host.run(["mv", "/var/lib/postgresql/.pgpass.away", "/var/lib/postgresql/.pgpass"])
    lab.reset(HOST)


def test_a_copy_that_is_killed_starts_nowhere_and_the_next_one_is_whole(base: Base) -> None:
    """The server's password is never part of a command, whatever happens."""
    password = base.options["upstream_password"]
    wrong = base.copy(upstream_password="not the one that it is")
    assert wrong["error_code"] == "upstream_unreachable", wrong
    assert "not the one" not in json.dumps(wrong)
    assert base.state() == {}, "nothing was begun"

    for moment, names, limit in (
        # The lab's 435 MB would take more than a minute. pg_basebackup goes by itself.
        ("in the middle", "standby_basebackup", 6_000),
        ("pg_control is there", "standby_basebackup,pg_basebackup", 1_000_000),
    ):
        process = base.begin(bwlimit=limit)
        killed = base.host.run(["python3", "-", DATA, moment, names, password], input=KILL)
        process.communicate(timeout=BOUND)
        assert killed.stdout.split() == ["hidden"], moment
        assert base.state()["phase"] == "copying", moment
        assert base.try_to_start()[0] != 0, moment
        assert not base.host.exists(f"{DATA}/global/pg_control"), moment

    done = base.copy()
    assert (done.get("action"), done.get("verified")) == ("replace", "manifest"), done
    again = base.copy()
    assert (again["changed"], again["action"]) == (False, "none"), again
    assert not base.host.exists(f"{STATE}/work")
    assert base.host.run(["find", DATA, FAST, "-name", ".pgfleet*"]).stdout == ""
    code, log = base.try_to_start()
    assert code == 0, log
    assert base.host.run(["psql", "-XAtp6000", "-c", "SELECT pg_is_in_recovery()"], user="postgres").stdout == "t\n"
    base.host.run(["/usr/lib/postgresql/15/bin/pg_ctl", "stop", "-mfast", "-D", DATA], user="postgres")
