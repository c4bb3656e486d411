# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On servers that only have a process. Real ones are started and stopped in tests/lab/around/test_server.py."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.fake_server import Servers
from ansible_collections.pgfleet.standby.tests.waiting import wait_until

UNIT = "postgresql-15"


@pytest.fixture
def servers(host):
    servers = Servers(host)
    yield servers
    servers.end()


@pytest.fixture
def data(servers):
    return servers.cluster()


@pytest.fixture
def ask(host, run, data):
    def module(state="started", check_mode=False, **options):
        given = {"data_directory": str(data), "pg_bindir": str(host.programs), "state": state}
        return run("standby_server", check_mode, **{**given, **options})

    return module


# The way that the server is started, and what is named in `service`.
WAYS = pytest.mark.parametrize("unit", [None, UNIT], ids=["pg_ctl", "a unit"])


@pytest.fixture
def named(servers, data):
    def name(unit):
        if unit is not None:
            servers.unit(unit, data)
        return unit

    return name


class TestEachState:
    @WAYS
    @pytest.mark.parametrize("state", ["started", "reloaded", "restarted"])
    def test_starts_what_does_not_run(self, servers, data, ask, named, unit, state):
        service = named(unit)
        checked = ask(state, check_mode=True, service=service)
        assert (checked["changed"], checked["action"], checked["running"], servers.pid(data)) == (
            True,
            "start",
            False,
            0,
        )
        result = ask(state, service=service)
        assert (result["changed"], result["action"], result["running"]) == (True, "start", True)
        assert result["pid"] == servers.pid(data) != 0
        assert servers.calls == ([f"start {unit}"] if unit else [])
        assert result["diff"]["after"] == "start the server\n"
        again = ask(service=service)
        assert (again["changed"], again["action"], again["pid"]) == (False, "none", result["pid"])

    def test_pg_ctl_has_a_place_for_its_log_if_we_have_not_made_the_cluster(self, host, servers, data, ask):
        state = host.root / "state of a cluster that was there"
        assert ask(state_directory=str(state))["running"] is True
        assert (state.stat().st_mode & 0o777, servers.pid(data) != 0) == (0o700, True)

    def test_a_link_in_the_place_of_that_log_is_not_followed(self, host, data, ask):
        elsewhere = host.root / "elsewhere"
        elsewhere.mkdir(mode=0o755)
        state = host.root / "state"
        state.symlink_to(elsewhere)
        for check_mode in (True, False):
            refused = ask(check_mode=check_mode, state_directory=str(state))
            assert refused["error_code"] == "link_untrusted"
        assert (elsewhere.stat().st_mode & 0o777, list(elsewhere.iterdir())) == (0o755, [])

    @WAYS
    def test_stops_what_runs(self, servers, data, ask, named, unit):
        service = named(unit)
        pid = servers.start(data, unit)
        assert ask("stopped", check_mode=True, service=service)["action"] == "stop"
        assert servers.pid(data) == pid
        result = ask("stopped", service=service)
        assert (result["changed"], result["action"], result["running"], result["pid"]) == (True, "stop", False, None)
        assert servers.calls == ([f"stop {unit}"] if unit else [])
        assert ask("stopped", service=service)["changed"] is False

    @WAYS
    def test_restarts_what_runs(self, servers, data, ask, named, unit):
        service = named(unit)
        pid = servers.start(data, unit)
        result = ask("restarted", service=service)
        assert (result["action"], result["running"]) == ("restart", True)
        assert result["pid"] == servers.pid(data) != pid
        assert servers.calls == ([f"restart {unit}"] if unit else [])

    @WAYS
    def test_reloads_what_runs(self, servers, data, ask, named, unit):
        service = named(unit)
        pid = servers.start(data, unit)
        result = ask("reloaded", service=service)
        assert (result["action"], result["pid"], servers.calls) == ("reload", pid, [])
        wait_until((data / "reloaded").exists)


