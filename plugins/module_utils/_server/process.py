# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a server, and waiting for as long as they work. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small

__all__ = ["StalledError", "lives", "wait", "work_of", "working_directory"]

_PAUSE = 0.2

_MOVED = re.compile(r"^(?:rchar|wchar|read_bytes|write_bytes): (\d+)$", re.MULTILINE)


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
    stat = _stat(str(pid))
    return stat is not None and stat[0] not in ("Z", "X")


def working_directory(pid: int) -> str | None:
    """The directory in which a process works; None if that cannot be seen."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def work_of(pid: int) -> int:
    """A number that grows while a process or one of its children computes, reads or writes (proc(5), stat and io)."""
    return sum(_ticks(stat) + _bytes(name) for name, stat in _family(pid))


def _family(pid: int) -> Iterator[tuple[str, list[str]]]:
    for name in os.listdir("/proc"):
        stat = _stat(name) if name.isdigit() else None
        if stat is not None and str(pid) in (name, stat[1]):
            yield name, stat


def _stat(pid: str) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on, the state: the second, a name, may hold anything."""
    with contextlib.suppress(OSError):
        text = read_small(f"/proc/{pid}/stat")
        return text.rpartition(")")[2].split() if text else None
    return None


def _ticks(stat: list[str]) -> int:
    return int(stat[11]) + int(stat[12])


def _bytes(pid: str) -> int:
    with contextlib.suppress(OSError):
        return sum(map(int, _MOVED.findall(read_small(f"/proc/{pid}/io") or "")))
    return 0
