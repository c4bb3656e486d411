# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private directory in which a server is rehearsed: made, held, and removed whatever happens.

It is known by what it is and never by its name alone: a directory of our user with mode 0700, with our mark in it, of
this host, whose lock is held by no living process. Whoever is killed leaves one; the next rehearsal removes it. The
server inherits the lock, so it is free only when that has ended as well. Private to the collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import has_room, locked_directory, read_small

__all__ = ["Scratch", "scratch"]

_PREFIX = ".pgfleet-rehearsal-"

# tempfile's own names.
_NAME = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]{8}")

_MARK = "rehearsal.lock"

# The sockets that a server has been told to make, one path a line: one that was killed leaves them.
_SOCKETS = "sockets"


@dataclass(frozen=True)
class Scratch:
    """The directory. ``lock`` is the descriptor of its lock, for programs to inherit."""

    path: str
    lock: int

    @property
    def data(self) -> str:
        """The data directory of the server that is rehearsed."""
        return os.path.join(self.path, "data")

    def will_make(self, sockets: Sequence[str]) -> None:
        """Note which sockets a server will make, before it does."""
        with open(os.path.join(self.path, _SOCKETS), "a", encoding="utf-8", errors="surrogateescape") as noted:
            noted.writelines(f"{path}\n" for path in sockets)


@contextlib.contextmanager
def scratch(bases: Sequence[str], room: int) -> Iterator[Scratch]:
    """Make one in the first of these directories that has so many bytes of room; what dead ones have left goes before.

    Raises StandbyError if there is no such directory, and OSError.
    """
    for place in bases:
        _remove_dead(place)
    base = next((place for place in bases if has_room(place, room)), None)
    if base is None:
        raise StandbyError(
            Refusal(
                "rehearsal_failed",
                f"Neither of {', '.join(bases)} can be written and has {room >> 20} MiB free for a scratch cluster.",
                "make room there",
            )
        )
    with locked_directory(base):
        path = tempfile.mkdtemp(prefix=_PREFIX, dir=base)
        lock = os.open(os.path.join(path, _MARK), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(lock, _mark().encode())
    try:
        yield Scratch(path, lock)
    finally:
        _remove(path)
        os.close(lock)


def _mark() -> str:
    """What is written into the lock: another host may use the same file system, and its processes are not seen here."""
    return f"pgfleet.standby rehearses a server here, on {socket.gethostname()}\n"


def _remove_dead(base: str) -> None:
    """Remove what others of us have left that were killed. A directory that cannot be looked at is left alone."""
    with contextlib.suppress(OSError, StandbyError), locked_directory(base):
        for name in filter(_NAME.fullmatch, os.listdir(base)):
            path = os.path.join(base, name)
            with contextlib.suppress(OSError):
                if _is_dead(path):
                    _remove(path)


def _is_dead(path: str) -> bool:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) != 0o700:
        return False
    if not os.listdir(path):
        return True  # killed between two system calls: under the lock of the base nobody else is there
    lock = os.open(os.path.join(path, _MARK), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.read(lock, 1024).decode("utf-8", "replace") != _mark():
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    finally:
        os.close(lock)


def _remove(path: str) -> None:
    """The mark goes last: a removal that is interrupted leaves what the next one knows again."""
    _remove_sockets(path)
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(path):
            place = os.path.join(path, name)
            if os.path.isdir(place) and not os.path.islink(place):
                shutil.rmtree(place, ignore_errors=True)
            elif name != _MARK:
                os.unlink(place)
        shutil.rmtree(path)


def _remove_sockets(path: str) -> None:
    """The sockets of a server that was killed. That they are that server's is known by the directory in their lock."""
    for place in (read_small(os.path.join(path, _SOCKETS)) or "").splitlines():
        lines = (read_small(f"{place}.lock") or "").splitlines()
        if lines[1:2] != [os.path.join(path, "data")]:
            continue
        for left in (place, f"{place}.lock"):
            with contextlib.suppress(OSError):
                os.unlink(left)
