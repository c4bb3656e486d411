# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._times import parse_duration, parse_time, spoken

NOON = 1_795_262_400  # 2026-11-21 12:00:00 UTC


@pytest.mark.parametrize(
    ("text", "timestamp"),
    [
        ("2026-11-21T12:00:00Z", NOON),
        ("2026-11-21t12:00:00z", NOON),
        ("2026-11-21 12:00:00 Z", NOON),
        (" 2026-11-21 12:00Z\n", NOON),
        ("2026-11-21 12:00:00.999999+00:00", NOON),
        ("2026-11-21 12:00:00,5+00", NOON),
        ("2026-11-21T13:00:00+01:00", NOON),
        ("2026-11-21T13:00:00+0100", NOON),
        ("2026-11-21T07:00:00-05", NOON),
        ("2026-11-21T17:45:00+05:45", NOON),
        ("2026-11-21 12:53:28+00:53:28", NOON),
        ("2026-11-21T08:30:00-03:30", NOON),
        ("2024-02-29T00:00:00Z", 1_709_164_800),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_a_moment(text, timestamp):
    assert parse_time(text).timestamp == timestamp


@pytest.mark.parametrize(
    ("text", "wall"),
    [
        ("2026-11-21T12:00:00", NOON),
        ("2026-11-21 12:00", NOON),
        ("Sat Nov 21 12:00:00 2026", NOON),
        ("Sun Mar  1 00:00:00 2026", 1_772_323_200),
    ],
)
def test_a_time_without_a_zone_is_no_moment(text, wall):
    moment = parse_time(text)
    assert (moment.wall, moment.offset, moment.timestamp) == (wall, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "now",
        "1795262400",
        "2026-11-21",
        "12:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T12:60:00Z",
        "2026-11-21T12:00:61Z",
        "2026-11-21T12:00:00+24:00",
        "2026-11-21T12:00:00+01:60",
        "2026-11-21T12:00:00 CET",
        "2026-11-21T12:00:00Z; true",
        "1969-12-31T23:59:59Z",
        "٢٠٢٦-11-21T12:00:00Z",
        "Sat Nov 31 12:00:00 2026",
        "Sat Nvm 21 12:00:00 2026",
        "Nov 21 12:00:00 2026",
    ],
)
def test_what_is_no_time(text):
    assert parse_time(text) is None


@pytest.mark.parametrize("month", range(1, 13))
def test_ctime_is_read_back(month):
    then = datetime.datetime(2026, month, month * 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert parse_time(then.ctime()).wall == then.timestamp()
    assert parse_time(then.isoformat(sep=" ")).timestamp == then.timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("45s", 45),
        ("90min", 5400),
        ("36h", 129600),
        ("36 hours", 129600),
        ("7d", 604800),
        ("1 DAY", 86400),
        (" 2w ", 1209600),
        *((text, None) for text in ("", "h", "5m", "1M", "1.5h", "-1", "+1", "1h30min", "P1D", "1 month", "٣h")),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86400 + 59, "1 d"),
        (100_000, "1 d 3 h"),
        (40 * 86400, "40 d"),
    ],
)
def test_durations_for_reading(seconds, text):
    assert spoken(seconds) == text
