"""What we ask servers and directories, on every major version."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import control_data, inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import (
    LocalServer,
    identify,
    local_instance,
    signs_of_use,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.upstream_facts import (
    files,
    read_facts,
    slot_by_replication,
)
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import RELEASES
from ansible_collections.pgfleet.standby.tests.servers.servers import SUPERUSER, Server

SLOT = "odd_slot"


def where(server: Server) -> LocalServer:
    """How local_instance reaches it."""
    return LocalServer(str(server.top), server.port, server.pid, SUPERUSER)


def test_who_a_primary_is(primary: Server) -> None:
    upstream = identify(primary.conninfo)
    instance = local_instance(where(primary))
    identifier = control_data(str(primary.data)).system_identifier
    assert upstream.system_identifier == instance.system_identifier == identifier
    assert upstream.version == instance.version
    assert upstream.version // 10000 == primary.major
    assert (upstream.timeline, upstream.history, instance.in_recovery, instance.receiver) == (1, (), False, None)
    assert upstream.settings == instance.settings


def test_who_a_standby_is(fleet: Fleet, standby: Server) -> None:
    primary = fleet.primary(standby.major)
    standby.wait_for("SELECT count(*) = 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'")
    instance = local_instance(where(standby))
    assert (instance.in_recovery, instance.timeline) == (True, 1)
    assert instance.receiver is not None
    assert (instance.receiver.status, instance.receiver.timeline) == ("streaming", 1)
    assert (instance.receiver.sender_host, instance.receiver.sender_port) == (str(primary.top), primary.port)


def test_a_paused_replay_is_seen(standby: Server) -> None:
    assert not local_instance(where(standby)).paused
    standby.sql("SELECT pg_wal_replay_pause()")
    try:
        assert local_instance(where(standby)).paused
    finally:
        standby.sql("SELECT pg_wal_replay_resume()")
    assert not local_instance(where(standby)).paused


def test_a_standby_with_the_primarys_serializable_default_is_asked_as_well(standby: Server) -> None:
    # The test's own session goes on asking.
    standby.sql("SET default_transaction_isolation = 'read committed'")
    standby.edit("postgresql.auto.conf", {"default_transaction_isolation": "serializable"})
    standby.reload()
    try:
        assert local_instance(where(standby)).in_recovery
        facts = read_facts({**standby.conninfo, "dbname": "postgres"}, None, "another standby")
        assert not isinstance(facts, str)
        assert (facts.max_wal_senders or 0) > 0
        assert facts.databases
    finally:
        standby.edit("postgresql.auto.conf", {"default_transaction_isolation": "read committed"})
        standby.reload()


def test_what_a_directory_is(fleet: Fleet, standby: Server) -> None:
    for server in (fleet.primary(standby.major), standby):
        found = inspect(str(server.data))
        assert (found.major, found.running) == (server.major, True)
        assert (found.port, found.socket_directory) == (server.port, str(server.top))
        assert found.control == control_data(str(server.data))
    now = inspect(str(standby.data))
    assert now.state == "standby"
    assert now.signals == (("standby.signal",) if standby.major >= 12 else ("recovery.conf",))


def test_a_tablespace_in_place_is_told_as_one(primary: Server) -> None:
    # The setting came with 15.
    if primary.major >= 15:
        primary.sql("SET allow_in_place_tablespaces = on")
        primary.sql("CREATE TABLESPACE inside LOCATION ''")
    try:
        found = files({**primary.conninfo, "dbname": "postgres"})
        assert not isinstance(found, str)
        inside = [one.location == f"pg_tblspc/{one.oid}" for one in found.tablespaces if one.name == "inside"]
        assert inside == ([True] if primary.major >= 15 else [])
        assert all(one.location for one in found.tablespaces)
    finally:
        primary.sql("DROP TABLESPACE IF EXISTS inside")


@pytest.mark.parametrize("major", sorted(RELEASES))
def test_an_unused_cluster_is_told_from_a_used_one(fleet: Fleet, major: int) -> None:
    server = Server.create(major, fleet.place(f"n{major}"))
    if major >= 12:  # where an object's number is in the first column
        assert inspect(str(server.data)).state == "pristine"
    server.start()
    try:
        if major >= 12:
            assert inspect(str(server.data)).state == "pristine"
        server.sql("CREATE ROLE app")
        server.sql("CHECKPOINT")
        assert inspect(str(server.data)).state == "cluster"
    finally:
        server.stop()
    assert inspect(str(server.data)).state == "cluster"


def test_what_an_upstream_tells(primary: Server) -> None:
    primary.sql("SELECT pg_create_physical_replication_slot(%s)", SLOT)
    try:
        facts = read_facts({**primary.conninfo, "dbname": "postgres"}, SLOT, "standby")
        assert not isinstance(facts, str)
        assert facts.slot is not None
        assert (facts.slot.kind, facts.slot.active) == ("physical", False)
        limited = slot_by_replication(primary.conninfo, SLOT)
        assert (limited.slot is not None) == (primary.major >= 15)
    finally:
        primary.sql("SELECT pg_drop_replication_slot(%s)", SLOT)


def test_positions_are_compared_as_the_server_does(primary: Server) -> None:
    [(text, number)] = primary.sql("SELECT 'AB/CD0123'::pg_lsn::text, 'AB/CD0123'::pg_lsn - '0/0'::pg_lsn")
    assert parse_lsn(text) == number


def test_signs_of_use_are_told(primary: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGUSER", SUPERUSER)
    primary.sql("CREATE ROLE app")
    found = signs_of_use(where(primary))
    primary.sql("DROP ROLE app")
    left = signs_of_use(where(primary))
    assert set(found) - set(left) == {"role app"}
