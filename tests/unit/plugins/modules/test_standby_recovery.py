# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL_TEXT

STANDBY = {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT, "standby.signal": ""}


@pytest.fixture
def recover(host, run):
    write_tree(host.pgdata, STANDBY)

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
    assert read_tree(host.pgdata)["postgresql.auto.conf"] == (
        "primary_conninfo = 'host=primary user=replicator application_name=n1'\n"
        f"restore_command = 'barman-wal-restore -U barman --spool-dir {host.state}/spool backup pg %f %p'\n"
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


@pytest.mark.parametrize(
    ("settings", "reload", "restart"),
    [({}, True, False), ({"max_connections": 120}, False, True)],
    ids=["conninfo", "limit"],
)
def test_a_running_server_needs_it(recover, running, settings, reload, restart):
    recover()
    result = recover(upstream_conninfo="host=other", settings=settings)
    assert (result["reload_required"], result["restart_required"]) == (reload, restart)
    again = recover(upstream_conninfo="host=other", settings=settings)
    assert (again["reload_required"], again["restart_required"]) == (False, False)


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
