# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WAL feed in plays: it runs as long as a standby that comes to be may need it, and then nothing of it is left."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.tests.plays.plays import Plays

BEGUN, ENDED = "feed", "feed ends"
COPIED, STARTED, PROVEN = "copy", "start", "proof"
WITH, WITHOUT = "settings with the spool", "settings"
REFUSED = {"error_code": "wal_in_cloud", "msg": "The WAL is in a cloud."}


@pytest.fixture
def plays(tmp_path):
    return Plays(tmp_path)


def step(call):
    """What a call is for, if it has to do with the feed."""
    options = call["options"]
    return {
        "standby_wal_feed": ENDED if options.get("state") == "absent" else BEGUN,
        "standby_clone": COPIED,
        "standby_basebackup": COPIED,
        "standby_recovery": WITH if options.get("wal_feed") else WITHOUT,
        "standby_server": STARTED,
        "standby_info": PROVEN,
    }.get(call["module"])


def steps(told):
    return [name for name in map(step, told.story) if name]


def test_it_begins_before_the_copy_and_ends_when_the_standby_streams(plays):
    told = plays.run(hosts="a")
    assert (told.code, told.reported()) == (0, {"a": "streaming"}), told.output
    assert steps(told) == [BEGUN, COPIED, WITH, STARTED, PROVEN, WITHOUT, STARTED, ENDED]


def test_with_a_limit_it_begins_after_the_copy_so_that_both_receive_no_more_than_that(plays):
    told = plays.run({"bwlimit": 1000}, hosts="a")
    assert told.code == 0, told.output
    assert steps(told)[:3] == [COPIED, BEGUN, WITH]


@pytest.mark.parametrize("action", ["start", "settings"])
def test_a_standby_that_is_there_and_has_to_catch_up_is_fed_from_where_it_goes_on(plays, action):
    told = plays.run(hosts="a", plan={"action": action, "copies": False})
    assert told.code != 0  # the stand-in has no server that streams without a copy
    assert steps(told)[:4] == [BEGUN, WITH, STARTED, PROVEN]
    assert "backup" not in told.calls("standby_wal_feed")[0]["options"]


@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        ({"wal_spool": 0}, []),
        ({"restore_command": "none"}, []),
        ({"start": False}, []),
        ({"method": "pg_basebackup"}, []),
        ({"host": "", "server": "", "method": "pg_basebackup"}, []),
        ({}, ["--check"]),
    ],
    ids=["not wanted", "no archive wanted", "no server", "WAL comes with the copy", "no Barman", "check mode"],
)
def test_there_is_none(plays, inputs, options):
    told = plays.run(inputs, hosts="a", options=options)
    assert told.code == 0, told.output
    assert told.calls("standby_wal_feed") == []
    assert WITH not in steps(told)


def test_a_play_goes_on_without_one_that_cannot_be(plays):
    told = plays.run(hosts="a", fails={"a": {"standby_wal_feed": REFUSED}})
    assert (told.code, told.reported()) == (0, {"a": "streaming"}), told.output
    assert "WAL is not fetched ahead of the server: The WAL is in a cloud." in told.output
    assert WITH not in steps(told)


class TestAPlayThatFails:
    def test_nothing_is_left_of_it_if_no_server_runs(self, plays):
        died = {"error_code": "copy_killed", "msg": "The copy was killed. Next: run the play again."}
        told = plays.run(hosts="a", fails={"a": {"standby_clone": died}})
        assert told.reported("error_code") == {"a": "copy_killed"}
        assert steps(told) == [BEGUN, COPIED, ENDED]

    def test_it_goes_on_for_a_server_that_runs(self, plays):
        late = {"error_code": "task_failed", "msg": "It does not stream yet."}
        told = plays.run(hosts="a", fails={"a": {"standby_info": late}})
        assert told.reported() == {"a": "failed"}
        assert steps(told) == [BEGUN, COPIED, WITH, STARTED, PROVEN]

    def test_the_next_one_removes_what_is_left_when_the_standby_streams(self, plays):
        told = plays.run(hosts="a", healthy=["a:/data/one"], drifted=["a:/data/one"], fed="/data/.one.standby/wal_feed")
        assert (told.code, told.reported()) == (0, {"a": "streaming"}), told.output
        assert steps(told) == [WITHOUT, STARTED, ENDED]


class TestAPlayThatDoesNotWait:
    """A standby that catches up is no failure then, and keeps what it needs."""

    def test_what_is_late_goes_on_with_its_feed_and_its_claim(self, plays):
        told = plays.run({"wait_timeout": 0}, hosts="ab", late="b")
        assert (told.code, told.reported()) == (0, {"a": "streaming", "b": "catching_up"}), told.output
        given_up = {
            name: {call["host"] for call in told.calls(name) if call["options"].get("state") == "absent"}
            for name in ("standby_wal_feed", "barman_backup_keep")
        }
        assert given_up == {"standby_wal_feed": {"a"}, "barman_backup_keep": {"a"}}

    def test_the_next_one_goes_on_from_there(self, plays):
        goes_on = {"action": "start", "copies": False}
        told = plays.run({"wait_timeout": 0}, hosts="a", late="a", healthy=["a:/data/one"], plan=goes_on)
        assert (told.code, told.reported()) == (0, {"a": "catching_up"}), told.output
        assert told.calls("standby_clone") == []

    def test_who_waits_is_told_of_a_failure(self, plays):
        assert plays.run(hosts="a", late="a").reported() == {"a": "failed"}
