"""standby_clone run on a lab host as its database user, without a controller between: for faults at exact moments."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import dataclass, field
from typing import Any

from lab import Lab
from modules import PLACE, Modules
from podman import BOUND
from standby_host import BINDIR, DATA, HOST, STATE

__all__ = ["FAST", "PLACE", "Clone", "recorded_as", "small_backup"]

FAST = "/srv/tablespaces/fast"


# The record of a finished copy becomes one of another phase, and its directories are known to it.
_RECORD = """\
import json, os, sys
path, phase = sys.argv[1:]
record = json.load(open(path))
places = [record["data_directory"], *record["targets"]]
run = None if phase == "rewinding" else "5f" * 16
roots = {place: [os.stat(place).st_dev, os.stat(place).st_ino] for place in places}
boot = open("/proc/sys/kernel/random/boot_id").read().strip()
record.update(phase=phase, marked={"run": run, "roots": roots, "boot": boot})
json.dump(record, open(path, "w"))
for place in places if run else ():
    with open(place + "/.pgfleet.mark", "w") as mark:
        mark.write(run + chr(10))
"""


def recorded_as(phase: str) -> str:
    """A shell command that turns the record of a finished copy into that of an unfinished one, or of a rewind."""
    return f"python3 -c {shlex.quote(_RECORD)} {STATE}/state.json {phase}"


def small_backup(name: str, directory: str, identifier: str, oid: str) -> dict[str, Any]:
    """A backup of a small cluster with a tablespace, as barman_backup_info would tell of it."""
    return {
        "backup_id": name,
        "status": "DONE",
        "server": "small",
        "version": 150000,
        "system_identifier": identifier,
        "tablespaces": [{"name": "fast", "oid": int(oid), "location": FAST}],
        "directory": f"{directory}/{name}",
    }


@dataclass
class Clone(Modules):
    """A host's clone. ``options`` are those of every call; the backup is the newest of the Barman server."""

    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def on(cls, lab: Lab, name: str = HOST, server: str = "pg") -> Clone:
        """Install the collection as it is in the checkout, and choose the backup."""
        clone = cls(lab, lab.host(name))
        clone.install()
        clone.options = {
            "barman_host": "barman@barman",
            "data_directory": DATA,
            "backup": clone.module(
                "barman_backup_info", barman_host="barman@barman", barman_server=server, backup_id="latest"
            )["selected"],
        }
        clone.empty()
        return clone

    def empty(self) -> None:
        """Empty directories and no trace of earlier copies."""
        self.host.run(["rm", "-rf", STATE, DATA, FAST])
        places = [os.path.dirname(DATA), DATA, os.path.dirname(FAST), FAST]
        self.host.run(["install", "-d", "-m", "700", "-o", "postgres", "-g", "postgres", *places])

    def run(self, **options: Any) -> dict[str, Any]:
        """standby_clone to its end; its result, whether it failed or not."""
        return self.module("standby_clone", **{**self.options, **options})

    def start(self, *prefix: str, module: str = "standby_clone", **options: Any) -> subprocess.Popen[str]:
        """A module in the background; ``finish`` takes its result."""
        command = self.argv(module, {**self.options, **options}, *prefix)
        return subprocess.Popen(
            self.host.command(command, "postgres"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.host.podman.env,
        )

    def finish(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """The result of what ``start`` began."""
        try:
            out, err = process.communicate(timeout=BOUND)
        finally:
            process.kill()
        return self._result(out, err)

    # --- what is there ---------------------------------------------------------------

    def progress(self) -> dict[str, Any]:
        """progress.json, empty while there is none."""
        done = self.host.run(["cat", f"{STATE}/progress.json"], check=False)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def state(self) -> dict[str, Any]:
        """state.json, empty when there is none."""
        done = self.host.run(["cat", f"{STATE}/state.json"], check=False)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def start_settings(self) -> dict[str, str]:
        """What the server needs beside its data directory: the primary's limits, and the WAL."""
        server = self.options["backup"]["server"]
        return {
            "max_connections": "200",
            "max_wal_senders": "50",
            "max_worker_processes": "50",
            "restore_command": f"ssh barman@barman barman get-wal {server} %f >%p",
        }

    def prepare_hasty_start(self) -> None:
        """A configuration that is not to blame if a server does not start on the data directory."""
        self.host.run(["mkdir", "-p", "/tmp/hasty"])
        # Without it a server first syncs a directory that another one left in a crash, file by file.
        settings = {"data_directory": DATA, "port": "6000", "fsync": "off", **self.start_settings()}
        self.host.write("/tmp/hasty/postgresql.conf", "".join(f"{k} = '{v}'\n" for k, v in settings.items()))
        self.host.write("/tmp/hasty/pg_hba.conf", "local all all trust\n")
        self.host.write("/tmp/hasty/pg_ident.conf", "")

    def try_to_start(self) -> tuple[int, str]:
        """What a hasty administrator would do: exit code and log."""
        self.prepare_hasty_start()
        self.host.run(["rm", "-f", "/tmp/hasty.log"])
        start = [
            f"{BINDIR}/pg_ctl",
            "start",
            "--wait",
            f"--timeout={BOUND:.0f}",
            "--pgdata=/tmp/hasty",
            "--log=/tmp/hasty.log",
        ]
        done = self.host.run(start, user="postgres", check=False)
        return done.returncode, self.host.run(["cat", "/tmp/hasty.log"], check=False).stdout + done.stderr

    def assert_unstartable(self) -> None:
        """I1: no server starts on what is there."""
        code, log = self.try_to_start()
        assert code != 0, log
        reasons = ("could not find the database system", "global/pg_control", "is not a valid data directory")
        assert any(reason in log for reason in reasons), log

    def assert_healthy(self) -> None:
        """The clone is whole: every file of the backup is there with its contents, and the server starts from it."""
        backup = self.options["backup"]["directory"]
        names = ["--exclude=/postgresql.auto.conf*", "--exclude=/*.signal", "--exclude=/pg_wal/*", "--exclude=/log/*"]
        names += ["--exclude=pg_internal.init", "--exclude=/postmaster.*", "--exclude=/pg_replslot/*"]
        names += ["--exclude=/tablespace_map", "--exclude=/recovery.signal", "--exclude=/pg_tblspc/*"]
        for source, target in (
            (f"{backup}/data/", DATA),
            *((f"{backup}/{t['oid']}/", FAST) for t in self._tablespaces()),
        ):
            argv = ["rsync", "-rcn", "--delete", "--out-format=%n", *names, f"barman@barman:{source}", f"{target}/"]
            listed = self.host.run(argv, user="postgres").stdout
            assert [line for line in listed.splitlines() if not line.endswith("/")] == [], listed
        assert self.state()["phase"] == "committed"
        code, log = self.try_to_start()
        assert code == 0, log
        stop = [f"{BINDIR}/pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={DATA}"]
        self.host.run(stop, user="postgres", check=False)

    def _tablespaces(self) -> list[dict[str, Any]]:
        return list(self.options["backup"]["tablespaces"])
