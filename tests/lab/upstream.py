"""A small primary of our own on the standby's host, and Barmans of our own for it: what is shared stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab import Lab
from play import Playbook, Run, said_of
from podman import Host, wait_for
from standby_host import BINDIR, DATA, HOST, STATE

PORT = "5440"
UPSTREAM = "/var/lib/postgresql/15/upstream"
START = f"""\
set -eu
export PATH={BINDIR}:$PATH LC_ALL=C
initdb -D {UPSTREAM} --auth=trust --no-sync --no-locale --encoding=UTF8 >/dev/null
cat >>{UPSTREAM}/postgresql.conf <<END
port = {PORT}
listen_addresses = '*'
unix_socket_directories = '/tmp'
fsync = off
max_wal_senders = 20
max_replication_slots = 20
END
echo 'host all,replication all all trust' >>{UPSTREAM}/pg_hba.conf
pg_ctl -D {UPSTREAM} -w -l {UPSTREAM}.log start >/dev/null
"""
DATA_SQL = """\
CREATE TABLE rows AS SELECT n, repeat(md5(n::text), 9) AS t FROM generate_series(1, 20000) AS n;
CREATE TABLE "odd ""name"" of a table" AS SELECT E'a\\tb' AS t
"""
TABLES = ("rows", '"odd ""name"" of a table"')
DIGEST = "SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {} AS t"

CONF = """\
[barman]
barman_user = {user}
barman_home = {home}
log_file = {home}/barman.log
immediate_checkpoint = true

[own]
description = of a test
conninfo = host={host} port={port} user=postgres dbname=postgres
streaming_conninfo = host={host} port={port} user=postgres
streaming_archiver = on
slot_name = {slot}
create_slot = auto
backup_method = postgres
"""


@dataclass(frozen=True)
class OwnBarman:
    """A Barman with its own configuration and home on the Barman host, and the server ``own`` in it.

    ``name`` tells it from others there; it goes into every path.
    """

    lab: Lab
    name: str
    executable: str = "/opt/barman/bin/barman"
    user: str = "barman"

    @property
    def conf(self) -> str:
        return f"/etc/barman-{self.name}.conf"

    @property
    def home(self) -> str:
        return f"/var/lib/barman-{self.name}"

    @property
    def directory(self) -> str:
        return f"{self.home}/own"

    def run(self, *argv: str, check: bool = True) -> str:
        command = [self.executable, "-c", self.conf, *argv]
        return self.lab.barman.run(command, user=self.user, check=check).stdout

    def make(self) -> None:
        """Configure it and take a backup."""
        host = self.lab.barman
        host.run(["install", "-d", "-m", "700", "-o", self.user, "-g", self.user, self.home])
        names = {"host": HOST, "port": PORT, "user": self.user, "home": self.home}
        slot = "".join(letter if letter.isalnum() else "_" for letter in f"own_{self.name}")
        host.write(self.conf, CONF.format(**names, slot=slot))
        self.run("cron")
        # What receives WAL takes its time to start, and begins with what is written then.
        look = ["sh", "-c", f"ls {self.directory}/streaming/*.partial"]
        wait_for(lambda: host.run(look, check=False).returncode == 0, "Barman to receive WAL")
        self.run("switch-wal", "--force", "--archive", "--archive-timeout", "300", "own")
        self.run("backup", "--wait", "--wait-timeout", "300", "own")

    def remove(self) -> None:
        self.run("receive-wal", "--stop", "own", check=False)
        self.lab.barman.run(["rm", "-rf", self.conf, self.home])


@contextmanager
def own_barman(barman: OwnBarman) -> Iterator[OwnBarman]:
    """It is there, with a backup, and leaves nothing behind."""
    barman.remove()
    try:
        barman.make()
        yield barman
    finally:
        barman.remove()


@dataclass(frozen=True)
class Upstream:
    """The primary, and the standby of it on the same host."""

    lab: Lab
    playbook: Playbook

    @property
    def host(self) -> Host:
        return self.lab.host(HOST)

    @property
    def conninfo(self) -> dict[str, str]:
        return {"host": self.host.address, "port": PORT, "user": "postgres"}

    def start(self) -> None:
        self.lab.reset(HOST)
        self.host.run(["install", "-d", "-m", "755", "-o", "postgres", "-g", "postgres", "/var/lib/postgresql/15"])
        self.host.run(["bash", "-c", START], user="postgres")
        self.sql(DATA_SQL)

    def bare(self) -> None:
        """The upstream alone is left."""
        self.host.run(["systemctl", "stop", "postgresql@15-main"], check=False)
        self.host.run(["rm", "-rf", DATA, STATE, "/etc/postgresql/15", "/srv/tablespaces"])

    def play(self, *arguments: str, **extra: object) -> Run:
        inputs = {"server": "own", "upstream_conninfo": self.conninfo}
        return self.playbook.run("--limit", HOST, *arguments, **{**inputs, **extra})

    def becomes_standby(self, **extra: object) -> None:
        """An empty host becomes a standby with the primary's tables."""
        run = self.play(**extra)
        assert (run.rc, said_of(HOST, run)) == (0, "clone"), run.output
        self.assert_same()

    def stays(self, **extra: object) -> None:
        """Nothing is left to do."""
        again = self.play(**extra)
        assert (again.rc, again.recap[HOST]["changed"], said_of(HOST, again)) == (0, 0, "none"), again.output

    def assert_same(self) -> None:
        """What is written on the primary now arrives by streaming, and every row of every table is the primary's."""
        written = self.sql("INSERT INTO rows VALUES (0); SELECT pg_current_wal_insert_lsn()")
        wait_for(
            lambda: self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{written}'", standby=True) == "t", "the standby"
        )
        assert self.contents("5432") == self.contents()

    def contents(self, port: str = PORT) -> list[str]:
        """Every row of every table of the server on that port, as one digest a table."""
        place = ["-h", "/tmp"] if port == PORT else []
        argv = ["psql", "-XAtq", *place, "-p", port, *(f"-c{DIGEST.format(table)}" for table in TABLES), "postgres"]
        return self.host.run(argv, user="postgres").stdout.splitlines()

    def assert_wal_comes(self) -> None:
        """The standby's restore_command fetches a segment that Barman has."""
        segment = self.sql("SELECT pg_walfile_name(pg_switch_wal())")
        command = self.sql("SHOW restore_command", standby=True)
        for name, value in {"%f": segment, "%p": "/var/tmp/fetched", "%%": "%"}.items():
            command = command.replace(name, value)

        def comes() -> bool:
            return self.host.run(["sh", "-c", command], user="postgres", check=False).returncode == 0

        wait_for(comes, f"{segment} by {command}")
        size = self.host.run(["stat", "-c", "%s", "/var/tmp/fetched"]).stdout.strip()
        assert int(size) == 16 << 20

    def sql(self, sql: str, standby: bool = False, db: str = "postgres") -> str:
        place = [] if standby else ["-h", "/tmp", "-p", PORT]
        argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *place, "-c", sql, db]
        return self.host.run(argv, user="postgres").stdout.strip()


@contextmanager
def own_upstream(lab: Lab, playbook: Playbook) -> Iterator[Upstream]:
    """The primary runs; at the end the host is empty."""
    upstream = Upstream(lab, playbook)
    try:
        upstream.start()
        yield upstream
    finally:
        lab.reset(HOST)
