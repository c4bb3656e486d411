# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import pg_settings as _pg_settings
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.fake_postgres import POSTGRES
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL_TEXT

STANDBY = {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT, "standby.signal": ""}


@pytest.fixture
def recover(host, run):
    write_tree(host.pgdata, STANDBY)
    host.program("postgres", POSTGRES)
    host.program("barman-wal-restore", "#!/bin/sh\n")

    def module(check_mode=False, **changed):
        return run(
            "standby_recovery",
            check_mode,
            **{
                "data_directory": str(host.pgdata),
                "pg_bindir": str(host.programs),
                "upstream_conninfo": {"host": "primary", "user": "replicator"},
                "application_name": "n1",
                "barman_host": "barman@backup",
                "barman_server": "pg",
                **changed,
            },
        )

    return module


@pytest.fixture
def running(host, recover):
    process = host.start("postgres", host.pgdata)
    yield
    process.communicate()


def test_settings(host, recover):
    result = recover()
    assert result["changed_settings"] == ["primary_conninfo", "recovery_target_timeline", "restore_command"]
    assert result["files"] == ["postgresql.auto.conf"]
    command = f"{host.programs}/barman-wal-restore -U barman --spool-dir {host.state}/spool backup pg %f %p"
    assert read_tree(host.pgdata)["postgresql.auto.conf"] == (
        "primary_conninfo = 'host=primary user=replicator application_name=n1'\n"
        f"restore_command = '{command}'\n"
        "recovery_target_timeline = 'latest'\n"
    )


def test_check_mode_tells_what_a_run_does(host, recover):
    told = recover(check_mode=True)
    assert read_tree(host.pgdata) == STANDBY
    done = recover()
    assert told == {**done, "invocation": told["invocation"]}
    assert done["changed"]


def test_a_second_run_changes_nothing_and_says_so(recover):
    recover()
    result = recover()
    assert (result["changed"], result["files"], result["changed_settings"]) == (False, [], [])
    assert result["diff"]["before"] == result["diff"]["after"] == ""


def test_a_stopped_server_needs_nothing(recover):
    result = recover()
    assert (result["reload_required"], result["restart_required"]) == (False, False)


@pytest.mark.parametrize(
    "conninfo",
    [
        {"host": "p", "password": "Geh3im"},
        "host=p password=Geh3im",
        "host=p password=mein Geh3im",
        "postgresql://u:Geh3im@p",
        "postgresql://u:Geh3im@[::1",
    ],
    ids=["dictionary", "string", "broken string", "URI", "broken URI"],
)
def test_a_password_is_refused_and_told_nowhere(recover, conninfo, monkeypatch):
    result = recover(upstream_conninfo=conninfo, _ansible_tracebacks_for=["error"], _ansible_verbosity=5)
    assert result["error_code"] in ("conninfo_password", "conninfo_invalid")
    assert "Geh3im" not in str(result)


def test_secrets_of_the_source_are_told_nowhere(host, recover):
    write_tree(host.pgdata, {"postgresql.auto.conf": "primary_conninfo = 'host=old password=Geh3im'\n"})
    assert "Geh3im" not in str(recover())
    assert "Geh3im" not in read_tree(host.pgdata)["postgresql.auto.conf"]


def test_what_is_no_standby_is_left_alone(host, recover):
    (host.pgdata / "standby.signal").unlink()
    before = read_tree(host.pgdata)
    assert recover()["error_code"] == "data_directory_not_standby"
    assert read_tree(host.pgdata) == before


def test_auto_needs_to_know_the_barman_host(recover):
    assert "barman_host" in recover(barman_host=None)["msg"]
    assert recover(barman_host=None, restore_command="none")["changed"]


def test_a_password_is_kept_in_the_file_and_told_nowhere(host, recover, tmp_path):
    options = {"upstream_password": "Geh3im", "passfile": str(tmp_path / "pass")}
    planned = recover(check_mode=True, **options)
    assert planned["passfile"] == options["passfile"]
    assert not (tmp_path / "pass").exists()
    done = recover(**options)
    assert done["diff"] == planned["diff"]
    assert (tmp_path / "pass").read_text() == "primary:5432:replication:replicator:Geh3im\n"
    assert "Geh3im" not in str(done) + str(planned) + str(read_tree(host.pgdata))
    again = recover(**options)
    assert (again["changed"], again["passfile"]) == (False, None)


