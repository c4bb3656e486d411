# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import progress as _progress
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress, read_progress
from ansible_collections.pgfleet.standby.tests.waiting import wait_until


class Clock:
    def __init__(self):
        self.now = 1000.0


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    clock = Clock()
    monkeypatch.setattr(
        _progress,
        "time",
        SimpleNamespace(monotonic=lambda: clock.now, strftime=time.strftime, gmtime=lambda: time.gmtime(0)),
    )
    return clock


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "progress.json")


@pytest.fixture
def progress(path, clock):
    return Progress(path)


def told(progress, *names):
    snapshot = progress.snapshot()
    return tuple(snapshot[name] for name in names)


class TestCounts:
    def test_are_unknown_at_first(self, progress):
        assert progress.snapshot() == {
            "phase": "preparing",
            "bytes": 0,
            "bytes_done": 0,
            "percent": None,
            "rate": None,
            "eta": None,
            "seconds": 0.0,
            "retries": 0,
        }

    @pytest.mark.parametrize(
        ("events", "done"),
        [
            pytest.param([], 0, id="nothing"),
            pytest.param([("add", 0, 10)], 10, id="a portion"),
            pytest.param([("at", 0, 3), ("at", 0, 7)], 7, id="within a portion"),
            pytest.param([("at", 0, 3), ("at", 1, 4)], 7, id="two workers"),
            pytest.param([("at", 0, 7), ("add", 0, 10)], 10, id="a portion is not counted twice"),
            pytest.param([("add", 1, 10), ("at", 0, 7), ("retried", 0)], 10, id="what has to be sent again"),
            pytest.param([("add", 0, 90), ("at", 1, 90)], 100, id="never more than there is"),
            pytest.param([("add", 0, 90), ("enter", "verifying", 100)], 0, id="a phase begins with nothing"),
            pytest.param([("at", 0, 90), ("enter", "verifying", 100)], 0, id="a phase forgets what was under way"),
        ],
    )
    def test_of_bytes_that_are_done(self, progress, events, done):
        progress.enter("copying", 100)
        for name, *given in events:
            getattr(progress, name)(*given)
        assert told(progress, "bytes", "bytes_done", "percent") == (100, done, float(done))

    def test_of_retries_stay(self, progress):
        progress.retried(0)
        progress.enter("copying", 100)
        progress.retried(1)
        assert (progress.retries, told(progress, "retries")) == (2, (2,))


class TestRate:
    @pytest.mark.parametrize(
        ("steps", "rate", "eta"),
        [
            pytest.param([(0.1, 500)], None, None, id="too early"),
            pytest.param([(2, 0)], None, None, id="nothing moves"),
            pytest.param([(2, 100)], 50, 18, id="steady"),
            pytest.param([(1, 100), (1, 300)], 200, 3, id="since the window began"),
            pytest.param([(5, 400), (20, 0), (20, 0), (20, 0)], None, None, id="stalled"),
            pytest.param([(5, 400), (40, 0), (10, 100), (20, 100)], 6, 60, id="what is long ago does not count"),
            pytest.param([(10, 1000)], 100, 0, id="done"),
        ],
    )
    def test_is_of_the_last_half_minute(self, progress, clock, steps, rate, eta):
        progress.enter("copying", 1000)
        for seconds, count in steps:
            clock.now += seconds
            progress.add(0, count)
            snapshot = progress.snapshot()
        assert (snapshot["rate"], snapshot["eta"]) == (rate, eta)

    def test_begins_anew_with_each_phase(self, progress, clock):
        progress.enter("copying", 1000)
        clock.now += 10
        progress.add(0, 1000)
        progress.enter("verifying", 1000)
        assert told(progress, "rate", "seconds") == (None, 10.0)
        clock.now += 10
        progress.add(0, 500)
        assert told(progress, "rate", "seconds") == (50, 20.0)


class TestFile:
    def test_is_written_at_every_change_of_phase(self, progress, path):
        assert read_progress(path) is None
        progress.enter("copying", 100)
        assert read_progress(path) == {**progress.snapshot(), "at": "1970-01-01T00:00:00Z"}
        progress.enter("syncing")
        assert read_progress(path)["phase"] == "syncing"

    def test_is_this_copys_from_the_start(self, progress, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"phase": "committing", "percent": 100}, file)
        progress.start()
        assert read_progress(path)["phase"] == "preparing"
        progress.stop()

    def test_is_written_again_and_again_until_it_is_stopped(self, progress, path, monkeypatch):
        monkeypatch.setattr(_progress, "_TICK", 0.001)
        before = set(threading.enumerate())
        progress.start()
        progress.enter("copying", 100)
        progress.add(0, 50)
        wait_until(lambda: read_progress(path)["bytes_done"] == 50)
        progress.stop()
        assert set(threading.enumerate()) <= before

    def test_is_for_us_alone_and_leaves_nothing_beside_it(self, progress, tmp_path):
        progress.enter("copying", 100)
        [file] = tmp_path.iterdir()
        assert (file.name, file.stat().st_mode & 0o777) == ("progress.json", 0o600)

    def test_that_cannot_be_written_stops_no_copy(self, clock, tmp_path):
        progress = Progress(str(tmp_path / "absent" / "progress.json"))
        progress.enter("copying", 100)
        assert told(progress, "phase") == ("copying",)

    @pytest.mark.parametrize("text", [None, "", "{", "7", "null"])
    def test_that_says_nothing_is_none(self, path, text):
        if text is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        assert read_progress(path) is None


def test_stopping_what_was_never_started_is_no_failure(progress):
    progress.stop()
    progress.enter("copying", 1)
    assert told(progress, "phase") == ("copying",)
