"""Recovery settings on a plain base copy of every major version: what they make of it, and what each drift needs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.files import calm, stand_by
from ansible_collections.pgfleet.standby.plugins.modules.standby_recovery import work
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import RELEASES, programs_of
from ansible_collections.pgfleet.standby.tests.servers.servers import SUPERUSER, Server, as_user

# docs/versions.md is made of what is recorded here.
RECORDS = Path(os.environ.get("BUILD", ".build")) / "records"
STREAMS = "SELECT count(*) = 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
# A copy may bring these along; the first would end recovery at once.
LEFTOVERS = "recovery_target_time = '2020-01-01'\nprimary_conninfo = 'host=of.another.node'\n# mine\n"
NOBODY = "host=127.0.0.1 port=1"
# What somebody may have set, and the first version that takes up another value at a reload.
DRIFT = {
    "primary_conninfo": (NOBODY, 13),
    "restore_command": ("exit 2", 14),
    "recovery_min_apply_delay": ("1h", 12),
    "hot_standby_feedback": ("off", 10),
}


@dataclass
class Copy:
    """A standby made of a plain copy, and what was seen of it."""

    primary: Server
    server: Server
    proven: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Where recovery settings are."""
        return "postgresql.auto.conf" if self.server.major >= 12 else "recovery.conf"

    def recover(self, **changed: Any) -> dict[str, Any]:
        """The module's work, as the server's user would do it."""
        given: dict[str, Any] = {
            "data_directory": str(self.server.data),
            "state_directory": str(self.server.top / "state"),
            "pg_bindir": str(programs_of(self.server.major)),
            "config_directory": None,
            "config_files": None,
            "upstream_conninfo": self.primary.conninfo,
            "replication_user": None,
            "application_name": "copy",
            "restore_command": "exit 1",
            "recovery_min_apply_delay": "0",
            "settings": {"hot_standby_feedback": True},
            "rejoin": True,
            "login_user": None,
        }
        result = work({**given, **changed}, check_mode=False)
        as_user(self.server.data)
        return result

    def drift(self, name: str, value: str, since: int) -> None:
        """Somebody sets it, and the server uses it."""
        self.server.edit("postgresql.auto.conf" if name == "hot_standby_feedback" else self.file, {name: value})
        if self.server.major >= since:
            self.server.reload()
        else:
            self.restart()

    def restart(self) -> None:
        self.server.stop()
        self.server.start()

    def obey(self, result: dict[str, Any]) -> str:
        """Do what the result says is needed, and no more."""
        if result["restart_required"]:
            self.restart()
            return "restart"
        if result["reload_required"]:
            self.server.reload()
            return "reload"
        return "nothing"


@pytest.fixture(params=sorted(RELEASES))
def copy(request: pytest.FixtureRequest, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Copy]:
    """It stands still, with what its source has left in it."""
    monkeypatch.setenv("PGUSER", SUPERUSER)
    primary = fleet.primary(request.param)
    server = primary.copy(fleet.place(f"c{request.param}") / "data")
    made = Copy(primary, server)
    if server.major >= 12:
        server.put("postgresql.auto.conf", LEFTOVERS)
    else:
        server.put("recovery.conf", LEFTOVERS + "standby_mode = off\n")
    yield made
    server.kill()
    shutil.rmtree(server.top)


def test_it_streams_and_every_drift_is_mended(copy: Copy) -> None:
    first = copy.recover()
    assert (first["reload_required"], first["restart_required"]) == (False, False)
    assert {"primary_conninfo", "recovery_target_time"} <= set(first["changed_settings"])
    assert "# mine\n" in (copy.server.data / copy.file).read_text()
    copy.server.start()
    copy.server.wait_for(STREAMS)
    assert copy.server.sql("SELECT pg_is_in_recovery()") == [(True,)]
    assert not copy.recover()["changed"]
    copy.proven.update({"settings": f"`{copy.file}`", "streams": "yes", "second run": "nothing to do"})
    for name, (value, since) in DRIFT.items():
        copy.drift(name, value, since)
        result = copy.recover()
        assert result["changed"], name
        copy.proven[name] = copy.obey(result)
        assert copy.proven[name] == ("reload" if copy.server.major >= since else "restart"), name
        copy.server.wait_for(STREAMS)
        assert not copy.recover()["changed"], name
    [(number,)] = copy.server.sql("SELECT current_setting('server_version_num')::int")
    version = f"{copy.server.major}.{number % 10000}"
    RECORDS.mkdir(parents=True, exist_ok=True)
    record = json.dumps({"postgresql": version, "proven": copy.proven}, indent=2)
    (RECORDS / f"{copy.server.major}.json").write_text(f"{record}\n", encoding="utf-8")


@pytest.mark.parametrize("calmed", [True, False])
@pytest.mark.parametrize("copy", [major for major in sorted(RELEASES) if major >= 12], indirect=True)
def test_a_start_before_the_settings_are_written_promotes_nothing(copy: Copy, calmed: bool) -> None:
    """By a backup's own postgresql.conf, unless a copy calms it at its end, the server is a primary at once."""
    target = {"recovery_target": "immediate", "recovery_target_action": "promote"}
    copy.server.put("postgresql.auto.conf", "")
    copy.server.edit("postgresql.conf", {"primary_conninfo": conninfo_text(copy.primary.conninfo), **target})
    data = str(copy.server.data)
    stand_by(data, copy.server.major, 0o600)
    if calmed:
        calm(data, copy.server.major, 0o600)
    as_user(copy.server.data)
    copy.server.start({"wal_retrieve_retry_interval": "10ms"})
    [(lsn,)] = copy.primary.sql("SELECT pg_switch_wal()::text")
    copy.primary.sql("SELECT pg_switch_wal()")
    if calmed:
        copy.server.wait_for("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn)
        assert copy.server.sql("SELECT pg_is_in_recovery()") == [(True,)]
    else:
        copy.server.wait_for("SELECT NOT pg_is_in_recovery()")


BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({"settings": {"no_such_setting": "1"}}, "setting_invalid"),
    ({"settings": {"hot_standby_feedback": "perhaps"}}, "setting_invalid"),
    ({"recovery_min_apply_delay": "5 fortnights"}, "setting_invalid"),
    ({"primary_slot_name": "Not-A-Slot"}, "slot_name_invalid"),
    ({"upstream_conninfo": {"hosst": "primary"}}, "conninfo_invalid"),
)


def test_what_the_server_would_refuse_is_not_written(copy: Copy) -> None:
    files = [path for path in copy.server.data.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    for changed, code in BAD:
        with pytest.raises(StandbyError) as refused:
            copy.recover(**changed)
        assert refused.value.code == code
        assert "Next: " in refused.value.msg
    assert {path: path.read_bytes() for path in copy.server.data.rglob("*") if path.is_file()} == before