def test_a_password_in_the_conninfo_is_told_nowhere(host, recover):
    result = recover(upstream_password="Geh3im", use_primary_conninfo_password=True)
    assert "Geh3im" not in str(result)
    assert "password=Geh3im" in read_tree(host.pgdata)["postgresql.auto.conf"]
    assert (host.pgdata / "postgresql.auto.conf").stat().st_mode & 0o777 == 0o600


def test_settings_that_the_server_refuses_are_not_written(host, recover):
    refusal = 'LOG:  unrecognized configuration parameter "nonsense" in file "/x" line 4'
    host.program("postgres", f"#!/bin/sh\necho '2026-01-01 00:00:00 UTC {refusal}' >&2\nexit 1\n")
    result = recover(settings={"nonsense": 1})
    assert result["error_code"] == "setting_invalid"
    assert 'with these settings: unrecognized configuration parameter "nonsense". Nothing' in result["msg"]
    assert read_tree(host.pgdata) == STANDBY


def test_what_the_hosts_configuration_sets_is_overruled(host, recover, tmp_path):
    files = {"postgresql.conf": "include_dir = 'more'\n", "more/a.conf": "archive_mode = always\n"}
    write_tree(tmp_path / "etc", files)
    result = recover(config_directory=str(tmp_path / "etc"))
    assert result["neutralised"] == ["archive_mode"]
    assert "archive_mode = 'on'" in read_tree(host.pgdata)["postgresql.auto.conf"]
    assert not recover(config_directory=str(tmp_path / "etc"))["changed"]


def test_configuration_that_came_along_is_moved_aside(host, recover, tmp_path):
    write_tree(host.pgdata, {"pg_hba.conf": "# of the primary\n"})
    write_tree(tmp_path / "etc", {"postgresql.conf": ""})
    assert recover(config_directory=str(tmp_path / "etc"))["moved_aside"] == ["pg_hba.conf"]
    assert not (host.pgdata / "pg_hba.conf").exists()


def test_there_has_to_be_a_configuration_to_keep(recover):
    assert recover(config_files="keep_local")["error_code"] == "config_files_unclear"


def test_a_slot_that_is_left_behind_is_warned_of(recover):
    def warned(check_mode=False, **changed):
        told = recover(check_mode, **changed).get("warnings", ())
        return [str(warning) for warning in told if "pg_drop_replication_slot" in str(warning)]

    assert warned(primary_slot_name="old") == []
    assert warned(primary_slot_name="old") == []
    told = warned(check_mode=True, upstream_conninfo="host=other")
    [warning] = warned(upstream_conninfo="host=other")
    assert "slot old of the server primary, port 5432" in warning
    assert "pg_drop_replication_slot('old')" in warning
    assert told == [warning]
    assert warned(upstream_conninfo="host=other") == []


class TestWalFeed:
    """The command that looks into the spool first, and the ordinary one: a restart is not worth the difference."""

    @pytest.fixture
    def written(self, host, recover):
        def restore_command(major, **changed):
            version = f"{major}\n"
            if (host.pgdata / "PG_VERSION").read_text() != version:
                (host.pgdata / "PG_VERSION").write_text(version)
                if major < 12:
                    (host.pgdata / "standby.signal").unlink()
                    (host.pgdata / "recovery.conf").write_text("standby_mode = 'on'\n")
            result = recover(**changed)
            assert not result.get("failed"), result
            name = "recovery.conf" if major < 12 else "postgresql.auto.conf"
            [line] = [line for line in (host.pgdata / name).read_text().splitlines() if "restore_command" in line]
            return "spool" if f"{host.state}/wal_feed/ready/" in line else "ordinary"

        return restore_command

    @pytest.mark.parametrize("major", [11, 13, 15])
    def test_a_stopped_server_gets_what_is_asked_for(self, written, major):
        assert written(major) == "ordinary"
        assert written(major, wal_feed=True) == "spool"
        assert written(major) == "ordinary"

    @pytest.mark.parametrize(("major", "stays"), [(11, True), (13, True), (15, False)])
    @pytest.mark.parametrize("fed", [True, False])
    def test_a_running_server_keeps_what_only_a_restart_would_change(self, host, written, major, stays, fed):
        before = written(major, wal_feed=fed)
        process = host.start("postgres", host.pgdata)
        try:
            assert (written(major, wal_feed=not fed) == before) is stays
            assert written(major, wal_feed=fed) == before
        finally:
            process.communicate()

    def test_another_command_is_worth_a_restart(self, host, written):
        assert written(13, wal_feed=True) == "spool"
        process = host.start("postgres", host.pgdata)
        try:
            assert written(13, restore_command="other %f %p") == "ordinary"
        finally:
            process.communicate()


