# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit for a program of which nobody knows how long it has to work: on doing nothing. Private to the collection."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from ansible_collections.pgfleet.standby.plugins.module_utils._commands import processes as _processes
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import ProgramGroup

__all__ = ["killed_if_still"]

_LOOKS = 20  # within the time for which the programs may do nothing


class _Stillness:
    """For how many seconds nothing has been done; ``patience`` of them are too many."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._work: int | None = None
        self._since = 0.0

    def is_too_long(self, now: float, work: int) -> bool:
        """Whether ``work``, a number that grows while something is done, has been the same for that long."""
        if work != self._work:
            self._work, self._since = work, now
        return now - self._since >= self._patience


@contextlib.contextmanager
def killed_if_still(group: ProgramGroup, seconds: float) -> Iterator[threading.Event]:
    """Kill a group that does nothing for so many seconds meanwhile. The event says whether that was so."""
    overdue, over = threading.Event(), threading.Event()

    def watch() -> None:
        stillness = _Stillness(seconds)
        while not over.wait(seconds / _LOOKS):
            if stillness.is_too_long(time.monotonic(), _work_of_group(group.number)):
                overdue.set()
                group.kill()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield overdue
    finally:
        over.set()
        watcher.join()


def _work_of_group(number: int) -> int:
    """A number that grows while a process of a group computes, reads or writes.

    What comes from the network costs time to compute, and what is written of it is counted.
    """
    return sum(_processes.ticks(stat) + _processes.bytes_moved(pid) for pid, stat in _processes.group(number))
