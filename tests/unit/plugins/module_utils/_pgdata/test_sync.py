# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import threading

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import sync as _sync
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.sync import Syncing, sync
from ansible_collections.pgfleet.standby.tests.waiting import BOUND, FOR_EVER, wait_until

BROKEN = StandbyError(Refusal("disk_error", "a disk refuses", "run again"))


class Disk:
    """What is synced, call by call; one of the calls may be refused."""

    def __init__(self):
        self.calls = []
        self.refuses_at = None
        self.called = threading.Semaphore(0)

    def sync(self, places):
        self.calls.append(list(places))
        refuses = len(self.calls) == self.refuses_at
        self.called.release()
        if refuses:
            raise BROKEN

    def wait_for(self, count):
        for _time in range(count):
            assert self.called.acquire(timeout=BOUND)


@pytest.fixture
def disk(monkeypatch):
    disk = Disk()
    monkeypatch.setattr(_sync, "sync", disk.sync)
    monkeypatch.setattr(_sync, "_PAUSE", 0.001)
    return disk


@pytest.fixture
def places(tmp_path):
    for name in ("data", "fast"):
        (tmp_path / name).mkdir()
    return [str(tmp_path / "data"), str(tmp_path / "fast")]


def test_happens_again_and_again_meanwhile(disk, places):
    with Syncing(places):
        disk.wait_for(3)
    assert disk.calls[:3] == [places] * 3


def test_leaves_out_meanwhile_what_is_not_there_yet(disk, places):
    with Syncing([*places, "/nowhere"]):
        disk.wait_for(1)
    assert disk.calls[0] == places


def test_happens_once_more_at_the_end_for_all_places_and_never_again(disk, places):
    with Syncing([*places, "/late"]) as syncing:
        disk.wait_for(1)
        before = len(disk.calls)
        syncing.complete()
        assert disk.calls[-1] == [*places, "/late"]
        ended = len(disk.calls)
        assert ended > before
    assert len(disk.calls) == ended


def test_does_not_disturb_a_short_copy(disk, places, monkeypatch):
    monkeypatch.setattr(_sync, "_PAUSE", FOR_EVER)
    with Syncing(places) as syncing:
        syncing.complete()
    assert disk.calls == [places]


@pytest.mark.parametrize("refuses_at", [1, 3])
def test_that_a_disk_refused_at_any_time_is_told_at_the_end(disk, places, refuses_at):
    """The system tells of a lost write once: a later sync would succeed."""
    disk.refuses_at = refuses_at
    with Syncing(places) as syncing:
        disk.wait_for(refuses_at)
        with pytest.raises(StandbyError) as error:
            syncing.complete()
    assert error.value is BROKEN


def test_that_the_last_one_is_refused_is_told(disk, places, monkeypatch):
    monkeypatch.setattr(_sync, "_PAUSE", FOR_EVER)
    disk.refuses_at = 1
    with Syncing(places) as syncing, pytest.raises(StandbyError):
        syncing.complete()


def test_ends_with_a_copy_that_fails(disk, places):
    before = set(threading.enumerate())

    def copy():
        with Syncing(places):
            disk.wait_for(1)
            raise BROKEN

    with pytest.raises(StandbyError):
        copy()
    wait_until(lambda: set(threading.enumerate()) <= before, "the end of the thread that syncs")


def test_sync_runs_once_for_each_file_system(tmp_path, host):
    host.program("sync", f'#!/bin/sh\necho "$@" >>"{tmp_path}/synced"\n')
    (tmp_path / "link").symlink_to("/proc")
    places = [str(tmp_path), str(host.data), "/proc", f"{tmp_path}/link"]
    sync(places)
    synced = (tmp_path / "synced").read_text(encoding="utf-8").splitlines()
    devices = [os.stat(line.removeprefix("--file-system ")).st_dev for line in synced]
    assert sorted(devices) == sorted({tmp_path.stat().st_dev, os.stat("/proc").st_dev})


def test_sync_tells_when_a_disk_refuses(tmp_path, host):
    host.program("sync", "#!/bin/sh\necho 'sync: error syncing: Input/output error' >&2\nexit 1\n")
    with pytest.raises(StandbyError, match="Input/output error") as refused:
        sync([str(tmp_path)])
    assert refused.value.code == "disk_error"


def test_sync_of_a_real_file_system(tmp_path):
    assert sync([str(tmp_path)]) is None
