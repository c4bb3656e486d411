"""A standby of a release's lab: plays on it, what it holds, and what is installed there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib import metadata

from lab import Lab
from play import Playbook, Run, said_of
from podman import Host, wait_for
from provision import psql

# Half a minute by itself.

# Every row of every table of the lab's data, as one digest a table.
TABLES = {
    "bench": ("events", "pgbench_accounts", "pgbench_branches", "pgbench_tellers"),
    "odds": ('"odd ""name"" of a table"', "elsewhere"),
}
DIGEST = "SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {} AS t"

VERSIONS = {
    "postgresql": ("{bindir}/postgres", "--version"),
    "barman": ("barman", "-v"),
    "rsync": ("rsync", "--version"),
    "openssh": ("ssh", "-V"),
    "python": ("python3", "--version"),
    "systemd": ("systemctl", "--version"),
    "debian": ("sh", "-c", '. /etc/os-release; echo "${{VERSION_ID-}}"'),
}


@dataclass
class Standby:
    """A host and its lab's plays; ``proven`` is what the tests that have passed so far have found, in a word each."""

    lab: Lab
    proven: dict[str, str] = field(default_factory=dict)
    name: str = "n1"

    @property
    def host(self) -> Host:
        return self.lab.host(self.name)

    def play(self, *arguments: str, **extra: object) -> Run:
        release = self.lab.release
        inputs: dict[str, object] = {
            "host": "barman@barman",
            "server": "pg",
            "data_directory": release.data,
            "service": release.unit if release.systemd else "",
            "upstream_conninfo": {"host": "primary", "user": "replicator"},
            **extra,
        }
        return Playbook(self.lab.inventory).run(*arguments, **inputs)

    def becomes(self, action: str) -> Run:
        """A play succeeds and takes that action, and after it nothing is left to do."""
        run = self.play("-v")
        assert (run.rc, said_of(self.name, run)) == (0, action), run.output
        assert run.recap[self.name]["changed"] > 0, run.output
        assert " streaming " in run.output, run.output
        again = self.play()
        assert (again.rc, again.recap[self.name]["changed"], said_of(self.name, again)) == (0, 0, "none"), again.output
        return run

    def sql(self, sql: str, db: str = "postgres") -> str:
        return psql(self.host, sql, db)

    def stop(self) -> None:
        release = self.lab.release
        if release.systemd:
            self.host.run(["systemctl", "stop", release.unit])
        else:
            stop = [f"{release.bindir}/pg_ctl", "stop", "--wait", "--silent", "--pgdata", release.data]
            self.host.run(stop, user="postgres")

    def restart(self) -> None:
        self.stop()
        self.host.run(["systemctl", "start", self.lab.release.unit])

    @property
    def started(self) -> tuple[str, str]:
        """The server's process and when it began: others after a restart, the same after a reload."""
        lines = self.host.read(f"{self.lab.release.data}/postmaster.pid").splitlines()
        return lines[0], lines[2]

    def places(self) -> str:
        """Everything where a clone makes something; Ansible's own directory is not part of it."""
        places = ["/var/lib/postgresql", "/etc/postgresql", "/srv"]
        options = ["-mindepth", "1", "-name", ".ansible", "-prune", "-o", "-printf", "%p %y %u %m %s %T@\\n"]
        return self.host.run(["find", *places, *options]).stdout

    def contents(self, host: Host) -> list[str]:
        return [psql(host, DIGEST.format(table), db) for db, tables in TABLES.items() for table in tables]

    def follow(self) -> None:
        """Wait until what is written on the primary now has come by streaming: no segment ends with it."""
        news = "CREATE TABLE IF NOT EXISTS news (at timestamptz); INSERT INTO news VALUES (now());"
        written = self.lab.primary_sql(f"{news} SELECT pg_current_wal_insert_lsn()")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
        wait_for(lambda: self.sql(replayed) == "t", f"the standby to replay up to {written}")

    def record(self) -> dict[str, object]:
        """What is installed, and what has been proven with it."""
        release = self.lab.release
        versions = {name: self._version(command) for name, command in VERSIONS.items()}
        return {
            "debian": f"{versions['debian']} {release.debian}".strip(),
            "versions": versions,
            "started_by": f"systemd {versions['systemd']}" if release.systemd else "`pg_ctl`",
            "controller": f"ansible-core {metadata.version('ansible-core')}",
            "proven": self.proven,
        }

    def _version(self, command: tuple[str, ...]) -> str:
        words = [word.format(bindir=self.lab.release.bindir) for word in command]
        done = self.host.run(words, user="barman" if words[0] == "barman" else "postgres")
        found = re.search(r"\d+(\.\d+)*(p\d+)?", done.stdout + done.stderr)
        return found.group() if found else ""
