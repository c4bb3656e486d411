# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When slots are noted, made, dropped and forgotten: plays of the role on hosts that are stood in for."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.standby.tests.plays.plays import Plays, Told


@pytest.fixture
def plays(tmp_path):
    return Plays(tmp_path)


def slot(name: str, host: str) -> dict[str, Any]:
    """A slot as a plan and a record tell it."""
    return {
        "name": name,
        "login_host": host,
        "login_port": 5432,
        "login_user": "replicator",
        "login_db": "postgres",
        "connect_params": {},
    }


WANTED = {"slot": {**slot("a", "primary"), "create": True, "max_wal_bytes": -1}}
OLD = slot("a", "old-primary")
HEALTHY = ["a:/data/one"]


def done(told: Told) -> list[tuple[str, str, str]]:
    """What became of which slot, in the order of the calls."""
    calls = [call for call in told.story if call["module"] in ("standby_slot_record", "postgresql_slot")]
    return [
        (
            "record" if call["module"] == "standby_slot_record" else "server",
            call["options"].get("state", "present"),
            call["options"].get("name") or call["options"]["slot"]["name"],
        )
        for call in calls
    ]


def test_a_slot_is_noted_before_it_is_made(plays):
    told = plays.run(hosts="a", plan=WANTED)
    assert told.code == 0, told.output
    assert done(told) == [("record", "present", "a"), ("server", "present", "a")]


def test_a_slot_that_could_not_be_noted_is_not_made(plays):
    told = plays.run(hosts="a", plan=WANTED, fails={"a": {"standby_slot_record": {"msg": "no room"}}})
    assert done(told) == [("record", "present", "a")]
    assert told.reported("msg") == {"a": "no room"}


def test_a_slot_of_a_play_that_fails_is_dropped_and_forgotten(plays):
    down = {"pgdata_info": {"pgdata": {"running": False}}}
    refused = {"standby_recovery": {"error_code": "setting_invalid", "msg": "It is none."}}
    told = plays.run(hosts="a", plan=WANTED, fails={"a": {**refused, **down}})
    made = [("record", "present", "a"), ("server", "present", "a")]
    assert done(told) == [*made, ("server", "absent", "a"), ("record", "absent", "a")]


class TestFormerSlots:
    def test_are_told_on_every_run_and_left(self, plays):
        told = plays.run(hosts="a", healthy=HEALTHY, former=[OLD])
        assert (told.code, told.reported(), done(told)) == (0, {"a": "streaming"}, [])
        assert "SELECT pg_drop_replication_slot('a')" in told.output
        assert "old-primary:5432" in told.output
        assert told.recap["a"]["changed"] == 0

    def test_are_dropped_and_forgotten_on_request(self, plays):
        told = plays.run({"former_slots": "drop"}, hosts="a", healthy=HEALTHY, former=[OLD, slot("b", "old-primary")])
        assert told.code == 0, told.output
        both = [("server", "absent", "a"), ("server", "absent", "b")]
        assert done(told) == [*both, ("record", "absent", "a"), ("record", "absent", "b")]

    def test_that_cannot_be_dropped_stay_noted_and_the_play_succeeds(self, plays):
        gone = {"a": {"postgresql_slot": {"msg": "could not connect to old-primary"}}}
        told = plays.run({"former_slots": "drop"}, hosts="a", healthy=HEALTHY, former=[OLD], fails=gone)
        assert (told.code, told.reported()) == (0, {"a": "streaming"})
        assert done(told) == [("server", "absent", "a")]
        assert "was not dropped: could not connect to old-primary" in " ".join(told.output.split())

    def test_are_not_looked_at_by_a_play_that_fails(self, plays):
        refused = {"standby_preflight": {"error_code": "space_missing", "msg": "It is full."}}
        told = plays.run({"former_slots": "drop"}, hosts="a", former=[OLD], fails={"a": refused})
        assert done(told) == []
