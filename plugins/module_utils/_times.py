# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as Barman and users write them, and durations. Pure: what time it is now, others have to say.

Everything is in whole seconds, as Barman's own timestamps are; fractions are cut off. Private to the collection.
"""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timezone
from typing import NamedTuple

__all__ = ["Moment", "in_utc", "parse_duration", "parse_time", "spoken"]

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?"
    r" ?(Z|([+-])(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)?",
    re.ASCII | re.IGNORECASE,
)

# Python's ctime(), which is English in every locale. The day of the week adds nothing.
_CTIME = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})", re.ASCII)

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_DURATION = re.compile(r"(\d+) ?([a-z]*)", re.ASCII)

# No `m`: it is a minute to some and a month to others.
_UNITS = {
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86400),
}

_SPOKEN = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Moment(NamedTuple):
    """A time: ``wall`` is what the clock on the wall shows, as seconds since 1970.

    ``offset`` is how far that clock is ahead of UTC; without it, it is not known which moment is meant.
    """

    wall: int
    offset: int | None

    @property
    def timestamp(self) -> int | None:
        """Seconds since 1970 in UTC, or None without a zone."""
        return None if self.offset is None else self.wall - self.offset


def parse_time(text: str) -> Moment | None:
    """ISO 8601, with or without a zone, or what Python's ``ctime()`` prints, which has none. None for anything else."""
    iso = _ISO.fullmatch(text.strip())
    if iso is not None:
        year, month, day, hour, minute, second = (int(part or 0) for part in iso.groups()[:6])
        wall = _wall(year, month, day, hour, minute, second)
        offset = _offset(iso)
        return None if wall is None or (iso[7] and offset is None) else Moment(wall, offset)
    ctime = _CTIME.fullmatch(text.strip())
    if ctime is not None and ctime[1] in _MONTHS:
        month = _MONTHS.index(ctime[1]) + 1
        wall = _wall(int(ctime[6]), month, *(int(ctime[part]) for part in range(2, 6)))
        return None if wall is None else Moment(wall, None)
    return None


def parse_duration(text: str) -> int | None:
    """Seconds of ``36h``, ``7d``, ``90min`` and the like, of a plain number too; None where it is no duration."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None or found[2] not in _UNITS:
        return None
    return int(found[1]) * _UNITS[found[2]]


def in_utc(timestamp: float) -> str:
    """Seconds since 1970 in ISO 8601 and UTC: ``2026-11-21T15:02:11Z``."""
    return datetime.fromtimestamp(int(timestamp), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def spoken(seconds: int) -> str:
    """A duration for reading, in its two largest units: ``1 d 4 h``, ``2 min``."""
    parts: list[tuple[int, str]] = []
    for size, unit in _SPOKEN:
        count, seconds = divmod(seconds, size)
        if count or parts or unit == "s":
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for number, (count, unit) in enumerate(parts[:2]) if count or number == 0)


def _wall(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    if year < 1970 or not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    # A leap second is written as :60.
    if hour > 23 or minute > 59 or second > 60:
        return None
    return calendar.timegm((year, month, day, hour, minute, second))


def _offset(iso: re.Match[str]) -> int | None:
    if iso[8] is None:
        return 0 if iso[7] else None
    hours, minutes, seconds = (int(iso[part] or 0) for part in (9, 10, 11))
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return (hours * 3600 + minutes * 60 + seconds) * (-1 if iso[8] == "-" else 1)
