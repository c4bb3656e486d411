# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wait that is followed in steps. How steps are made, and made again, is tested with those of a copy."""

from __future__ import annotations

import time

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.pgfleet.standby.plugins.action import standby_info as plugin
from ansible_collections.pgfleet.standby.tests.unit.plugins.action.played import Play

# A time of day that is the same in every time zone: what these tests compare is made by the same clock.
NINE = time.mktime((2026, 12, 1, 9, 12, 0, 0, 0, -1))
REPLAYING = {
    "phase": "replaying",
    "behind": 13314398617,
    "rate": 95 << 20,
    "eta": 133.7,
    "still": 0.0,
    "consistent_since": NINE,
}
UNKNOWN = dict.fromkeys(REPLAYING)
WAITING = {"wait": "ready", "data_directory": "/pgdata"}
READY = {"changed": False, "finished": True, "ready": True}
BROKEN = AnsibleConnectionFailure("Connection reset by peer")


def behind(waited):
    return {"changed": False, "finished": False, "ready": False, "waited": waited, "progress": REPLAYING}


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(plugin.time, "time", lambda: NINE + 3600)


@pytest.fixture
def play(monkeypatch):
    return lambda *answers, **task: Play(monkeypatch, plugin, answers, **{"args": WAITING, **task})


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (REPLAYING, "replaying, 12.4 GB behind, 95.0 MB/s, about 2 min left, consistent since 09:12"),
        ({**REPLAYING, "rate": None, "eta": None}, "replaying, 12.4 GB behind, consistent since 09:12"),
        (
            {**REPLAYING, "rate": 0.0, "eta": None, "still": 40.2},
            "replaying, 12.4 GB behind, 0 B/s, no progress for 40 s, consistent since 09:12",
        ),
        ({**REPLAYING, "consistent_since": None}, "replaying, 12.4 GB behind, 95.0 MB/s, about 2 min left"),
        ({**UNKNOWN, "consistent_since": NINE - 86400}, "waiting, consistent since 2026-11-30 09:12"),
        ({**UNKNOWN, "phase": "connecting", "behind": 0}, "connecting"),
        ({**UNKNOWN, "phase": "starting", "still": 9.9}, "starting"),
        ({}, "waiting"),
    ],
)
def test_line(progress, text):
    assert plugin.line("n1", progress) == f"n1: standby_info {text}"


def test_each_step_goes_on_from_what_the_one_before_knew(play):
    task = play(behind({"moved_at": 1.0}), behind({"moved_at": 2.0}), BROKEN, READY)
    assert task.run() == READY
    assert [call.args.get("waited") for call in task.calls] == [None, {"moved_at": 1.0}, *[{"moved_at": 2.0}] * 2]
    assert task.attached == [5, 5, 5, 5]
    assert [text for text in task.shown if "WARNING" not in text] == [plugin.line("n1", REPLAYING)] * 2


def test_a_host_that_stays_away_is_told_in_words_of_a_wait(play):
    task = play(behind({}), BROKEN)
    with pytest.raises(AnsibleConnectionFailure) as raised:
        task.run()
    assert "The standby goes on by itself on the host. This task tries for 120 s to look at it again" in task.shown[1]
    said = str(raised.value)
    assert (
        "Unless the host itself is down, the standby goes on there. Next: run the play again, which waits on." in said
    )


@pytest.mark.parametrize("args", [{}, {"wait": "none"}, {"wait": None}, {"wait": "ready", "attach_timeout": 3}])
def test_what_does_not_wait_is_one_call_as_it_is(play, args):
    task = play(READY, args=args)
    assert task.run() == READY
    assert [call.args for call in task.calls] == [args]


def test_one_that_was_waited_for_in_vain_is_the_last_step(play):
    late = {**behind({}), "finished": True, "error_code": "standby_catching_up"}
    task = play(behind({}), late)
    assert task.run() == late
