# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A right that one process has at a time. Private to the collection."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import now, read_note

__all__ = ["Lock", "holding", "require_lockable", "require_makeable"]

# What a note tells of the process that wrote it.
_WRITER, _STARTED = "writer", "started"


def _open(path: str, how: int = 0) -> int:
    """A file for a lock; its directory may be missing. Raises OSError for that, and StandbyError for a link."""
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | how, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as failed:
        raise _unopened(path, failed.strerror) from failed


def _unopened(path: str, why: str | None) -> StandbyError:
    return StandbyError(
        Refusal(
            "write_failed",
            f"Cannot open {path}: {why}. Nothing was changed.",
            "remove it unless it is a plain file of"
            " the database's OS user, and check free space and inodes (df, df -i)",
        )
    )


def require_lockable(state_directory: str) -> None:
    """That a run could take its locks in this state directory, or in one that is made there. Changes nothing.

    Raises StandbyError. That the directory is missing says nothing: who makes it may write to it. A link is refused:
    what it leads to may be somebody else's, and would get the notes and the mode of a state directory.
    """
    if os.path.islink(state_directory):
        raise StandbyError(
            Refusal(
                "link_untrusted",
                f"The state directory {state_directory} is a link, to {os.path.realpath(state_directory)}. Nothing was"
                " changed.",
                "remove the link; if the notes of copies are meant to be where it leads, name that path in"
                " state_directory",
            )
        )
    for own in ("runner", "lock"):
        path = os.path.join(state_directory, own)
        try:
            os.close(_open(path))
        except FileNotFoundError:
            if os.path.isdir(state_directory) and not os.access(state_directory, os.W_OK | os.X_OK):
                raise _unopened(path, os.strerror(errno.EACCES)) from None
        except NotADirectoryError:
            pass  # refused where the directory is made


def require_makeable(state_directory: str) -> None:
    """That the state directory is there for the user who we act as, or can be made by that user. Changes nothing.

    Raises StandbyError.
    """
    require_lockable(state_directory)
    there = state_directory
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    # Root acts as another user by its effective id.
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        found = f"{state_directory} cannot be made or written: the database's OS user may not write to {there}."
        step = "make it, owned by that user, or name another state_directory"
        raise StandbyError(Refusal("directory_not_writable", f"{found} Nothing was changed.", step))


class Lock:
    """A right that one process has at a time; ``note`` tells the others of it.

    It is a flock, so it goes with the processes that hold it and is never stale. The note of an earlier holder is there
    for an instant after the lock has been taken; so a note counts only if the process that wrote it is alive, and it
    goes before the lock does.
    """

    def __init__(self, path: str, note: dict[str, Any]) -> None:
        self._path = path
        self._note = note
        self._taken = False
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
            note = {**self._note, _WRITER: os.getpid(), _STARTED: _started(os.getpid())}
            os.pwrite(self.fd, (json.dumps(note) + "\n").encode(), 0)
            self._taken = True
        return True

    def release(self) -> None:
        """Let go of it. Programs that inherited it still hold it."""
        if self._taken:
            self._taken = False
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, 0)
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
            return _of_the_living(read_note(path) or {})
        finally:
            os.close(handle)
        return None


def _of_the_living(note: dict[str, Any]) -> dict[str, Any]:
    """The note if the process that wrote it is alive; else {}."""
    written_by = {name: note.pop(name, None) for name in (_WRITER, _STARTED)}
    started = _started(written_by[_WRITER]) if written_by[_WRITER] else None
    alive = started is not None and started == written_by[_STARTED]
    return note if alive else {}


def _started(pid: int) -> str | None:
    """When a process was started, in ticks since the host was: with its number that names it (proc(5), stat, 22).

    None if it has ended.
    """
    fields = (read_small(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else None


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
