# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import slot as _slot
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import Slot, UpstreamFacts
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._checks.verdicts import found


def physical(**changed):
    return Slot(**{"name": "n2", "kind": "physical", "active": False, "wal_status": "reserved", **changed})


BUSY = {"active": True, "pid": 71, "application_name": "n9", "client_addr": "10.0.0.9"}
ROOM = {"max_replication_slots": 10, "slots_in_use": 3}
FULL = {"max_replication_slots": 3, "slots_in_use": 3}


@pytest.mark.parametrize(
    ("slot", "facts", "ours", "expected"),
    [
        pytest.param(physical(), ROOM, False, [], id="free"),
        pytest.param(physical(), FULL, False, [], id="free, and the last one"),
        pytest.param(physical(**BUSY), ROOM, False, [("error", "slot_active")], id="another's"),
        pytest.param(physical(**BUSY), ROOM, True, [], id="ours"),
        pytest.param(physical(wal_status="extended"), ROOM, False, [], id="extended"),
        pytest.param(physical(wal_status=None), ROOM, False, [], id="before 13"),
        pytest.param(physical(wal_status="unreserved"), ROOM, False, [("warning", "slot_wal_limit")], id="in danger"),
        pytest.param(physical(wal_status="lost"), ROOM, False, [("error", "slot_lost")], id="lost"),
        pytest.param(physical(wal_status="lost", **BUSY), ROOM, True, [("error", "slot_lost")], id="lost, though ours"),
        pytest.param(
            physical(invalidation_reason="idle_timeout"), ROOM, False, [("error", "slot_lost")], id="invalidated"
        ),
        pytest.param(Slot("n2", "logical", False), ROOM, False, [("error", "slot_logical")], id="logical"),
        pytest.param(Slot("n2", "logical", True), ROOM, False, [("error", "slot_logical")], id="logical in use"),
        pytest.param(Slot("n2", "absent"), ROOM, False, [("error", "slot_absent")], id="absent"),
        pytest.param(Slot("n2", "absent"), FULL, False, [("error", "slots_exhausted")], id="absent, none free"),
        pytest.param(
            Slot("n2", "absent"), {"max_replication_slots": 0}, False, [("error", "slots_exhausted")], id="none at all"
        ),
        pytest.param(
            Slot("n2", "absent"), {"max_replication_slots": 9}, False, [("error", "slot_absent")], id="use unknown"
        ),
        pytest.param(Slot("n2", "absent"), {}, False, [("error", "slot_absent")], id="nothing else known"),
        pytest.param(Slot("n2", "physical"), {}, False, [], id="by the replication protocol"),
        pytest.param(None, ROOM, False, [], id="not told"),
    ],
)
def test_slots(slot, facts, ours, expected):
    assert found(_slot.slot("primary", "n2", UpstreamFacts(slot=slot, **facts), ours)) == expected


def test_a_missing_slot_may_be_made_by_an_ordinary_login():
    facts = UpstreamFacts(slot=Slot("n2", "absent"), database="postgres", **ROOM)
    [verdict] = _slot.slot("primary", "n2", facts, ours=False, made=True)
    assert (verdict.severity, verdict.msg) == ("ok", "slot n2 will be made on primary")
    denied = UpstreamFacts(slot=Slot("n2", "absent"), **ROOM)
    assert found(_slot.slot("primary", "n2", denied, ours=False, made=True)) == [("error", "slot_absent")]


def test_slots_name_who_uses_it():
    [verdict] = _slot.slot("primary", "n2", UpstreamFacts(slot=physical(**BUSY)), ours=False)
    assert verdict.msg.startswith("Slot n2 of primary is in use by n9 at 10.0.0.9 (process 71).")
    [verdict] = _slot.slot("primary", "n2", UpstreamFacts(slot=physical(active=True, pid=71)), ours=False)
    assert "in use by another client (process 71)." in verdict.msg


@pytest.mark.parametrize("name", [None, ""])
def test_no_slot_is_wanted(name):
    assert found(_slot.slot("primary", name, UpstreamFacts(), ours=False)) == []


@pytest.mark.parametrize("name", ["N2", "n-2", "n 2", "n2'; --", "n" * 64])
def test_slots_have_names_that_the_server_takes(name):
    assert found(_slot.slot("primary", name, UpstreamFacts(), False)) == [("error", "slot_name_invalid")]


@pytest.mark.parametrize(
    ("name", "limit", "backlog", "expected"),
    [
        pytest.param("n2", -1, 1 << 50, [], id="no limit"),
        pytest.param("n2", 1 << 30, 1 << 30, [], id="exactly"),
        pytest.param("n2", 1 << 30, (1 << 30) + 1, [("warning", "slot_wal_limit")], id="a byte more"),
        pytest.param("n2", 0, 1, [("warning", "slot_wal_limit")], id="nothing is kept"),
        pytest.param("n2", None, 1 << 50, [], id="not told"),
        pytest.param(None, 0, 1, [], id="no slot"),
    ],
)
def test_slot_wal_limit(name, limit, backlog, expected):
    facts = UpstreamFacts(max_slot_wal_keep_size=limit)
    assert found(_slot.slot_wal_limit("primary", name, facts, backlog)) == expected
