# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells of processes (proc(5)), for those who wait for programs. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

__all__ = ["bytes_moved", "bytes_read", "family", "group", "is_over", "stat_of", "ticks", "uses_below"]

_READ = re.compile(r"^rchar: (\d+)$", re.MULTILINE)
_MOVED = re.compile(r"^(?:rchar|wchar|read_bytes|write_bytes): (\d+)$", re.MULTILINE)


def stat_of(pid: int | str) -> list[str] | None:
    """The fields of ``stat`` from the third on, the state: the second, a name, may hold anything.

    None if there is no such process.
    """
    return _text(f"/proc/{pid}/stat").rpartition(")")[2].split() or None


def is_over(stat: list[str]) -> bool:
    """Whether a process has ended, and only its parent has not asked for that yet."""
    return stat[0] in ("Z", "X")


def group(number: int) -> Iterator[tuple[str, list[str]]]:
    """The processes of a process group, each with its fields."""
    return ((pid, stat) for pid, stat in _all() if stat[2] == str(number))


def family(pid: int) -> Iterator[tuple[str, list[str]]]:
    """A process and its children, each with its fields."""
    return ((name, stat) for name, stat in _all() if str(pid) in (name, stat[1]))


def uses_below(directory: str) -> bool:
    """Whether another process works in a directory, or names something below it in its arguments.

    rsync's sender does both. The working directory of another user's process is not seen, its arguments are.
    """
    names = {directory.rstrip("/"), os.path.realpath(directory)}
    for pid, stat in _all():
        if int(pid) == os.getpid() or is_over(stat):
            continue
        place = ""
        with contextlib.suppress(OSError):
            place = os.readlink(f"/proc/{pid}/cwd")
        # The name of the directory alone is also in the requests of runs that only claim it.
        if any(f"{name}/" in text for name in names for text in (f"{place}/", _text(f"/proc/{pid}/cmdline"))):
            return True
    return False


def ticks(stat: list[str]) -> int:
    """The processor time that a process has had, as user and in the kernel."""
    return int(stat[11]) + int(stat[12])


def bytes_read(pid: str) -> int:
    """What a process has read, from wherever; 0 if that may not be seen."""
    return _sum(pid, _READ)


def bytes_moved(pid: str) -> int:
    """A number that grows while a process reads or writes; 0 if that may not be seen."""
    return _sum(pid, _MOVED)


def _sum(pid: str, fields: re.Pattern[str]) -> int:
    return sum(map(int, fields.findall(_text(f"/proc/{pid}/io"))))


def _all() -> Iterator[tuple[str, list[str]]]:
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        stat = stat_of(pid)
        if stat is not None:
            yield pid, stat


def _text(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()
    return ""
