"""Clusters with large WAL segments, whose configuration may be the packaging's, which knows of 16 MB only."""

from __future__ import annotations

import shutil

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import control_data
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text
from ansible_collections.pgfleet.standby.tests.servers.controlled import may_run_python
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.rehearsals import Host
from ansible_collections.pgfleet.standby.tests.servers.servers import Server, as_user

# What postgresql-common writes into a new configuration, whatever the size of the segments.
PACKAGED = "min_wal_size = 80MB\nmax_wal_size = 1GB\n"


@pytest.mark.parametrize(
    "segments", [64, pytest.param(1024, marks=pytest.mark.long)], ids=lambda megabytes: f"{megabytes} MB"
)
def test_it_is_rehearsed_with_them_and_streams(fleet: Fleet, segments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    may_run_python(monkeypatch)
    primary = Server.create(18, fleet.place(f"g{segments}"), f"--wal-segsize={segments}")
    primary.start()
    place = fleet.place(f"h{segments}")
    standby = primary.copy(place / "data")
    size = control_data(str(standby.data)).wal_segment_size
    assert size == segments << 20

    host = Host(fleet.top / f"rehearsed{segments}")
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf", "postgresql.auto.conf"):
        shutil.copy(standby.data / name, host.backup / name)
    host.give()
    monkeypatch.setattr("tempfile.tempdir", str(host.base))
    assert host.rehearse(host.standby(18, segment_size=size)).refusals == ()

    with (host.backup / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(PACKAGED)
    [refusal] = host.rehearse(host.standby(18, segment_size=size)).refusals
    assert refusal.code == "server_would_not_start"
    assert "min_wal_size" in refusal.found

    standby.make_standby({"primary_conninfo": conninfo_text(primary.conninfo)})
    as_user(place)
    standby.start()
    primary.wait_for("SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'")
    standby.kill()
    primary.kill()
    for left in (primary.top, place, host.top):
        shutil.rmtree(left)
