# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds workers back; what they pull is tested in tests/copies."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import tar_pull as _tar_pull
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.tar_pull import Throttle


@pytest.fixture
def clock(monkeypatch):
    """Shows ``now``; who sleeps has slept."""
    clock = SimpleNamespace(now=1000.0, slept=[])

    def sleep(seconds):
        clock.slept.append(round(seconds, 6))
        clock.now += seconds

    monkeypatch.setattr(_tar_pull, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    return clock


def test_a_worker_waits_for_the_time_that_its_bytes_take(clock):
    throttle = Throttle(1_000_000)
    for _portion in range(3):
        throttle.spend(10_000)
    assert clock.slept == [0.01] * 3


def test_workers_share_one_limit(clock, monkeypatch):
    throttle = Throttle(1_000_000)
    # All ask at the same moment: none has slept before the others ask.
    monkeypatch.setattr(_tar_pull.time, "sleep", clock.slept.append)
    for _worker in range(3):
        throttle.spend(10_000)
    assert [round(seconds, 6) for seconds in clock.slept] == [0.01, 0.02, 0.03]


def test_a_pause_saves_nothing_up(clock):
    throttle = Throttle(1_000_000)
    throttle.spend(10_000)
    clock.now += 60
    throttle.spend(10_000)
    assert clock.slept == [0.01] * 2


def test_without_a_limit_nobody_waits(clock):
    Throttle(None).spend(1 << 40)
    assert clock.slept == []
