# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role in plays of every kind: batches, strategies, limits, hosts that fail, and two clusters on a host."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.tests.plays.plays import Plays

REFUSED = {"standby_preflight": {"error_code": "data_directory_foreign", "msg": "Not PostgreSQL's. Next: look."}}
DIED = {"standby_clone": {"error_code": "copy_killed", "msg": "The copy was killed. Next: run the play again."}}
ONE = {"server": "pg-one", "data_directory": "/data/one"}
TWO = {"server": "pg-two", "data_directory": "/data/two"}


@pytest.fixture
def plays(tmp_path):
    return Plays(tmp_path)


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"serial": [1, 2]},
        {"strategy": "free"},
        {"strategy": "host_pinned", "serial": 2},
    ],
    ids=str,
)
def test_every_host_becomes_a_standby_in_whatever_order_they_come(plays, keywords):
    told = plays.run(hosts="abc", **keywords)
    assert told.code == 0, told.output
    assert told.reported() == dict.fromkeys("abc", "streaming")
    assert [len(told.calls("standby_clone", host)) for host in "abc"] == [1] * 3


class TestHostsThatFail:
    def test_the_next_batch_is_not_touched_if_no_failure_is_allowed(self, plays):
        told = plays.run(serial=2, max_fail_percentage=0, fails={"b": DIED})
        assert told.code != 0
        assert set(told.hosts("standby_clone")) <= {"a", "b"}
        assert told.reported() == {"a": "streaming", "b": "failed"}

    def test_a_failure_ends_the_play_if_any_error_is_fatal(self, plays):
        told = plays.run(hosts="ab", serial=1, any_errors_fatal=True, fails={"a": REFUSED})
        assert told.code != 0
        assert told.hosts("standby_drift_info") == ["a"]
        assert told.reported() == {"a": "failed"}

    def test_the_others_go_on_otherwise(self, plays):
        told = plays.run(hosts="abc", serial=2, fails={"b": DIED})
        assert told.code != 0
        assert told.reported() == {"a": "streaming", "b": "failed", "c": "streaming"}
        assert told.reported("error_code")["b"] == "copy_killed"

    def test_the_report_is_there_if_all_have_failed(self, plays):
        told = plays.run(hosts="ab", fails=dict.fromkeys("ab", REFUSED))
        assert told.code != 0
        assert told.reported() == {"a": "failed", "b": "failed"}
        assert told.reported("msg")["a"] == REFUSED["standby_preflight"]["msg"]
        assert '"a     refuse' in told.output
        assert "standby_from_barman_report" in told.output.partition("CUSTOM STATS")[2]

    def test_a_host_that_cannot_be_reached_is_in_the_report(self, plays):
        told = plays.run(hosts="ab", unreachable="b")
        assert told.reported() == {"a": "streaming", "b": "unreachable"}


class TestOneAsksForAll:
    def test_only_one_asks_the_same_barman_for_the_same_backup(self, plays):
        told = plays.run(hosts="ab")
        assert told.hosts("barman_backup_info") == ["a"]

    def test_another_one_asks_if_the_first_has_troubles_of_its_own(self, plays):
        """A key that the Barman host does not accept is that host's own trouble."""
        refused = {"barman_backup_info": {"error_code": "ssh_auth", "msg": "It refused our key. Next: add it."}}
        told = plays.run(hosts="ab", fails={"a": refused})
        assert told.reported() == {"a": "failed", "b": "streaming"}
        assert told.reported("error_code")["a"] == "ssh_auth"

    def test_what_barman_itself_answered_is_the_answer_for_all(self, plays):
        none = {"barman_backup_info": {"error_code": "no_backup", "msg": "No backup fits. Next: take one."}}
        told = plays.run(hosts="ab", fails={"a": none})
        assert told.reported("error_code") == {"a": "no_backup", "b": "no_backup"}

    def test_a_host_that_was_limited_away_is_not_waited_for(self, plays):
        told = plays.run(options=["--limit", "c"])
        assert (told.code, told.reported()) == (0, {"c": "streaming"})


