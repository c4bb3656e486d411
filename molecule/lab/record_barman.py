"""Record what real Barman versions answer, as fixtures for the parsers' tests.

Usage:
    record_barman.py VERSION... --into DIRECTORY

The version that is the lab's own is recorded from the lab's catalogue (`lab.py up --all-backups` first).
Any other is installed beside it, with a home and backups of its own, and removed again.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from lab import Lab
from podman import BOUND, Completed, LabError, run

KINDS = {"rsync": "pg", "postgres": "pg_postgres", "gzip": "pg_gzip"}
UNKNOWN_BACKUP = "20000101T000000"

# WAL comes by streaming alone: the primary's archive_command belongs to the lab's own Barman.
SERVER = """
[{name}]
description = recorded
conninfo = host=primary user=barman dbname=postgres
streaming_conninfo = host=primary user=streaming_barman dbname=postgres
streaming_archiver = on
slot_name = record_{name}
create_slot = auto
immediate_checkpoint = true
{method}
"""
METHODS = {
    "pg": "backup_method = rsync\nssh_command = ssh postgres@primary\nparallel_jobs = 2",
    "pg_postgres": "backup_method = postgres",
    "pg_gzip": "backup_method = postgres\nbackup_compression = gzip",
    "pg_empty": "backup_method = postgres\nminimum_redundancy = 1",  # so that one check fails
}


class Barman:
    """One Barman version on the Barman host, the lab's own or one installed beside it."""

    def __init__(self, lab: Lab, version: str) -> None:
        self.host, self.version = lab.barman, version
        self.own = self.host.run(["barman", "-v"], user="barman").stdout.split()[0] == version
        self.root = "/opt/barman" if self.own else f"/opt/barman-{version}"
        self.conf = "/etc/barman.conf" if self.own else f"/etc/barman-{version}.conf"
        self.home = "/var/lib/barman" if self.own else f"/var/lib/barman-{version}"

    def run(self, *argv: str, check: bool = True, timeout: float = BOUND) -> Completed:
        command = [f"{self.root}/bin/barman", "-c", self.conf, *argv]
        return self.host.run(command, user="barman", check=check, timeout=timeout)

    def install(self) -> None:
        with tempfile.TemporaryDirectory() as wheels:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            run([*pip, "--dest", wheels, f"barman=={self.version}"])
            self.host.podman("cp", f"{wheels}/.", f"{self.host.container}:{self.root}-wheels")
        self.host.run(["python3", "-m", "venv", "--system-site-packages", self.root])
        wheels_here = ["--find-links", f"{self.root}-wheels", f"barman=={self.version}"]
        self.host.run([f"{self.root}/bin/pip", "install", "--quiet", "--no-index", "--no-deps", *wheels_here])
        self.host.run(["install", "-d", "-o", "barman", "-g", "barman", self.home])
        head = f"[barman]\nbarman_user = barman\nbarman_home = {self.home}\nlog_file = {self.home}/barman.log\n"
        self.host.write(self.conf, head + "".join(SERVER.format(name=n, method=m) for n, m in METHODS.items()))

    def take_backups(self) -> None:
        self.run("cron")
        for server in KINDS.values():
            self.run("switch-wal", "--force", "--archive", "--archive-timeout", "300", server)
            self.run("backup", "--wait", "--wait-timeout", "300", server)

    def remove(self) -> None:
        for server in METHODS:
            self.run("receive-wal", "--stop", server, check=False)
            self.run("receive-wal", "--drop-slot", server, check=False)
        self.host.run(["rm", "-rf", self.root, f"{self.root}-wheels", self.conf, self.home])


def record(barman: Barman, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    (into / "version.txt").write_text(barman.run("-v").stdout)
    for kind, server in KINDS.items():
        suffix = "" if kind == "rsync" else f"-{kind}"
        answer(barman, into / f"list-backups{suffix}.json", "list-backups", server)
        answer(barman, into / f"show-backup-{kind}.json", "show-backup", server, "latest")
        backup_info(barman, into / f"backup-{kind}.info", server)
    answer(barman, into / "list-backups-empty.json", "list-backups", "pg_empty")
    answer(barman, into / "show-servers.json", "show-servers", "pg")
    answer(barman, into / "check.json", "check", "pg")
    answer(barman, into / "check-failed.json", "check", "pg_empty", rc=1)
    answer(barman, into / "unknown-server.json", "list-backups", "nosuch", rc=1)
    answer(barman, into / "unknown-server-show-servers.json", "show-servers", "nosuch", rc=1)
    answer(barman, into / "unknown-backup.json", "show-backup", "pg", UNKNOWN_BACKUP, rc=1)
    keep(barman, into)


def keep(barman: Barman, into: Path) -> None:
    answer(barman, into / "keep-status-none.json", "keep", "--status", "pg", "latest")
    answer(barman, into / "keep.json", "keep", "--target", "full", "pg", "latest")
    answer(barman, into / "keep-status-full.json", "keep", "--status", "pg", "latest")
    answer(barman, into / "list-backups-kept.json", "list-backups", "pg")
    answer(barman, into / "keep-release.json", "keep", "--release", "pg", "latest")


def answer(barman: Barman, file: Path, *argv: str, rc: int = 0) -> None:
    """Record stdout as it came; of a failure also the return code and stderr."""
    done = barman.run("-f", "json", *argv, check=False)
    if done.returncode != rc:
        raise LabError(f"{argv}: rc {done.returncode}: {done.stderr or done.stdout}")
    file.write_text(re.sub(r"(password=|_password\": \")[^\s\"']+", r"\1REDACTED", done.stdout))
    if rc:
        meta = {"argv": ["barman", "-f", "json", *argv], "rc": done.returncode, "stderr": done.stderr}
        file.with_suffix(".meta.json").write_text(json.dumps(meta, indent=2) + "\n")


def backup_info(barman: Barman, file: Path, server: str) -> None:
    """Copy backup.info from wherever this version keeps it, and note where that was."""
    backup = json.loads(barman.run("-f", "json", "show-backup", server, "latest").stdout)[server]["backup_id"]
    directory = f"{barman.home}/{server}"
    places = [f"{directory}/meta/{backup}-backup.info", f"{directory}/base/{backup}/backup.info"]
    found = [place for place in places if barman.host.exists(place)]
    file.write_text(barman.host.read(found[0]))
    places_file = file.with_suffix(".info.places")
    places_file.write_text("".join(f"{Path(place).relative_to(directory)}\n" for place in found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="+", metavar="VERSION")
    parser.add_argument("--into", type=Path, required=True)
    options = parser.parse_args()
    lab = Lab.load()
    for version in options.versions:
        barman = Barman(lab, version)
        try:
            if not barman.own:
                barman.remove()
                barman.install()
                barman.take_backups()
            shutil.rmtree(options.into / version, ignore_errors=True)
            record(barman, options.into / version)
        finally:
            if not barman.own:
                barman.remove()
        print(f"recorded {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
