# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WAL segments by name and by number, and which of them a replay needs. Pure. Private to the collection.

A segment's number is its position in the WAL divided by the segment size, whatever its timeline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._model import Upstream

__all__ = [
    "SegmentRange",
    "SegmentRun",
    "are_consecutive",
    "segment_name",
    "segment_size_of",
    "segment_start",
    "segments_needed",
]

_DEFAULT_SIZE = 16 << 20

_NAME = re.compile(r"[0-9A-F]{24}")


def segment_name(timeline: int, lsn: int, segment_size: int) -> str:
    """The name of the segment that holds a position; ``segment_size`` is bytes (PostgreSQL manual, "WAL Internals").

    Unlike pg_walfile_name this counts a segment's first byte to the segment itself, not to the one before.
    """
    high, low = divmod(lsn // segment_size, _per_high(segment_size))
    return f"{timeline:08X}{high:08X}{low:08X}"


def segment_start(name: str, segment_size: int) -> tuple[int, int]:
    """The timeline of a segment and the position of its first byte.

    Raises ValueError for what is no segment's name at this size.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a WAL segment")
    timeline, high, low = (int(name[place : place + 8], 16) for place in (0, 8, 16))
    if low >= _per_high(segment_size):
        raise ValueError(f"{name} is no name of a WAL segment of {segment_size} bytes")
    return timeline, (high * _per_high(segment_size) + low) * segment_size


def segment_size_of(*pairs: tuple[str, int]) -> int:
    """The segment size, in bytes, by which these segments hold these positions; the default if several sizes fit.

    It is a power of two from 1 MiB to 1 GiB (initdb, option ``--wal-segsize``).
    """
    fitting = [
        size
        for size in (1 << power for power in range(20, 31))
        if all(segment_name(0, lsn, size)[8:] == name[8:] for name, lsn in pairs)
    ]
    return _DEFAULT_SIZE if _DEFAULT_SIZE in fitting or not fitting else fitting[0]


def _per_high(segment_size: int) -> int:
    """How many segments share the middle eight digits of their names: those of 4 GiB."""
    return (1 << 32) // segment_size


class SegmentRun(NamedTuple):
    """Segments in a row on one timeline, by their numbers; ``last`` is one of them."""

    timeline: int
    first: int
    last: int


@dataclass(frozen=True)
class SegmentRange:
    """The segments that a replay reads, in its order. They are counted from 0; nothing is listed."""

    runs: tuple[SegmentRun, ...]
    segment_size: int

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(run.last - run.first + 1 for run in self.runs)

    def position(self, index: int) -> tuple[int, int]:
        """The timeline and the position of the first byte of one of them. Raises IndexError beyond the end."""
        run, number = self._find(index)
        return run.timeline, number * self.segment_size

    def on_timeline(self, index: int) -> int:
        """How many there are from one of them on, it included, on its timeline. Raises IndexError beyond the end."""
        run, number = self._find(index)
        return run.last - number + 1

    def _find(self, index: int) -> tuple[SegmentRun, int]:
        for run in self.runs:
            if index <= run.last - run.first:
                return run, run.first + index
            index -= run.last - run.first + 1
        raise IndexError("the range has fewer segments")

    def name(self, index: int) -> str:
        """The name of one of them. Raises IndexError beyond the end."""
        return segment_name(*self.position(index), self.segment_size)


def segments_needed(timeline: int, lsn: int, upstream: Upstream, segment_size: int) -> SegmentRange | None:
    """The segments from the one that holds ``lsn`` up to the upstream's newest with content.

    The segment in which the upstream changed to a new timeline is needed by its name there: a promotion copies what
    it holds up to the fork, recovery looks for it on the newest timeline first that has begun by then
    (PostgreSQL's xlogrecovery.c, XLogFileReadAnyTLI), and a walsender sends that file (walsender.c,
    WalSndSegmentOpen). None when the position is not in the upstream's history, or was left out of it.
    """
    left_at = dict(upstream.history)
    if timeline != upstream.timeline and lsn > left_at.get(timeline, -1):
        return None
    timelines = [*(number for number, _left in upstream.history), upstream.timeline]
    begins = [0, *(left for _number, left in upstream.history)]
    first, last = lsn // segment_size, (upstream.lsn - 1) // segment_size
    runs = []
    for number, begin in zip(reversed(timelines), reversed(begins)):
        start = max(first, begin // segment_size)
        if start <= last:
            runs.append(SegmentRun(number, start, last))
            last = start - 1
    return SegmentRange(tuple(reversed(runs)), segment_size)


def are_consecutive(segments: SegmentRange, index: int, names: Iterable[str]) -> int:
    """How many of ``names``, from the first on, are the segments of the range from ``index`` on."""
    wanted = (segments.name(number) for number in range(index, segments.count))
    return sum(1 for _pair in takewhile(lambda pair: pair[0] == pair[1], zip(wanted, names)))
