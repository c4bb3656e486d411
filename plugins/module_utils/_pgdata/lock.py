# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A right that one process has at a time. Private to the collection."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import now, read_note

__all__ = ["Lock", "holding"]


def _open(path: str, how: int = 0) -> int:
    """A file for a lock; its directory may be missing. Raises OSError for that, and StandbyError for a link."""
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | how, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "write_failed",
                f"Cannot open {path}: {failed.strerror}. Nothing was changed.",
                "remove it unless it is a plain file of"
                " the database's OS user, and check free space and inodes (df, df -i)",
            )
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
        """Take the lock, waiting for others to let go of it; whether it is taken. False after ``wait_seconds``."""
        self.fd = _open(self._path, os.O_CREAT)
        deadline = time.monotonic() + wait_seconds
        while not self._try():
            if time.monotonic() >= deadline:
                self.release()
                return False
            time.sleep(0.2)
        if (
            os.fstat(self.fd).st_nlink == 0
        ):  # its last holder has removed the file, so that others would not see this lock
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
        """The note of the process that has the lock; None if no process has it, {} if the note is not there yet."""
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
    """Hold a lock, and give its file descriptor. Raises ``busy`` if others do not let go of it in time."""
    lock = Lock(path, {"pid": os.getpid(), "since": now(), **note})
    if not lock.take(wait_seconds):
        raise busy
    try:
        yield lock.fd
    finally:
        lock.release()
