# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy leaves for other runs to see: its record, its locks and its result. Private to the collection."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import read_small, write_atomically

__all__ = ["Lock", "ResultFile", "boot_id", "holding", "now", "read_note", "save_state", "sweep"]

_RESULT_BYTES = 16 << 10


def boot_id() -> str:
    """A name of the current boot: after another one, what was written but not synced may be gone."""
    return (read_small("/proc/sys/kernel/random/boot_id") or "").strip()


def now() -> str:
    """The time, in UTC, for people to read."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def save_state(state_directory: str, **state: Any) -> None:
    """Record where the copy stands, durably.

    ``phase`` is keeping (what is renamed is in ``moves``), copying, committing, committed, or rewinding.
    """
    write_atomically(os.path.join(state_directory, "state.json"), json.dumps(state, indent=1, sort_keys=True) + "\n")


def read_note(path: str) -> dict[str, Any] | None:
    """The JSON object in a small file; None where there is none, or not yet."""
    try:
        return dict(json.loads(read_small(path) or ""))
    except (TypeError, ValueError):
        return None


def sweep(state_directory: str) -> None:
    """Remove what a run that was killed had begun to write. For the one process that may write there."""
    for name in os.listdir(state_directory):
        if name.startswith((".state.json.", ".result.json.", "progress.json.")):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(state_directory, name))


def _open(path: str, how: int = 0) -> int:
    """A file for a lock; its directory may be missing. Raises OSError for that, and StandbyError for a link."""
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | how, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as failed:
        raise StandbyError(
            f"Cannot open {path}: {failed.strerror}. Nothing was changed. Next: remove it unless it is a plain file of"
            " the database's OS user, and check free space and inodes (df, df -i).",
            "write_failed",
        ) from failed


class Lock:
    """A right that one process has at a time; ``note`` tells the others of it.

    It is a flock, so it goes with the processes that hold it and is never stale.
    """

    def __init__(self, path: str, note: dict[str, Any]) -> None:
        self._path = path
        self._note = note
        self.fd = -1

    def take(self, wait_seconds: float = 0) -> bool:
        """Take it, waiting for others to end; whether that came to pass in time."""
        self.fd = _open(self._path, os.O_CREAT)
        deadline = time.monotonic() + wait_seconds
        while not self._try():
            if time.monotonic() >= deadline:
                self.release()
                return False
            time.sleep(0.2)
        if os.fstat(self.fd).st_nlink == 0:  # whoever had it has removed the file: nobody would see that we have it
            self.release()
            return False
        with contextlib.suppress(OSError):  # a note is a courtesy, and the disk may be full
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, (json.dumps(self._note) + "\n").encode(), 0)
        return True

    def release(self) -> None:
        """Let go of it. Programs that inherited it still hold it."""
        os.close(self.fd)
        self.fd = -1

    def _try(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    @staticmethod
    def holder(path: str) -> dict[str, Any] | None:
        """The note of whoever has it; None when nobody does."""
        try:
            handle = _open(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return read_note(path) or {}
        finally:
            os.close(handle)
        return None


@contextlib.contextmanager
def holding(path: str, busy: StandbyError, wait_seconds: float = 0, **note: Any) -> Iterator[int]:
    """Hold a lock, and give its file descriptor. Raises ``busy`` where others do not let go of it in time."""
    lock = Lock(path, {"pid": os.getpid(), "since": now(), **note})
    if not lock.take(wait_seconds):
        raise busy
    try:
        yield lock.fd
    finally:
        lock.release()


class ResultFile:
    """Where a copy that runs by itself leaves its result.

    The space is taken at the beginning: that the disk is full has to be told, too.
    """

    def __init__(self, state_directory: str) -> None:
        self._path = os.path.join(state_directory, "result.json")

    def reserve(self) -> None:
        """Make it, without a result. Raises StandbyError."""
        write_atomically(self._path, " " * _RESULT_BYTES)

    def write(self, result: dict[str, Any]) -> None:
        """Put the result into the reserved space."""
        text = json.dumps(result).encode()
        with contextlib.suppress(OSError):
            handle = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW)
            try:
                os.pwrite(handle, text, 0)
                os.ftruncate(handle, len(text))
            finally:
                os.close(handle)

    def read(self) -> dict[str, Any] | None:
        """The result; None while there is none."""
        return read_note(self._path)
