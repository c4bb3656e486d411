# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.readiness import (
    behind,
    lag_bytes,
    reasons,
    refusal,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    SYSTEM_IDENTIFIER,
    instance,
    receiver,
    upstream,
)

KEYWORDS = {"host": "primary"}


@pytest.mark.parametrize(
    ("wishes", "state"),
    [
        pytest.param({}, {}, id="nothing wanted"),
        pytest.param({"keywords": KEYWORDS}, {}, id="from that host"),
        pytest.param({"keywords": {"host": "other,primary"}}, {}, id="from one of these hosts"),
        pytest.param({"keywords": {"host": "a,primary", "port": "1,5432"}}, {}, id="from one of these ports"),
        pytest.param({"keywords": {"hostaddr": "10.0.0.1"}}, {"sender_host": "10.0.0.1"}, id="from that address"),
        pytest.param({"upstream": upstream()}, {}, id="of that cluster"),
        pytest.param({"upstream": upstream(timeline=7)}, {"timeline": None}, id="no timeline received yet"),
        pytest.param({"slot_name": "n1"}, {}, id="by that slot"),
        pytest.param({"slot_name": None}, {"slot_name": "x"}, id="by any slot"),
        pytest.param({"min_replay_lsn": 0x5000000}, {}, id="replayed that far"),
        pytest.param({"max_lag_bytes": 0, "upstream": upstream()}, {}, id="not behind"),
        pytest.param({"max_lag_bytes": 16, "upstream": upstream(lsn=0x5000010)}, {}, id="hardly behind"),
        pytest.param({"max_lag_bytes": 0}, {}, id="lag unknown without an upstream"),
    ],
)
def test_ready(wishes, state):
    assert reasons(instance(receiver=receiver(**state)), **wishes) == []


@pytest.mark.parametrize(
    ("wishes", "state", "said"),
    [
        ({}, {"in_recovery": False}, "it is not in recovery: it runs as a primary"),
        ({}, {"receiver": None}, "it has no WAL receiver: it is not connected to any upstream"),
        ({}, {"receiver": receiver(status="waiting")}, "its WAL receiver is waiting, not streaming"),
        ({"keywords": {"host": "a,b"}}, {}, "it receives from primary, not from a or b"),
        ({"keywords": KEYWORDS}, {"receiver": receiver(sender_host=None)}, "it receives from None, not from primary"),
        ({"keywords": KEYWORDS}, {"receiver": receiver(sender_port=5433)}, "it receives from port 5433, not from 5432"),
        ({"keywords": {**KEYWORDS, "port": "1,2"}}, {}, "it receives from port 5432, not from 1 or 2"),
        ({"slot_name": "n2"}, {}, "it uses slot n1, not n2"),
        ({"slot_name": "n2"}, {"receiver": receiver(slot_name=None)}, "it uses no slot, not n2"),
        (
            {"upstream": upstream(system_identifier="1")},
            {},
            f"its system identifier is {SYSTEM_IDENTIFIER}, the upstream's is 1",
        ),
        ({"upstream": upstream(timeline=2)}, {}, "it receives timeline 1, the upstream is on 2"),
        (
            {"upstream": upstream(lsn=0x5000011), "max_lag_bytes": 16},
            {},
            "it is 17 bytes behind the upstream, more than max_lag_bytes=16",
        ),
        ({"min_replay_lsn": 0x5000001}, {}, "it has replayed 0/5000000, not yet 0/5000001"),
        ({"min_replay_lsn": 1}, {"replay_lsn": None}, "it has replayed nothing yet, not yet 0/1"),
    ],
)
def test_not_ready(wishes, state, said):
    assert reasons(instance(**state), **wishes) == [said]


def test_every_reason_is_told():
    found = reasons(
        instance(receiver=None, replay_lsn=0),
        upstream=upstream(system_identifier="1"),
        max_lag_bytes=0,
        min_replay_lsn=1,
    )
    assert [reason.split()[1] for reason in found] == ["has", "system", "is", "has"]


def test_a_primary_is_told_nothing_else():
    assert (
        len(reasons(instance(in_recovery=False, receiver=None), KEYWORDS, upstream(timeline=9), "n2", 1 << 60, 0)) == 1
    )


@pytest.mark.parametrize(
    ("replay_lsn", "other", "lag"),
    [(100, upstream(lsn=130), 30), (100, upstream(lsn=90), 0), (None, upstream(), None), (100, None, None)],
    ids=["behind", "upstream asked before", "nothing replayed", "no upstream"],
)
def test_lag(replay_lsn, other, lag):
    assert lag_bytes(instance(replay_lsn=replay_lsn), other) == lag


@pytest.mark.parametrize(
    ("delayed", "state", "said"),
    [
        (True, {"replay_lsn": 0x1000000}, []),
        (True, {"receive_lsn": 0x4000000}, ["it has received 0/4000000, not yet 0/5000000"]),
        (True, {"receive_lsn": None}, ["it has received nothing yet, not yet 0/5000000"]),
        (False, {"receive_lsn": None}, []),
        (False, {"replay_lsn": 0x4000000}, ["it has replayed 0/4000000, not yet 0/5000000"]),
    ],
)
def test_a_delayed_one_is_judged_by_what_it_has_received(delayed, state, said):
    seen = instance(delayed=delayed, **state)
    assert behind(seen, upstream(), min_replay_lsn=0x5000000) == said
    assert reasons(seen, upstream=upstream(), min_replay_lsn=0x5000000) == said
    assert len(behind(seen, upstream(), max_lag_bytes=0x100000)) == (1 if said and "nothing" not in said[0] else 0)


def test_a_paused_replay_is_a_reason_wherever_it_stands():
    assert reasons(instance(paused=True), upstream=upstream(), min_replay_lsn=1) == ["its replay is paused"]
    assert behind(instance(paused=True, delayed=True), upstream()) == ["its replay is paused"]
    assert "its replay is paused" in behind(instance(paused=True, replay_lsn=0), upstream(), 0x5000000, 0)


SMALL = {"max_connections": 50}


@pytest.mark.parametrize(
    ("not_following", "late", "state", "code"),
    [
        ([], [], {}, None),
        (["it has no WAL receiver"], [], {}, "standby_not_ready"),
        (["it has no WAL receiver"], ["its replay is paused"], {"paused": True}, "standby_not_ready"),
        ([], ["it is late"], {}, "standby_catching_up"),
        ([], ["its replay is paused"], {"paused": True}, "replay_paused"),
        # It has paused by itself, and goes on when the limit is raised and it is restarted.
        ([], ["its replay is paused"], {"paused": True, "settings": SMALL}, "standby_catching_up"),
    ],
)
def test_why_it_is_not_ready_has_a_name(not_following, late, state, code):
    found = refusal("/srv/pg", not_following, late, instance(**state), upstream(settings={"max_connections": 100}))
    assert (found.code if found is not None else None) == code
    for reason in [*not_following, *late]:
        assert reason in found.msg


def test_without_an_upstream_or_an_answer_there_is_a_name_as_well():
    assert refusal("/srv/pg", [], ["its replay is paused"], instance(paused=True), None).code == "replay_paused"
    assert refusal("/srv/pg", ["no server runs"], [], None, None).code == "standby_not_ready"
