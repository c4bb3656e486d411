"""A host's year: plays on it, and the same answer from check mode and from the real run."""

from __future__ import annotations

from dataclasses import dataclass

from clone_on_host import FAST
from lab import Lab
from play import Playbook, Run, errors, said_of
from podman import Host, wait_for
from standby_host import DATA, HOST, STATE

UNIT = "postgresql@15-main"
PLACES = f"{DATA} {FAST} {STATE} /etc/postgresql {DATA}.old {FAST}.old"
# Every name with its kind, owner, mode, size and time; every file with its contents; every link with its target.
LISTING = f"""\
set -e
places=$(ls -d {PLACES} 2>/dev/null || true)
[ -n "$places" ] || exit 0
find $places -printf '%p %y %u %m %s %T@ %l\\n' | sort
find $places -type f -print0 | sort -z | xargs -0r sha256sum
"""


@dataclass
class Story:
    """One host and the plays on it."""

    lab: Lab
    host: Host
    playbook: Playbook

    def play(self, *arguments: str, **extra: object) -> Run:
        return self.playbook.run("--limit", HOST, *arguments, **extra)

    def systemctl(self, verb: str) -> None:
        self.host.run(["systemctl", verb, UNIT])

    def sql(self, sql: str) -> str:
        argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, "postgres"]
        return self.host.run(argv, user="postgres").stdout.strip()

    def listing(self) -> str:
        return self.host.run(["bash", "-c", LISTING]).stdout

    def becomes(self, action: str, **extra: object) -> Run:
        """Check mode changes nothing and names the action that the real run takes; then nothing is left to do."""
        before = self.listing() if not self.running else None
        checked = self.play("--check", "--diff", **extra)
        assert checked.rc == 0, checked.output
        assert said(checked) == action, checked.output
        if before is not None:
            assert self.listing() == before
        done = self.does(action, **extra)
        again = self.play(**extra)
        assert (again.rc, again.recap[HOST]["changed"], said(again)) == (0, 0, "none"), again.output
        return done

    def does(self, action: str, **extra: object) -> Run:
        """The real run takes the action, whatever check mode says."""
        done = self.play(**extra)
        assert done.rc == 0, done.output
        assert said(done) == action, done.output
        assert (done.recap[HOST]["changed"] > 0) == (action != "none"), done.output
        return done

    def refuses(self, *codes: str, **extra: object) -> Run:
        """In check mode and for real, with the same reasons, and the host is as it was."""
        started, before = self.started, self.listing() if not self.running else ""
        for arguments in (("--check",), ()):
            run = self.play(*arguments, **extra)
            assert run.rc != 0, run.output
            assert set(codes) <= errors(run), run.output
            assert run.recap[HOST]["changed"] == 0, run.output
        assert self.started == started
        if not started:
            assert self.listing() == before
        return run

    @property
    def running(self) -> bool:
        return bool(self.started)

    @property
    def streams(self) -> bool:
        argv = ["psql", "-XAtqc", "SELECT status FROM pg_stat_wal_receiver", "postgres"]
        return self.host.run(argv, user="postgres", check=False).stdout == "streaming\n"

    @property
    def started(self) -> str:
        """The server's process and the time it was started; empty when there is none."""
        return self.host.run(["cat", f"{DATA}/postmaster.pid"], check=False).stdout.split("\n/")[0]

    def heal(self) -> None:
        """Make sure of a standby that streams; it stays from test to test where it can."""
        if not self.streams and self.play().rc != 0:
            self.lab.reset(HOST)
            run = self.play()
            assert run.rc == 0, run.output

    def promote(self, wal_log_hints: str = "on") -> None:
        """The standby becomes a primary of its own and goes its own way."""
        self.sql(f"ALTER SYSTEM SET wal_log_hints = {wal_log_hints}")
        self.systemctl("restart")
        self.sql("SELECT pg_promote()")
        self.sql("CREATE TABLE astray AS SELECT generate_series(1, 10000) AS n; CHECKPOINT")

    def archive_and_forget(self) -> None:
        """WAL is written that only Barman still has, soon after: its slots tell the primary now and then only."""
        ask = self.lab.primary_sql
        ask("CREATE TABLE IF NOT EXISTS ladder (t text)")
        current = ask("SELECT pg_walfile_name(pg_current_wal_lsn())")
        for _segment in range(2):
            ask("INSERT INTO ladder VALUES (repeat('x', 99))")
            ask("SELECT pg_switch_wal()")

        def forgotten() -> bool:
            ask("CHECKPOINT")
            return ask(f"SELECT count(*) FROM pg_ls_waldir() WHERE name = '{current}'") == "0"

        wait_for(forgotten, f"the primary to remove {current}", pause=1)


def said(run: Run) -> str:
    """The action in the report."""
    return said_of(HOST, run)