class TestAServerOfNoUnit:
    """Somebody has started it with pg_ctl, though a unit is named."""

    def test_it_is_stopped_all_the_same(self, servers, data, ask, named):
        service = named(UNIT)
        servers.start(data)
        assert ask("stopped", service=service)["running"] is False
        assert servers.calls == []

    def test_a_restart_gives_it_to_the_unit(self, servers, data, ask, named):
        service = named(UNIT)
        pid = servers.start(data)
        result = ask("restarted", service=service)
        assert (result["pid"] != pid, servers.calls) == (True, [f"start {UNIT}"])


class TestTheUnitOfAnotherCluster:
    @pytest.fixture
    def other(self, servers):
        return servers.cluster("other")

    @pytest.mark.parametrize("state", ["started", "stopped", "restarted"])
    @pytest.mark.parametrize("runs", [True, False], ids=["a server runs here", "no server runs here"])
    def test_its_running_server_is_left_alone(self, servers, data, ask, other, state, runs):
        servers.unit(UNIT, other)
        there = servers.start(other, UNIT)
        here = servers.start(data) if runs else 0
        result = ask(state, service=UNIT)
        if (state, runs) in (("started", True), ("stopped", False)):
            assert result["changed"] is False
        else:
            assert (result["failed"], result["error_code"]) == (True, "service_other_server")
            assert f"its main process is {there} in {other}" in result["msg"]
        assert (servers.pid(other), servers.pid(data), servers.calls) == (there, here, [])

    def test_its_configuration_tells_before_it_is_started(self, servers, ask, other):
        servers.unit(UNIT, other, Environment=f"PGDATA={other}/")
        result = ask(service=UNIT)
        assert result["error_code"] == "service_other_server"
        assert f"names the data directory {other}." in result["msg"]
        assert servers.calls == []

    def test_it_is_stopped_again_when_that_shows_only_then(self, servers, data, ask, other):
        servers.unit(UNIT, other)
        result = ask(service=UNIT)
        assert result["error_code"] == "service_other_server"
        assert f"it has started the server of {other}. The unit was stopped again." in result["msg"]
        assert (servers.pid(other), servers.pid(data)) == (0, 0)


class TestWhatCannotBe:
    @WAYS
    def test_a_server_that_does_not_start(self, data, ask, named, unit):
        (data / "words").write_text("LOG:  starting\nFATAL:  no room\nHINT:  Make some.\nLOG:  shut down\n")
        result = ask(service=named(unit))
        assert (result["failed"], result["error_code"]) == (True, "server_start_failed")
        assert "does not start. It says: LOG:  starting / FATAL:  no room / HINT:  Make some. Next: " in result["msg"]
        assert result["server_log"] == ["LOG:  starting", "FATAL:  no room", "HINT:  Make some."]
        assert result["cause"] is None

    @WAYS
    def test_a_reason_that_is_known_has_a_name_and_a_step_and_no_secret(self, data, ask, named, unit):
        (data / "words").write_text(
            'FATAL:  could not access file "pg_nosuch": No such file\nDETAIL:  password=hunter2\n'
        )
        result = ask(service=named(unit))
        assert result["cause"] == "library_missing"
        assert "Next: install the package that brings the library on this host" in result["msg"]
        assert "hunter2" not in str(result)

    @WAYS
    def test_a_server_that_says_nothing(self, data, ask, named, unit):
        (data / "words").write_text("")
        result = ask(service=named(unit))
        assert result["server_log"] == []
        assert "does not start." in result["msg"]

    def test_what_an_earlier_start_said_is_not_told(self, servers, data, ask):
        (data.parent / ".pgdata.standby" / "server.log").write_text("FATAL:  long ago\n")
        (data / "words").write_text("FATAL:  now\n")
        assert "It says: FATAL:  now." in ask()["msg"]

    @WAYS
    def test_a_server_that_does_not_end(self, servers, data, ask, unit, named):
        (data / "stubborn").write_text("")
        pid = servers.start(data)
        result = ask("stopped", timeout=1, service=named(unit))
        assert (result["failed"], result["error_code"]) == (True, "server_stalled")
        assert f"(pid {pid})" in result["msg"]

    def test_a_unit_that_systemd_does_not_know(self, ask):
        assert ask(service="nosuch")["error_code"] == "service_unknown"

    def test_what_systemd_refuses(self, servers, data, ask):
        servers.unit(UNIT, data, refuses=["start"])
        result = ask(service=UNIT)
        assert result["error_code"] == "systemd_failed"
        assert f"Failed to start {UNIT}.service: Access denied" in result["msg"]

    @pytest.mark.parametrize("timeout", [0, -1])
    def test_no_patience(self, ask, timeout):
        assert ask(timeout=timeout)["error_code"] == "option_out_of_range"


