# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which segments a standby needs next, and how many of them there is room for. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import parse_history
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import (
    SegmentRange,
    SegmentRun,
    segment_start,
    segments_needed,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Upstream

__all__ = ["Course", "Room", "course_of", "number_of"]

# Past every position that WAL can have: how far the archive reaches is seen when a segment is not there.
_END = (1 << 64) - 1

# Bytes that one rsync brings at most, and segments. The first are whole before the last are there.
_BATCH_BYTES, _BATCH_SEGMENTS = 256 << 20, 64


@dataclass(frozen=True)
class Course:
    """The segments from a backup's first one on, along the timelines that lead to the newest one.

    A segment's number is its position divided by the segment size, whatever its timeline; each number is once in it.
    """

    segments: SegmentRange

    @property
    def first(self) -> int:
        """The number of the segment with which replay begins."""
        return self.segments.runs[0].first

    @property
    def timeline(self) -> int:
        """The newest timeline."""
        return self.segments.runs[-1].timeline

    def next(self, asked: int | None, but: Collection[str], count: int) -> list[str]:
        """The names of the next segments, at most so many, in the order of replay.

        ``asked`` is the number for which the server has asked last. Those in ``but`` are left out.
        """
        number = self._begin(asked)
        names: list[str] = []
        while len(names) < count:
            name = self.segments.name(number - self.first)
            if name not in but:
                names.append(name)
            number += 1
        return names

    def useless(self, held: Iterable[str], asked: int | None, window: int) -> list[str]:
        """Those of these segments that the server has behind it, or does not come to within ``window`` segments.

        The second are there if the server has gone back, or has turned to another timeline.
        """
        begin = self._begin(asked)
        numbers = ((name, number_of(name, self.segments.segment_size)) for name in held)
        return [name for name, number in numbers if not begin <= number < begin + window or self.name(number) != name]

    def name(self, number: int | None) -> str | None:
        """The name of the segment with this number; None for none, and for one before the first."""
        return None if number is None or number < self.first else self.segments.name(number - self.first)

    def _begin(self, asked: int | None) -> int:
        return self.first if asked is None else max(self.first, asked)


def course_of(timeline: int, lsn: int, segment_size: int, histories: Mapping[int, str]) -> Course:
    """The way from a position on a timeline; ``histories`` are the texts of the history files that the archive has.

    It leads to the newest timeline that has the position in its history, as recovery_target_timeline=latest does. A
    timeline whose number does not follow the one before is not looked for (timeline.c, findNewestTimeLine).
    """
    newest = timeline
    while newest + 1 in histories:
        newest += 1
    for candidate in range(newest, timeline, -1):
        history = parse_history(histories[candidate])
        if timeline in dict(history):
            found = segments_needed(timeline, lsn, _target(candidate, history), segment_size)
            if found is not None:
                return Course(found)
    number = lsn // segment_size
    return Course(SegmentRange((SegmentRun(timeline, number, _END // segment_size),), segment_size))


def _target(timeline: int, history: tuple[tuple[int, int], ...]) -> Upstream:
    return Upstream("", "", "", timeline, _END, 0, {}, history)


def number_of(name: str, segment_size: int) -> int:
    """The number of a segment. Raises ValueError for what is no segment's name."""
    return segment_start(name, segment_size)[1] // segment_size


@dataclass(frozen=True)
class Room:
    """What the feed may have on the disk, in bytes, and what has to stay free beside that."""

    bound: int
    reserve: int

    def window(self, segment_size: int) -> int:
        """How many segments there may be at most."""
        return self.bound // segment_size

    @classmethod
    def of(cls, free: int, segment_size: int, bound: int | None) -> Room:
        """The bound that is asked for, or else a twentieth of what is free, but no more than 64 segments.

        There are never less than two segments: one that waits for the server and one that arrives.
        """
        chosen = min(free // 20, 64 * segment_size) if bound is None else bound
        return cls(max(chosen, 2 * segment_size), 2 * segment_size)

    def segments(self, held: int, free: int, segment_size: int) -> int:
        """How many segments the next rsync may bring. ``held`` are the bytes of those that wait for the server.

        One segment's room is left: what arrives compressed is unpacked beside what has arrived.
        """
        fitting = min((self.bound - held) // segment_size - 1, (free - self.reserve) // segment_size - 1)
        return max(0, min(fitting, _BATCH_SEGMENTS, max(1, _BATCH_BYTES // segment_size)))
