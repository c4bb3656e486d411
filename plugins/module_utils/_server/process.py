# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a server, and waiting for as long as they work. Private to the collection."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands import processes as _processes

__all__ = ["StalledError", "lives", "wait", "work_of", "working_directory"]

_PAUSE = 0.2


class StalledError(Exception):
    """What was waited for has not come, and for too long nothing has moved."""


def wait(come: Callable[[], bool], moved: Callable[[], Any], patience: float, pause: float = _PAUSE) -> None:
    """Wait until something has come, for as long as what ``moved`` returns changes.

    Raises StalledError if ``moved`` has returned the same for ``patience`` seconds; what ``come`` raises goes through.
    """
    last, since = moved(), time.monotonic()
    while not come():
        now = moved()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > patience:
            raise StalledError
        time.sleep(pause)


def lives(pid: int) -> bool:
    """Whether there is a process of that number that has not ended."""
    stat = _processes.stat_of(pid)
    return stat is not None and not _processes.is_over(stat)


def working_directory(pid: int) -> str | None:
    """The directory in which a process works; None if that cannot be seen."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def work_of(pid: int) -> int:
    """A number that grows while a process or one of its children computes, reads or writes."""
    return sum(_processes.ticks(stat) + _processes.bytes_moved(name) for name, stat in _processes.family(pid))
