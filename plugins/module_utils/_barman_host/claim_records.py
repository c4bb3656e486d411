# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of claims, in the home of the user who runs Barman, on Barman's host. Private to the collection.

Every record has a lock beside it, and only its holder changes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import pwd
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import fsync_directory

__all__ = ["Record", "record_of", "records"]

_PLACE = (".pgfleet", "claims")

_LOOK_SECONDS = 0.1


class Record:
    """What is known of the uses of one thing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = path + ".lock"

    def read(self) -> dict[str, Any]:
        """The record, empty if there is none. Raises StandbyError if the file is no record."""
        try:
            with open(self.path, encoding="utf-8") as stream:
                return dict(json.load(stream))
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError):
            raise StandbyError(
                Refusal(
                    "claims_invalid",
                    f"{self.path} on the Barman host is no record of claims.",
                    "look at it, and remove it",
                )
            ) from None

    def write(self, content: Mapping[str, Any]) -> None:
        """Replace it; it is durable when this returns."""
        new = self.path + ".new"
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(handle, "w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=1, sort_keys=True)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(new, self.path)
        fsync_directory(os.path.dirname(self.path))

    def remove(self) -> None:
        """Forget it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    @contextlib.contextmanager
    def locked(self, seconds: float) -> Iterator[int]:
        """Work alone with the record. Yields the lock, for a program that must not be left behind to inherit.

        Raises StandbyError if another process has the lock for longer than ``seconds``.
        """
        for directory in (os.path.dirname(os.path.dirname(self.path)), os.path.dirname(self.path)):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
        lock = self._take(time.monotonic() + seconds)
        if lock is None:
            raise StandbyError(
                Refusal(
                    "claims_busy",
                    f"Another run works with {self.path} on the Barman host, still after {seconds:g} seconds.",
                    "wait for it, then run again",
                )
            )
        try:
            yield lock
        finally:
            if not os.path.exists(self.path):
                os.unlink(self._lock)
            os.close(lock)

    def _take(self, deadline: float) -> int | None:
        while True:
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had the lock before may have removed the file with the record: then ours is another.
                if os.path.samestat(os.fstat(lock), os.stat(self._lock)):
                    return lock
            os.close(lock)
            if time.monotonic() >= deadline:
                return None
            time.sleep(_LOOK_SECONDS)


def record_of(kind: str, server: str, directory: str) -> Record:
    """The record of a backup by its place on this host: that is its name, whatever configuration speaks of it."""
    digest = hashlib.sha256(directory.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{server}-{os.path.basename(directory)}")[:100]
    return Record(os.path.join(_place(), f"{kind}-{plain}-{digest}.json"))


def records(kind: str) -> list[Record]:
    """All of this kind."""
    return [Record(path) for path in sorted(glob.glob(os.path.join(glob.escape(_place()), f"{kind}-*.json")))]


def _place() -> str:
    # Not $HOME: whoever becomes Barman's user may have kept his own.
    return os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, *_PLACE)
