"""A configuration that another host has written, in all the files that it includes: the standby starts and streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.standby.plugins.modules.standby_recovery import work
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import programs_of
from ansible_collections.pgfleet.standby.tests.servers.servers import SUPERUSER, Server, as_user

STREAMS = "SELECT count(*) = 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
# What each file says, and where the next one is: relative to itself. None of them is the configuration's by name.
FILES = {
    "pg.conf.d/10-places.conf": "hba_file = '/nowhere/pg_hba.conf'\ninclude '../more/tuning.inc'\n",
    "pg.conf.d/20-old.conf/kept": "max_connections = nonsense\n",
    "more/tuning.inc": "ident_file = '/nowhere/pg_ident.conf'\nhot_standby = off\ninclude_if_exists 'last'\n",
    "more/last": "work_mem = '7MB'\nrecovery_target_time = '2020-01-01'\narchive_mode = always\n",
}


def recover(primary: Server, standby: Server) -> dict[str, Any]:
    """The module's work, as the server's user would do it."""
    result = work(
        {
            "data_directory": str(standby.data),
            "state_directory": str(standby.top / "state"),
            "pg_bindir": str(programs_of(standby.major)),
            "config_directory": None,
            "config_files": None,
            "upstream_conninfo": primary.conninfo,
            "replication_user": None,
            "application_name": "written_elsewhere",
            "restore_command": "none",
            "settings": {},
            "rejoin": True,
            "login_user": None,
        },
        check_mode=False,
    )
    as_user(standby.data)
    return result


def put(server: Server, files: dict[str, str]) -> None:
    for name, text in files.items():
        path: Path = server.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
    as_user(server.data)


@pytest.mark.parametrize("major", [12, 15, 18])
def test_a_standby_starts_with_it_and_streams(fleet: Fleet, major: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGUSER", SUPERUSER)
    primary = fleet.primary(major)
    standby = primary.copy(fleet.place(f"e{major}") / "data")
    put(standby, FILES)
    with (standby.data / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write("include_dir 'pg.conf.d'\n")
    standby.edit("postgresql.auto.conf", {"archive_mode": "always"})
    standby.make_standby({})
    first = recover(primary, standby)
    assert {"more/tuning.inc", "pg.conf.d/10-places.conf"} <= set(first["files"])
    assert first["neutralised"] == ["archive_mode", "hot_standby", "recovery_target_time"]
    standby.start()
    standby.wait_for(STREAMS)
    assert standby.sql("SELECT current_setting('archive_mode'), current_setting('work_mem')") == [("on", "7MB")]
    assert not recover(primary, standby)["changed"]
    standby.kill()