class TestADirectoryWithoutAWholeCluster:
    """Such as that of a copy that broke off, after the server had been stopped for it."""

    @pytest.fixture(autouse=True)
    def broken(self, data):
        (data / "global" / "pg_control").unlink()

    @WAYS
    def test_no_server_is_started(self, servers, data, ask, named, unit):
        result = ask(service=named(unit))
        assert (result["failed"], result["error_code"]) == (True, "data_directory_not_startable")
        assert "the directory is foreign" in result["msg"]
        assert (servers.pid(data), servers.calls) == (0, [])

    @WAYS
    def test_it_may_be_left(self, servers, data, ask, named, unit):
        before = read_tree(data)
        result = ask(service=named(unit), unstartable="leave")
        assert (result["changed"], result["action"], result["running"]) == (False, "none", False)
        assert (read_tree(data), servers.calls) == (before, [])


class TestStartingAtBoot:
    def test_is_arranged(self, servers, data, ask, named):
        service = named(UNIT)
        servers.start(data, UNIT)
        checked = ask(service=service, enabled=True, check_mode=True)
        assert (checked["changed"], checked["enabled_changed"], servers.calls) == (True, True, [])
        result = ask(service=service, enabled=True)
        assert (result["changed"], result["action"], result["enabled_changed"]) == (True, "none", True)
        assert result["diff"]["after"] == "start at boot\n"
        assert servers.calls == [f"enable {UNIT}"]
        assert ask(service=service, enabled=True)["changed"] is False
        assert ask(service=service, enabled=False)["enabled_changed"] is True
        assert servers.calls == [f"enable {UNIT}", f"disable {UNIT}"]

    @pytest.mark.parametrize("state", ["static", "generated"])
    @pytest.mark.parametrize("enabled", [True, False])
    def test_is_left_to_what_decides_it(self, servers, data, ask, state, enabled):
        servers.unit(UNIT, data, UnitFileState=state)
        assert ask(service=UNIT, enabled=enabled)["enabled_changed"] is False

    def test_until_the_next_reboot_is_not_enough(self, servers, data, ask):
        servers.unit(UNIT, data, UnitFileState="enabled-runtime", WantedBy="multi-user.target")
        assert ask(service=UNIT)["after_reboot"]["starts"] is False
        enabled = ask(service=UNIT, enabled=True)
        assert (enabled["enabled_changed"], enabled["after_reboot"]["starts"]) == (True, True)
        assert ask(service=UNIT, enabled=True)["changed"] is False

    def test_needs_a_unit(self, ask):
        assert ask(enabled=True)["enabled_changed"] is False


class TestAReboot:
    @pytest.mark.parametrize("check_mode", [True, False])
    @pytest.mark.parametrize(("enabled", "starts"), [(True, True), (None, False), (False, False)])
    def test_is_told_of_what_will_be(self, servers, data, ask, named, check_mode, enabled, starts):
        result = ask(service=named(UNIT), check_mode=check_mode, enabled=enabled)
        assert result["after_reboot"]["starts"] is starts
        assert UNIT in result["after_reboot"]["why"]

    def test_leaves_a_unit_down_that_cannot_be_enabled(self, servers, data, ask):
        servers.unit(UNIT, data, UnitFileState="static")
        result = ask(service=UNIT, enabled=True)
        assert (result["after_reboot"]["starts"], result["enabled_changed"]) == (False, False)
        assert "no [Install] section" in result["after_reboot"]["why"]

    def test_leaves_a_server_down_that_no_unit_runs(self, ask):
        assert ask()["after_reboot"]["starts"] is False