class TestTwoClustersOfAHost:
    @pytest.mark.parametrize("keywords", [{}, {"serial": 1}, {"strategy": "free"}], ids=str)
    def test_each_gets_its_own_backup_and_its_own_settings(self, plays, keywords):
        told = plays.run(ONE, TWO, hosts="ab", **keywords)
        assert told.code == 0, told.output
        copied = {
            (call["host"], call["data_directory"], call["options"]["backup"]["backup_id"])
            for call in told.calls("standby_clone")
        }
        assert copied == {(host, f"/data/{n}", f"of pg-{n}") for host in "ab" for n in ("one", "two")}
        for call in told.calls("standby_recovery"):
            assert call["options"]["settings"] == {"max_connections": call["data_directory"]}
        places = sorted((record["host"], record["data_directory"]) for record in told.report)
        assert places == [(host, f"/data/{n}") for host in "ab" for n in ("one", "two")]

    def test_what_was_found_of_one_is_not_taken_for_the_other(self, plays):
        told = plays.run(ONE, TWO, hosts="a", healthy=["a:/data/two"], drifted=["a:/data/two"])
        assert told.code == 0, told.output
        assert [call["data_directory"] for call in told.calls("standby_clone")] == ["/data/one"]
        actions = {record["data_directory"]: record["action"] for record in told.report}
        assert actions == {"/data/one": "clone", "/data/two": "none"}
        settings = {call["data_directory"]: call["options"]["settings"] for call in told.calls("standby_recovery")}
        assert settings == {"/data/one": {"max_connections": "/data/one"}, "/data/two": {}}

    def test_what_one_has_claimed_is_given_up(self, plays):
        told = plays.run(ONE, TWO, hosts="a")
        claims = set()
        for call in told.calls("barman_backup_keep"):
            claim = (call["options"]["owner"], call["options"]["backup"]["backup_id"])
            (claims.discard if call["options"].get("state") == "absent" else claims.add)(claim)
        assert claims == set()
        assert len(told.calls("barman_backup_keep")) == 4


def test_a_standby_that_is_as_it_is_wanted_is_only_looked_at(plays):
    told = plays.run(hosts="ab", healthy=["a:/data/one", "b:/data/one"], drifted=["b:/data/one"])
    assert (told.code, told.reported()) == (0, {"a": "streaming", "b": "streaming"})
    called = {host: [call["module"] for call in told.story if call["host"] == host] for host in "ab"}
    assert called == {
        "a": ["standby_drift_info"],
        "b": ["standby_drift_info", "standby_recovery", "standby_server"],
    }


def test_a_rewind_that_an_earlier_play_has_begun_is_waited_for_before_anything_is_decided(plays):
    goes_on = {"action": "start", "copies": False}
    told = plays.run(hosts="a", rewinding="a", plan=goes_on, healthy=["a:/data/one"], late="a")
    called = [call["module"] for call in told.story][:4]
    assert called == ["standby_drift_info", "standby_rewind", "standby_drift_info", "barman_backup_info"]
    assert plays.run(hosts="a", rewinding="a", options=["--check"]).calls("standby_rewind") == []


def test_a_play_that_starts_at_a_later_task_changes_nothing(plays):
    """What was not looked at is not known, and nothing is done about it."""
    told = plays.run(hosts="a", options=["--start-at-task", "Converge | Make the host what it is to be"])
    assert told.hosts("standby_recovery") == told.hosts("standby_server") == told.hosts("standby_clone") == []


def test_check_mode_asks_and_changes_nothing(plays):
    told = plays.run(hosts="ab", options=["--check"])
    assert (told.code, told.reported()) == (0, {"a": "planned", "b": "planned"})
    asked = {
        "standby_drift_info",
        "barman_backup_info",
        "standby_preflight",
        "standby_directories",
    }
    changes = {call["module"] for call in told.story if not call["check_mode"]}
    assert changes <= asked


class TestAReboot:
    @pytest.mark.parametrize("options", [(), ("--check",)], ids=["", "check mode"])
    @pytest.mark.parametrize(
        ("inputs", "starts"),
        [({}, True), ({"enable": False}, False), ({"start": False}, False)],
        ids=["by default", "not to be enabled", "not to be started"],
    )
    def test_of_what_it_will_do_the_report_tells(self, plays, options, inputs, starts):
        told = plays.run({**ONE, **inputs}, hosts="a", options=options)
        assert told.code == 0, told.output
        assert told.reported("after_reboot")["a"]["starts"] is starts
        assert ("a stays down after a reboot" in told.output) == (not starts)

    def test_a_host_on_which_something_fails_has_no_such_word(self, plays):
        told = plays.run(hosts="a", fails={"a": REFUSED})
        assert told.reported("after_reboot") == {"a": None}
