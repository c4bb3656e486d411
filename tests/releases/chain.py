"""A Barman server with a chain of incremental backups, and the module that stages them."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import Any

from lab import Lab
from play import Run
from standby import Standby

SERVER = "chain"
CONFIG = """\
[chain]
description = block-level incremental backups
conninfo = host=primary user=barman dbname=postgres
streaming_conninfo = host=primary user=streaming_barman dbname=postgres
backup_method = postgres
streaming_archiver = on
slot_name = barman_chain
create_slot = auto
path_prefix = {bindir}
"""
# Less than the cluster has.
SMALL = "/srv/small"
SETTINGS = "/etc/pgfleet-chain"


@dataclass
class Chain:
    """Full, incremental, incremental: each with some rows more. The standbys are of the same lab."""

    standbys: list[Standby]

    @property
    def lab(self) -> Lab:
        return self.standbys[0].lab

    def empty(self) -> None:
        """Nothing is left of the standbys."""
        data = self.lab.release.data
        for standby in self.standbys:
            if standby.host.exists(f"{data}/postmaster.pid"):
                standby.stop()
            standby.host.run(["rm", "-rf", data, f"{os.path.dirname(data)}/.main.standby", "/srv/tablespaces/fast"])

    def play(self, **extra: object) -> Run:
        return self.standbys[0].play("-v", server=SERVER, service="", **extra)

    def build(self) -> dict[str, Any]:
        """The newest, as the modules have it."""
        lab = self.lab
        for sql in ("ALTER SYSTEM SET summarize_wal = on", "SELECT pg_reload_conf()", "CREATE TABLE chain (n int)"):
            lab.primary_sql(sql)
        lab.barman.write(f"/etc/barman.d/{SERVER}.conf", CONFIG.format(bindir=lab.release.bindir))
        self.barman("cron")
        self.barman("switch-wal", "--force", "--archive", "--archive-timeout", "300", SERVER)
        for number, kind in enumerate([(), ("--incremental", "latest"), ("--incremental", "latest")], 1):
            lab.primary_sql(f"INSERT INTO chain SELECT generate_series(1, {number * 1000})")
            self.barman("backup", SERVER, "--wait", "--immediate-checkpoint", *kind)
        return dict(self.module("barman_backup_info", backup_id="latest")["selected"])

    def barman(self, *arguments: str) -> str:
        return self.lab.barman.run(["barman", *arguments], user="barman").stdout

    def module(self, name: str, **options: Any) -> dict[str, Any]:
        """A module of ours, run for the standby's database user; its result, whether it failed or not."""
        arguments = json.dumps({"barman_host": "barman@barman", "barman_server": SERVER, **options})
        become = ["--become", "--become-user", "postgres"]
        argv = ["ansible", "n1", f"--inventory={self.lab.inventory}", *become]
        done = subprocess.run(
            [*argv, "-m", f"pgfleet.standby.{name}", "-a", arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )
        said = done.stdout.partition(" => ")[2]
        assert said.startswith("{"), done.stdout + done.stderr
        return dict(json.JSONDecoder().raw_decode(said)[0])

    def left(self) -> str:
        """What is staged, and who claims what."""
        listed = ["sh", "-c", f"ls /var/lib/barman/{SERVER}/pgfleet-staging ~/.pgfleet/claims 2>/dev/null || true"]
        names = self.lab.barman.run(listed, user="barman").stdout.split()
        return " ".join(name for name in names if not name.endswith(":"))

    def configure(self) -> None:
        """A configuration outside of the data directory, for such a backup brings none."""
        limits = "max_connections = 200\nmax_wal_senders = 50\nmax_worker_processes = 50\n"
        for standby in self.standbys:
            host = standby.host
            host.run(["install", "-d", "-m", "700", "-o", "postgres", "-g", "postgres", SETTINGS])
            host.write(f"{SETTINGS}/postgresql.conf", limits, owner="postgres")
            host.write(f"{SETTINGS}/pg_hba.conf", "local all all peer\n", owner="postgres")

    def assert_start(self) -> None:
        """Each has every row that was in the primary."""
        release = self.lab.release
        files = f"-c config_file={SETTINGS}/postgresql.conf -c hba_file={SETTINGS}/pg_hba.conf"
        start = [f"{release.bindir}/pg_ctl", "start", "--wait", "--silent", f"--pgdata={release.data}"]
        for standby in self.standbys:
            standby.host.run([*start, "-o", files, "-l", f"{SETTINGS}/log"], user="postgres")
            assert standby.sql("SELECT count(*) FROM chain") == "6000"
            assert standby.contents(standby.host) == standby.contents(self.lab.primary)
