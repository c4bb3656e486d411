"""What host and upstream tell about themselves, asked on the standby, and an upstream of our own to ask."""

from __future__ import annotations

import subprocess
from typing import Any

from podman import Host
from standby_host import BINDIR, HOST

WORK = "/tmp/suit"
UTILS = "ansible_collections.pgfleet.standby.plugins.module_utils"
PRELUDE = f"""\
import json, sys, time
from dataclasses import asdict
from {UTILS}._checks import compatibility as judge_of, host_facts as _host, slot as _slot
from {UTILS}._commands.command import SshShell
from {UTILS}._postgres.connect import identify
from {UTILS}._postgres.facts import UpstreamFacts
from {UTILS}._postgres.upstream_facts import read_facts as ask, slot_by_replication
globals().update(json.loads(sys.argv[1]))
print(json.dumps({{}}, default=lambda value: asdict(value) if hasattr(value, "__dataclass_fields__") else list(value)))
"""
PRIMARY = {"host": "primary", "user": "replicator", "application_name": HOST}
OWN = {"host": WORK, "port": "6001", "application_name": HOST}


class Upstream:
    """A server of our own with few slots and senders, reached through a socket."""

    SETTINGS = """\
listen_addresses = ''
unix_socket_directories = '/tmp/suit'
port = 6001
fsync = off
wal_level = logical
max_wal_senders = 2
max_replication_slots = 3
max_slot_wal_keep_size = 1MB
min_wal_size = 2MB
max_wal_size = 2MB
wal_keep_size = 0
"""
    HBA = """\
local all postgres trust
local all suit_sql trust
local replication all trust
"""

    def __init__(self, host: Host) -> None:
        self.host = host

    def make(self) -> None:
        self.host.run(["rm", "-rf", WORK])
        self.host.run(["install", "-d", "-m", "700", "-o", "postgres", WORK])
        options = ["--auth=trust", "--no-sync", "--locale=C.UTF-8", "--wal-segsize=1"]
        self.host.run([f"{BINDIR}/initdb", "-D", f"{WORK}/data", *options], user="postgres")
        self.host.write(f"{WORK}/data/pg_hba.conf", self.HBA, owner="postgres", mode=0o600)
        self.configure(self.SETTINGS)
        self.start()
        self.sql("CREATE ROLE suit_sql LOGIN REPLICATION; CREATE ROLE suit_replication LOGIN REPLICATION")

    def configure(self, settings: str) -> None:
        self.host.write(f"{WORK}/data/postgresql.auto.conf", settings, owner="postgres", mode=0o600)

    def pg_ctl(self, action: str, *env: str, check: bool = True) -> tuple[int, str]:
        self.host.run(["rm", "-f", f"{WORK}/log"])
        argv = ["env", *env, f"{BINDIR}/pg_ctl", action, "-w", "-t", "30", "-D", f"{WORK}/data", "-l", f"{WORK}/log"]
        done = self.host.run([*argv, *(["-m", "fast"] if action != "start" else [])], user="postgres", check=False)
        log = self.host.run(["cat", f"{WORK}/log"], check=False).stdout
        assert done.returncode == 0 or not check, log
        return done.returncode, log

    def start(self, *env: str) -> None:
        self.pg_ctl("start", *env)

    def try_sql(self, sql: str, database: str = "postgres") -> subprocess.CompletedProcess[str]:
        argv = [f"{BINDIR}/psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", WORK, "-p", "6001", "-d", database]
        return self.host.run([*argv, "-f", "-"], user="postgres", input=sql, check=False)

    def sql(self, sql: str) -> str:
        done = self.try_sql(sql)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def lose(self, slot: str) -> None:
        """Write more WAL than is kept for the slot."""
        self.sql(f"SELECT pg_create_physical_replication_slot('{slot}', true)")
        for _turn in range(6):
            self.sql("SELECT pg_logical_emit_message(false, 'suit', 'x'), pg_switch_wal()")
        self.sql("CHECKPOINT")
        status = self.sql(f"SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{slot}'")
        assert status == "lost"


def codes(verdicts: list[dict[str, Any]]) -> list[str]:
    return [verdict["refusal"]["code"] for verdict in verdicts if verdict["severity"] != "ok"]


def own_slots(here: Any, slot: str, user: str = "suit_sql") -> list[dict[str, Any]]:
    keywords = {**OWN, "user": user}
    return here("_slot.slot('own', slot, ask(keywords, slot, 'x'), False)", keywords=keywords, slot=slot)