class TestUnasked:
    """A server that runs and cannot be asked: that is no reason to restart it, and it is told."""

    @pytest.mark.parametrize("settings", [{}, {"max_connections": 120}], ids=["conninfo", "what a restart changes"])
    def test_no_restart_is_asked_for(self, recover, running, settings):
        recover()
        result = recover(upstream_conninfo="host=other", settings=settings)
        assert result["files"] == ["postgresql.auto.conf"]
        assert (result["reload_required"], result["restart_required"]) == (True, False)
        assert result["server_state"] == "reloaded"
        [warning] = map(str, result["warnings"])
        assert "is not known" in warning
        assert "A server runs on" in warning

    def test_nothing_is_asked_for_that_is_there(self, recover, running):
        recover()
        result = recover()
        assert (result["changed"], result["server_state"]) == (False, "started")
        assert len(result["warnings"]) == 1


class TestLive:
    """A running server is compared with what the files say."""

    @pytest.fixture
    def live(self, recover, running, monkeypatch):
        recover()

        def module(source="configuration file", errors=(), waits=None, **changed):
            values = {"recovery_target_timeline": "latest", "restore_command": "old", **changed}
            contexts = {"recovery_target_timeline": "postmaster"}
            shown = {
                name: _pg_settings.LiveSetting(value, "", "string", source, contexts.get(name, "sighup"))
                for name, value in values.items()
            }
            # What the server says when it has read the files that were written.
            line = _pg_settings.FileLine("", bool(waits), True)
            lines = None if waits is None else {"recovery_target_timeline": line}
            settings = _pg_settings.RunningSettings(shown, errors, lines)
            monkeypatch.setattr(_pg_settings, "read_settings", lambda found, names, user: settings)
            return recover()

        return module

    def test_what_it_does_not_use_yet_is_a_change(self, live):
        result = live()
        assert (result["changed"], result["files"], result["outdated_settings"]) == (True, [], ["restore_command"])
        assert (result["reload_required"], result["restart_required"]) == (True, False)

    def test_what_only_a_restart_changes(self, live):
        assert live(recovery_target_timeline="current")["restart_required"]

    @pytest.mark.parametrize("waits", [True, False])
    def test_a_restart_is_for_what_the_server_itself_waits_for(self, live, waits):
        result = live(recovery_target_timeline="current", waits=waits)
        assert (result["restart_required"], result["reload_required"]) == (waits, not waits)

    def test_what_it_uses_already_needs_nothing(self, host, live):
        write_tree(host.pgdata, {"postgresql.auto.conf": "recovery_target_timeline = 'current'\n"})
        result = live()
        assert (result["files"], result["reload_required"], result["restart_required"]) == (
            ["postgresql.auto.conf"], True, False
        )  # fmt: skip

    def test_what_no_file_can_change_is_refused(self, live):
        result = live(source="command line")
        assert result["error_code"] == "setting_overridden"
        assert "restore_command (command line)" in result["msg"]

    def test_a_configuration_that_cannot_be_read_is_refused(self, live):
        result = live(errors=(("/etc/x.conf", "/etc/x.conf line 3: syntax error"),))
        assert result["error_code"] == "configuration_invalid"
        assert "/etc/x.conf line 3: syntax error" in result["msg"]

    def test_but_not_for_what_is_mended(self, host, live):
        write_tree(host.pgdata, {"postgresql.conf": "include_dir = 'gone'\n"})
        result = live(errors=((f"{host.pgdata}/postgresql.conf", "line 1: could not open directory"),))
        assert result["files"] == ["postgresql.conf"]
