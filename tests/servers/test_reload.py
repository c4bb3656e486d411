"""The table of recovery settings: what it says, and what a running standby of each version says and does."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import AUTO_CONF
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.requested_settings import requested_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import SETTINGS, needs
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import RELEASES
from ansible_collections.pgfleet.standby.tests.servers.servers import Server

# Other values than the standby has.
CHANGED = {
    "primary_conninfo": "host=/nowhere",
    "primary_slot_name": "nosuch",
    "restore_command": "false",
    "archive_cleanup_command": "true",
    "recovery_end_command": "true",
    "recovery_min_apply_delay": "1ms",
    "recovery_target_timeline": "current",
    "promote_trigger_file": "nosuch",
    "hot_standby_feedback": "on",
    "max_standby_archive_delay": "1s",
    "max_standby_streaming_delay": "1s",
    "wal_receiver_status_interval": "2s",
    "wal_receiver_timeout": "30s",
    "wal_retrieve_retry_interval": "20ms",
}
# The groups of pg_settings that are about recovery and standbys; the table has to have every setting of theirs.
GROUPS = (
    "Replication / Standby Servers",
    "Write-Ahead Log / Archive Recovery",
    "Write-Ahead Log / Recovery Target",
)
NOW = [major for major in sorted(RELEASES) if major >= 12]
BEFORE = [major for major in sorted(RELEASES) if major < 12]


def known(server: Server, names: list[str]) -> list[str]:
    """Those of the names that are settings of this version."""
    return [name for (name,) in server.sql("SELECT name FROM pg_settings WHERE name = ANY(%s)", names)]


def test_the_server_has_just_those_settings_of_the_table(standby: Server) -> None:
    expected = {s.name for s in SETTINGS if s.known(standby.major) and s.home(standby.major) == AUTO_CONF}
    assert set(known(standby, [setting.name for setting in SETTINGS])) == expected


def test_the_table_has_every_setting_of_a_standby(standby: Server) -> None:
    rows = standby.sql("SELECT name FROM pg_settings WHERE category = ANY(%s)", list(GROUPS))
    assert len(rows) >= 6
    assert {name for (name,) in rows} - {setting.name for setting in SETTINGS} == set()


def test_the_server_takes_a_reload_or_a_restart_for_it_as_we_say(standby: Server) -> None:
    names = [setting.name for setting in SETTINGS]
    contexts = dict(standby.sql("SELECT name, context FROM pg_settings WHERE name = ANY(%s)", names))
    assert len(contexts) > 10
    assert {name: needs([name], standby.major) for name in contexts} == {
        name: "reload" if context == "sighup" else "restart" for name, context in contexts.items()
    }


@pytest.mark.parametrize("standby", NOW, indirect=True)
def test_after_a_reload_just_those_wait_for_a_restart(fleet: Fleet, standby: Server) -> None:
    before = (standby.data / AUTO_CONF).read_text(encoding="utf-8")
    changed = {name: CHANGED[name] for name in known(standby, list(CHANGED))}
    had = dict(standby.sql("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", list(changed)))
    standby.edit(AUTO_CONF, changed)
    standby.reload()
    rows = standby.sql("SELECT name, setting, pending_restart FROM pg_settings WHERE name = ANY(%s)", list(changed))
    waiting = {name for name, _setting, pending in rows if pending}
    assert waiting == {name for name in changed if needs([name], standby.major) == "restart"}
    assert {name for name, setting, _pending in rows if setting != had[name]} == set(changed) - waiting
    standby.put(AUTO_CONF, before)
    standby.reload()
    primary = fleet.primary(standby.major)
    primary.wait_for("SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = 'standby'")


@pytest.mark.parametrize("standby", BEFORE, indirect=True)
def test_recovery_conf_is_read_at_a_start_only(standby: Server) -> None:
    wanted = requested_settings("host=x", "false", {"primary_slot_name": "x", "archive_cleanup_command": "true"})
    assert known(standby, list(wanted)) == []
    assert {needs([name], standby.major) for name in wanted} == {"restart"}
