# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a backup, by a clock that goes as fast as the test likes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman import catalog as _catalog
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.selection import WAITING
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import backup

NEW, OLD = "20261121T120000", "20261120T120000"


class World:
    """A clock, and a Barman whose backups change their status as it goes on; to ask takes a second."""

    server = "pg"

    def __init__(self, monkeypatch, **changes):
        """``changes`` are lists of what happens to a backup: after so many seconds, the status."""
        self.passed = 0.0
        self.changes = changes
        self.asked = []
        clock = SimpleNamespace(monotonic=lambda: 1000 + self.passed, time=lambda: 5000.9, sleep=self.sleep)
        monkeypatch.setattr(_catalog, "time", clock)

    def sleep(self, seconds):
        assert seconds >= 0
        self.passed += seconds

    def show_backup(self, name, version, server):
        self.asked.append(round(self.passed))
        self.passed += 1
        status = [status for after, status in self.changes[name] if after <= self.passed][-1]
        if status == "gone":
            raise StandbyError(Refusal("backup_unknown", "there is no such backup", "run again"))
        return backup(backup_id=name, status=status)

    def choose(self, wait, may_wait=True):
        options = {"backup_id": "latest", "before": None, "max_age": None, "wait": wait}
        listed = [
            backup(backup_id=name, status=self.changes[name][0][1]) for name in sorted(self.changes, reverse=True)
        ]
        catalog = _catalog.Catalog(self, (3, 19), None, tuple(listed))
        choice = _catalog.choose_from_catalog(catalog, _catalog.request_now(options), may_wait)
        return choice.backup.backup_id, [reasons for _name, reasons in choice.skipped]


@pytest.mark.parametrize(
    ("ready", "wait", "chosen", "seconds"),
    [
        pytest.param(8, 60, NEW, 13, id="soon"),
        pytest.param(0.5, 60, NEW, 1, id="at once"),
        pytest.param(60, 60, NEW, 61, id="at the last moment"),
        pytest.param(70, 60, OLD, 62, id="too late"),
        pytest.param(2, 3, NEW, 4, id="in less than one round"),
        pytest.param(600, 3, OLD, 5, id="less than one round, too late"),
        pytest.param(3600, 0, OLD, 2, id="not asked to"),
    ],
)
def test_waits_as_long_as_it_may(monkeypatch, ready, wait, chosen, seconds):
    world = World(monkeypatch, **{NEW: [(0, WAITING), (ready, "DONE")], OLD: [(0, "DONE")]})
    assert world.choose(wait)[0] == chosen
    assert world.passed == seconds


def test_asks_every_few_seconds(monkeypatch):
    world = World(monkeypatch, **{NEW: [(0, WAITING), (23, "DONE")], OLD: [(0, "DONE")]})
    world.choose(60)
    assert world.asked == [0, 6, 12, 18, 24]


def test_a_failure_ends_the_waiting(monkeypatch):
    world = World(monkeypatch, **{NEW: [(0, WAITING), (8, "FAILED")], OLD: [(0, "DONE")]})
    assert world.choose(3600) == (OLD, [["its status is FAILED, not DONE"]])
    assert world.passed < 20


def test_the_time_is_for_all_backups_together(monkeypatch):
    world = World(monkeypatch, **{NEW: [(0, WAITING)], OLD: [(0, WAITING)], "20261119T120000": [(0, "DONE")]})
    assert world.choose(60)[0] == "20261119T120000"
    assert world.passed < 70


def test_check_mode_does_not_wait(monkeypatch):
    world = World(monkeypatch, **{NEW: [(0, WAITING), (8, "DONE")], OLD: [(0, "DONE")]})
    chosen, [[reason]] = world.choose(3600, may_wait=False)
    assert (chosen, world.passed) == (OLD, 2)
    assert "check mode" in reason


def test_a_backup_that_is_deleted_meanwhile_is_an_error(monkeypatch):
    world = World(monkeypatch, **{NEW: [(0, WAITING), (8, "gone")], OLD: [(0, "DONE")]})
    with pytest.raises(StandbyError) as refused:
        world.choose(60)
    assert refused.value.code == "backup_unknown"


def test_now_is_in_whole_seconds(monkeypatch):
    World(monkeypatch)
    options = {"backup_id": "latest", "before": None, "max_age": "1h", "wait": 0}
    assert _catalog.request_now(options).now == 5000


def test_nothing_is_wanted_without_a_backup_id():
    assert _catalog.request_now({"backup_id": None}) is None
