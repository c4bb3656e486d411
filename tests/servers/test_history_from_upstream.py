"""After a failover: a standby whose archive has no history file, as a passive Barman's, gets that from its upstream."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import standby_keywords
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.servers import Server, as_user


def following(upstream: Server, name: str) -> dict[str, str]:
    """The recovery settings of a standby of this server."""
    conninfo = conninfo_text(standby_keywords(upstream.conninfo, None, name))
    retry = {"wal_retrieve_retry_interval": "10ms"}
    return {"primary_conninfo": conninfo, "recovery_target_timeline": "latest", **retry}


def switch(server: Server) -> str:
    """Write, and go on in another segment. Returns the name of the one that is complete then."""
    server.sql("CREATE TABLE IF NOT EXISTS written (x int)")
    server.sql("INSERT INTO written VALUES (1)")
    return str(server.sql("SELECT pg_walfile_name(pg_switch_wal())")[0][0])


def archive(server: Server, segment: str, place: Path) -> None:
    """As a passive Barman has it: whole segments and nothing else."""
    shutil.copy(server.data / "pg_wal" / segment, place)
    as_user(place)


@pytest.mark.parametrize("major", [12, 18])
def test_it_follows_a_failover_of_which_only_the_upstream_tells(fleet: Fleet, major: int) -> None:
    old = Server.create(major, fleet.place("old"), "--wal-segsize=1")
    old.start()
    place = fleet.place("archive")
    late = old.copy(fleet.place("late") / "data")
    new = old.copy(fleet.place("new") / "data")
    try:
        new.make_standby(following(old, "new"))
        new.start()
        archive(old, switch(old), place)
        [(written,)] = old.sql("SELECT pg_current_wal_lsn()::text")
        new.wait_for("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written)
        old.stop()
        new.sql("SELECT pg_promote()")
        new.wait_for("SELECT NOT pg_is_in_recovery()")
        at_fork, after = switch(new), switch(new)
        assert {at_fork[:8], after[:8]} == {"00000002"}
        # The upstream has removed the new timeline's first segment: it is in the archive only.
        archive(new, at_fork, place)
        (new.data / "pg_wal" / at_fork).unlink()
        late.make_standby({**following(new, "late"), "restore_command": f"cp '{place}/%f' '%p'"})
        late.start()
        [(written,)] = new.sql("SELECT pg_current_wal_lsn()::text")
        late.wait_for("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written)
        late.wait_for("SELECT received_tli = 2 FROM pg_stat_wal_receiver")
        assert [path.name for path in place.glob("*.history")] == []
        assert (late.data / "pg_wal" / "00000002.history").exists()
    finally:
        for server in (late, new, old):
            server.kill()
