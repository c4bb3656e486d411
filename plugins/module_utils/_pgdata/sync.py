# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files made durable, also while more of them are written, and failed writes that are never missed.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import stat
import threading
from collections.abc import Callable, Iterable, Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import nearest_existing, walk

__all__ = ["FileSystems", "Syncing"]

# Seconds. Left alone, the kernel begins to write when a share of the memory is dirty; the last sync would wait for all
# of that.
_PAUSE = 1.0

# Since then syncfs(2) tells of writes that have failed (syncfs(2), ERRORS, EIO).
_TELLS_SINCE = (5, 8)


class FileSystems:
    """The file systems of some places, held open from before the first write to the last sync.

    The kernel tells of a write that has failed once to everybody who had the file system open at that time. Who opens
    it later hears of the failure only if nobody has heard of it before (Linux, Documentation/core-api/errseq.rst). So
    one descriptor of each file system is held for all syncs. A place that is not there yet is on the file system of the
    nearest directory above. Leave it as a context. Raises OSError for a place that cannot be opened.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self._places = tuple(places)
        self._held: dict[int, tuple[str, int]] = {}
        try:
            self._hold(map(nearest_existing, self._places))
        except OSError:
            self.__exit__()
            raise

    def __enter__(self) -> FileSystems:
        return self

    def __exit__(self, *_failure: object) -> None:
        while self._held:
            os.close(self._held.popitem()[1][1])

    def sync(self) -> None:
        """Make durable what has been written. Raises StandbyError if a disk refuses, now or since the last sync."""
        self._hold(filter(os.path.isdir, self._places))
        for place, handle in list(self._held.values()):
            _explained(place, _syncfs, handle)

    def make_durable(self) -> str:
        """The last sync: how it is known that everything is on the disks. Raises StandbyError if it is not.

        ``syncfs``: the kernel has told of no failed write since these file systems were opened. ``fsync``: the kernel
        is older and tells of failed writes by the file alone, so every file was asked. It tells of a file that has left
        its memory no more.
        """
        self.sync()
        if _kernel() >= _TELLS_SINCE:
            return "syncfs"
        for place in self._places:
            if os.path.isdir(place):
                _fsync_all(place)
        return "fsync"

    def _hold(self, places: Iterable[str]) -> None:
        for place in places:
            device = os.stat(place).st_dev
            if device not in self._held:
                self._held[device] = (place, os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


class Syncing:
    """Syncs file systems again and again, so that the last sync has little left to do.

    A disk that refuses is told at once: first to ``failed``, which writes down that what was written is not to be
    trusted, then to the main thread, where StandbyError is raised whatever that is doing. Only in the main thread.
    """

    def __init__(self, disks: FileSystems, failed: Callable[[], None]) -> None:
        self._disks = disks
        self._failed = failed
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._failure: StandbyError | None = None
        self._thread = threading.Thread(target=self._sync, daemon=True)

    def __enter__(self) -> Syncing:
        self._before = signal.signal(signal.SIGUSR1, self._raise)
        self._thread.start()
        return self

    def __exit__(self, failure: object, *_more: object) -> None:
        try:
            with self._guard:  # from here on nobody is signalled
                self._ended.set()
            if failure is None:  # a copy that has failed does not wait for a slow disk
                self._thread.join()
                self._require_no_failure()
        finally:
            # A signal that was sent and has not come yet would end the process if it found no handler.
            signal.signal(signal.SIGUSR1, self._before if self._failure is None else _pass)

    def complete(self) -> str:
        """Wait until everything that was written before is durable; how that is known, as ``make_durable`` tells.

        Raises StandbyError when a disk refuses.
        """
        with self._guard:
            self._ended.set()
        self._thread.join()
        self._require_no_failure()
        try:
            return self._disks.make_durable()
        except StandbyError:
            self._failed()
            raise

    def _sync(self) -> None:
        while not self._ended.wait(_PAUSE):
            try:
                self._disks.sync()
            except StandbyError as failure:
                self._failure = failure
                self._failed()
                with self._guard:
                    if not self._ended.is_set():
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                return

    def _raise(self, _number: int, _frame: object) -> None:
        if not self._ended.is_set():
            self._require_no_failure()

    def _require_no_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _pass(_number: int, _frame: object) -> None:
    """Nobody waits for this signal any more."""


def _kernel() -> tuple[int, ...]:
    """The first two numbers of the kernel's version."""
    return tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])


def _syncfs(handle: int) -> None:
    """syncfs(2), which Python does not have. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).syncfs(handle) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _fsync_all(top: str) -> None:
    """Ask every file and directory below one. Raises StandbyError."""
    _fsync(top)
    for path, status in walk(top, lambda _path, _status: True):
        if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
            _fsync(os.path.join(top, path))


def _fsync(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _explained(path, os.fsync, handle)
        finally:
            os.close(handle)


def _explained(place: str, sync: Callable[[int], None], handle: int) -> None:
    try:
        sync(handle)
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "disk_error",
                f"A disk does not hold what was written: the sync of {place} failed: {failed.strerror}."
                " The directory cannot be started; a new run compares all that is there.",
                "check the disk and its file system (dmesg)",
            )
        ) from failed
