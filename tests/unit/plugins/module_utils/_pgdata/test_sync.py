# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import signal
import threading

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import sync as _sync
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.sync import FileSystems, Syncing
from ansible_collections.pgfleet.standby.tests.waiting import BOUND, FOR_EVER, wait_until


class Kernel:
    """Its syncfs, call by call. A write that has failed is told once, and to a descriptor that was open then."""

    def __init__(self):
        self.version = (6, 1)
        self.synced = []
        self.asked = []
        self.untold = {}
        self.called = threading.Semaphore(0)

    def fail_a_write(self, *handles):
        self.untold.update(dict.fromkeys(handles, errno.EIO))

    def syncfs(self, handle):
        self.synced.append(handle)
        self.called.release()
        self._tell(self.untold.pop(handle, 0))

    def fsync(self, path):
        self.asked.append(path)
        self._tell(self.untold.pop(path, 0))

    @staticmethod
    def _tell(number):
        if number:
            raise OSError(number, os.strerror(number))

    def wait_for(self, count):
        for _time in range(count):
            assert self.called.acquire(timeout=BOUND)


@pytest.fixture
def kernel(monkeypatch):
    kernel = Kernel()
    fsync = os.fsync
    monkeypatch.setattr(_sync, "_syncfs", kernel.syncfs)
    monkeypatch.setattr(_sync, "_kernel", lambda: kernel.version)
    monkeypatch.setattr(_sync, "_PAUSE", 0.001)

    def asked(handle):
        kernel.fsync(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(_sync.os, "fsync", asked)
    return kernel


@pytest.fixture
def places(tmp_path):
    for name in ("data", "fast"):
        (tmp_path / name).mkdir()
    return [str(tmp_path / "data"), str(tmp_path / "fast")]


def held(disks):
    """The descriptors by their device."""
    return {device: handle for device, (_place, handle) in disks._held.items()}


class TestFileSystems:
    def test_are_held_by_one_descriptor_each_from_the_beginning_to_the_end(self, kernel, places):
        with FileSystems([*places, "/proc"]) as disks:
            before = held(disks)
            assert before.keys() == {os.stat(places[0]).st_dev, os.stat("/proc").st_dev}
            disks.sync()
            disks.sync()
            assert disks.make_durable() == "syncfs"
        assert sorted(kernel.synced) == sorted([*before.values()] * 3)
        for handle in before.values():
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(handle)

    def test_of_places_that_are_not_there_yet_are_those_of_the_directory_above(self, kernel, places):
        with FileSystems([f"{places[0]}/later/still"]) as disks:
            assert held(disks).keys() == {os.stat(places[0]).st_dev}

    def test_tell_of_a_write_that_failed_after_they_were_opened(self, kernel, places):
        with FileSystems(places) as disks:
            kernel.fail_a_write(*held(disks).values())
            with pytest.raises(StandbyError, match="Input/output error") as refused:
                disks.make_durable()
        assert refused.value.code == "disk_error"

    @pytest.mark.parametrize(
        ("version", "how"), [((4, 18), "fsync"), ((5, 7), "fsync"), ((5, 8), "syncfs"), ((6, 1), "syncfs")]
    )
    def test_say_how_it_is_known_that_all_is_durable(self, kernel, places, version, how):
        kernel.version = version
        with FileSystems(places) as disks:
            assert disks.make_durable() == how

    def test_ask_every_file_if_the_kernel_tells_of_failed_writes_by_the_file_alone(self, kernel, tmp_path, places):
        kernel.version = (4, 18)
        (tmp_path / "data/base").mkdir()
        (tmp_path / "data/base/1").write_text("x", encoding="utf-8")
        (tmp_path / "data/link").symlink_to("/proc/self/mem")
        os.mkfifo(tmp_path / "data/fifo")
        with FileSystems(places) as disks:
            disks.make_durable()
        names = ["data", "data/base", "data/base/1", "fast"]
        assert sorted(kernel.asked) == [f"{tmp_path}/{name}" for name in names]

    def test_a_file_that_was_not_written_is_told_then(self, kernel, tmp_path, places):
        kernel.version = (4, 18)
        lost = tmp_path / "fast/1"
        lost.write_text("x", encoding="utf-8")
        kernel.fail_a_write(str(lost))
        with FileSystems(places) as disks, pytest.raises(StandbyError, match=str(lost)):
            disks.make_durable()

    def test_of_this_host_are_synced(self, places):
        with FileSystems(places) as disks:
            disks.sync()
            assert disks.make_durable() in ("syncfs", "fsync")


def test_a_descriptor_that_cannot_be_synced_is_an_error():
    with pytest.raises(OSError, match="Bad file descriptor"):
        _sync._syncfs(-1)


class Distrust:
    """Remembers that it was told of a failed disk, and in which thread."""

    def __init__(self):
        self.told = []

    def __call__(self):
        self.told.append(threading.current_thread())


@pytest.fixture
def distrust():
    return Distrust()


class TestSyncing:
    def test_happens_again_and_again_meanwhile(self, kernel, places, distrust):
        with FileSystems(places) as disks, Syncing(disks, distrust):
            kernel.wait_for(3)
        assert distrust.told == []

    def test_happens_once_more_at_the_end_and_never_again(self, kernel, places, distrust):
        with FileSystems(places) as disks, Syncing(disks, distrust) as syncing:
            kernel.wait_for(1)
            before = len(kernel.synced)
            assert syncing.complete() == "syncfs"
            ended = len(kernel.synced)
            assert ended > before
        assert len(kernel.synced) == ended

    def test_does_not_disturb_a_short_copy(self, kernel, places, distrust, monkeypatch):
        monkeypatch.setattr(_sync, "_PAUSE", FOR_EVER)
        with FileSystems(places) as disks, Syncing(disks, distrust) as syncing:
            syncing.complete()
        assert len(kernel.synced) == 1

    @pytest.mark.parametrize(
        "work",
        [
            pytest.param(signal.pause, id="waits for a signal"),
            pytest.param(lambda: threading.Event().wait(), id="waits for a thread"),
            pytest.param(lambda: os.read(os.pipe()[0], 1), id="waits for a program"),
        ],
    )
    def test_a_disk_that_refuses_ends_the_copy_at_once_whatever_it_does(self, kernel, places, distrust, work):
        def copy():
            with FileSystems(places) as disks, Syncing(disks, distrust):
                kernel.fail_a_write(*held(disks).values())
                work()

        with pytest.raises(StandbyError) as refused:
            copy()
        assert refused.value.code == "disk_error"
        assert len(distrust.told) == 1
        assert distrust.told[0] is not threading.main_thread()  # before the copy has heard of it

    def test_a_disk_that_refuses_is_not_forgotten_if_the_copy_has_not_heard_of_it(self, kernel, places, distrust):
        """It tells of a failed write once: the last sync would succeed."""

        def copy():
            with FileSystems(places) as disks, Syncing(disks, distrust) as syncing:
                kernel.fail_a_write(*held(disks).values())
                wait_until(lambda: distrust.told)
                syncing.complete()

        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        try:
            with pytest.raises(StandbyError):
                copy()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})

    def test_that_the_last_one_is_refused_is_written_down_as_well(self, kernel, places, distrust, monkeypatch):
        monkeypatch.setattr(_sync, "_PAUSE", FOR_EVER)
        with FileSystems(places) as disks, Syncing(disks, distrust) as syncing:
            kernel.fail_a_write(*held(disks).values())
            with pytest.raises(StandbyError):
                syncing.complete()
        assert len(distrust.told) == 1

    def test_ends_with_a_copy_that_fails(self, kernel, places, distrust):
        before = set(threading.enumerate())

        def copy():
            with FileSystems(places) as disks, Syncing(disks, distrust):
                kernel.wait_for(1)
                raise ValueError("of the copy")

        with pytest.raises(ValueError, match="of the copy"):
            copy()
        wait_until(lambda: set(threading.enumerate()) <= before, "the end of the thread that syncs")

    def test_leaves_the_signal_as_it_was(self, kernel, places, distrust):
        before = signal.getsignal(signal.SIGUSR1)
        with FileSystems(places) as disks, Syncing(disks, distrust):
            assert signal.getsignal(signal.SIGUSR1) is not before
        assert signal.getsignal(signal.SIGUSR1) is before
