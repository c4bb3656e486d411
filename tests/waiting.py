# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How tests wait: for a state, however long a slow machine takes to come to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Seconds after which what has not come will not come. A net, and never a measure: on any machine a test needs a small
# part of it.
BOUND = 300.0
# Seconds that no test is to see the end of: for what would end by itself, and is to be ended.
FOR_EVER = 100_000


def wait_until(condition: Callable[[], object], what: str = "what the test waits for") -> None:
    """Look again and again until it is so; fail after BOUND seconds."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, f"{what} has not come within {BOUND:g} seconds"
        time.sleep(0.005)


def _fields(pid: int | str) -> list[str]:
    """The fields of proc(5) ``stat`` from the state on; none if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_gone(pid: int | str) -> bool:
    """Whether a process has ended, even if its parent has not asked for that yet."""
    return _fields(pid)[:1] in ([], ["Z"])


def children() -> set[str]:
    """The numbers of this process's children."""
    return {pid for pid in os.listdir("/proc") if pid.isdecimal() and _fields(pid)[1:2] == [str(os.getpid())]}


def more_and_more_seconds() -> Iterator[float]:
    """Time limits for what is to be ended in the middle: each one longer, until the middle is reached in time."""
    seconds = 0.3
    while seconds < BOUND:
        yield seconds
        seconds *= 4
