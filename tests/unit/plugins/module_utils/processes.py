# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of this machine, looked at and waited for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

# For what has to come: much longer than any machine takes, so that only what never comes fails.
LONG = 600


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


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
