# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a copy, outside the data directory, and the lock against a second one. Private to the collection."""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._datadir import read_small, write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError

__all__ = ["Lock", "boot_id", "save_state"]


def boot_id() -> str:
    """A name of the current boot: after another one, what was written but not synced may be gone."""
    return (read_small("/proc/sys/kernel/random/boot_id") or "").strip()


def save_state(state_directory: str, **state: Any) -> None:
    """Record where the copy stands, durably. ``phase`` is copying, committing or committed."""
    write_atomically(os.path.join(state_directory, "state.json"), json.dumps(state, indent=1, sort_keys=True) + "\n")


class Lock:
    """The right to write into one data directory, for one run at a time.

    It is a flock, so it goes with the processes that hold it and is never stale.
    """

    def __init__(self, state_directory: str, wait_seconds: float) -> None:
        self._path = os.path.join(state_directory, "lock")
        self._wait = wait_seconds
        self.fd = -1

    def __enter__(self) -> Lock:
        """Take the lock, waiting for another run to end. Raises StandbyError when it does not in time."""
        self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + self._wait
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as held:
                if time.monotonic() >= deadline:
                    holder = (read_small(self._path) or "").strip() or "another process"
                    os.close(self.fd)
                    raise StandbyError(
                        f"Another copy into this data directory is running ({holder}). Next: wait for it, or end it.",
                        "clone_running",
                    ) from held
            time.sleep(0.5)
        os.ftruncate(self.fd, 0)
        os.pwrite(
            self.fd, f"pid {os.getpid()} since {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n".encode(), 0
        )
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self.fd)
