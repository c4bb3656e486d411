# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that a copy writes, each written by one copy at a time. Private to the collection.

The lock beside the record is that of one state directory. Two standbys of one host, each with a state directory of its
own, may be told the same place for a tablespace, by two names perhaps.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import is_empty, private_directory

__all__ = ["TargetLocks", "locked_targets"]

# A file system without locks of directories, such as NFS (flock(2), NOTES).
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


class TargetLocks:
    """A lock of each directory itself, so by its device and inode whatever name leads there."""

    def __init__(self, places: Sequence[str]) -> None:
        self._places = tuple(places)
        self._held: dict[tuple[int, int], int] = {}

    def take(self) -> None:
        """Lock those that are there, before anybody looks at what they hold. Raises StandbyError."""
        for place in filter(os.path.isdir, self._places):
            self._take(place)

    def make(self) -> None:
        """Make those that were not there, and lock them; of a link to nothing, what it leads to.

        Raises StandbyError if another copy was quicker.
        """
        for place in self._places:
            if not os.path.isdir(place):
                private_directory(os.path.realpath(place))
                self._take(place)
                if not is_empty(place):
                    raise _busy(place)

    def release(self) -> None:
        """Let go of all."""
        while self._held:
            os.close(self._held.popitem()[1])

    def _take(self, place: str) -> None:
        handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        status = os.fstat(handle)
        if (status.st_dev, status.st_ino) in self._held:
            os.close(handle)
            return
        self._held[status.st_dev, status.st_ino] = handle
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(place) from None
        except OSError as failed:
            if failed.errno not in _NO_LOCKS:
                raise


@contextlib.contextmanager
def locked_targets(places: Sequence[str]) -> Iterator[TargetLocks]:
    """Hold the directories that are there, and let go of all at the end. Raises StandbyError."""
    locks = TargetLocks(places)
    try:
        locks.take()
        yield locks
    finally:
        locks.release()


def _busy(place: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "target_in_use",
            f"Another copy writes into {place} at this moment. Nothing was changed there by this run.",
            "give each standby of this host directories of its own (tablespace_mapping, waldir), or wait for the other"
            " copy",
        )
    )
