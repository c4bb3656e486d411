# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WAL segments: names as servers print them, and the way of a replay as a table of forks."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import (
    SegmentRun,
    are_consecutive,
    segment_name,
    segment_size_of,
    segment_start,
    segments_needed,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import upstream
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
SIZE = 16 * MIB
SIZES = [MIB << power for power in range(11)]


@pytest.mark.parametrize(
    ("timeline", "lsn", "size", "name"),
    [
        pytest.param(1, 0x1000000, SIZE, "000000010000000000000001", id="first byte"),
        pytest.param(1, 0x1FFFFFF, SIZE, "000000010000000000000001", id="last byte"),
        pytest.param(1, 0x16B374D848, SIZE, "0000000100000016000000B3", id="beyond 4 GiB"),
        pytest.param(0x1A, 0xFFFFFFFF, SIZE, "0000001A00000000000000FF", id="last below 4 GiB"),
        pytest.param(1, 0xFFFFFFFF, MIB, "000000010000000000000FFF", id="last below 4 GiB, 1 MiB"),
        pytest.param(1, 0xFFFFFFFF, 1024 * MIB, "000000010000000000000003", id="last below 4 GiB, 1 GiB"),
        pytest.param(1, 1 << 32, 1024 * MIB, "000000010000000100000000", id="4 GiB, 1 GiB"),
    ],
)
def test_name(timeline, lsn, size, name):
    assert segment_name(timeline, lsn, size) == name


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**64 - 1), st.sampled_from(SIZES))
def test_a_name_leads_back_to_the_segments_first_byte(timeline, lsn, size):
    assert segment_start(segment_name(timeline, lsn, size), size) == (timeline, lsn - lsn % size)


@given(st.integers(0, 2**64 - 2**31), st.sampled_from(SIZES))
def test_names_sort_as_the_wal_does(lsn, size):
    assert segment_name(7, lsn, size) < segment_name(7, lsn + size, size)


@pytest.mark.parametrize(
    "name",
    ["", "00000001", "000000010000000000000001.partial", "00000002.history", "00000001000000000000000g", "0" * 25],
)
def test_no_name(name):
    with pytest.raises(ValueError, match="no name of a WAL segment"):
        segment_start(name, SIZE)


def test_a_name_of_another_segment_size():
    with pytest.raises(ValueError, match=f"of {SIZE} bytes"):
        segment_start("000000010000000000000100", SIZE)


def at(segment, offset=0):
    return segment * SIZE + offset


@pytest.mark.parametrize(
    ("begin", "of_upstream", "runs"),
    [
        pytest.param((1, at(3, 40)), {"lsn": at(5, 8)}, [(1, 3, 5)], id="one timeline"),
        pytest.param((1, at(3, 40)), {"lsn": at(5)}, [(1, 3, 4)], id="nothing in the newest yet"),
        pytest.param((1, at(3, 40)), {"lsn": at(3, 50)}, [(1, 3, 3)], id="one segment"),
        pytest.param((1, at(3)), {"lsn": at(3)}, [], id="nothing written since"),
        pytest.param((1, at(9)), {"lsn": at(3)}, [], id="ahead of the upstream"),
        pytest.param(
            (1, at(3, 40)),
            {"timeline": 2, "history": ((1, at(5, 8)),), "lsn": at(7, 8)},
            [(1, 3, 4), (2, 5, 7)],
            id="a fork within a segment: by its name on the new timeline",
        ),
        pytest.param(
            (1, at(3, 40)),
            {"timeline": 2, "history": ((1, at(5)),), "lsn": at(7, 8)},
            [(1, 3, 4), (2, 5, 7)],
            id="a fork between two segments",
        ),
        pytest.param(
            (1, at(5, 4)),
            {"timeline": 2, "history": ((1, at(5, 8)),), "lsn": at(5, 90)},
            [(2, 5, 5)],
            id="all within the fork's segment",
        ),
        pytest.param(
            (1, at(3)),
            {"timeline": 3, "history": ((1, at(5, 8)), (2, at(5, 80))), "lsn": at(6, 8)},
            [(1, 3, 4), (3, 5, 6)],
            id="two forks in one segment",
        ),
        pytest.param(
            (1, at(3)),
            {"timeline": 9, "history": ((1, at(5, 8)), (4, at(6, 80))), "lsn": at(6, 90)},
            [(1, 3, 4), (4, 5, 5), (9, 6, 6)],
            id="timelines with gaps",
        ),
        pytest.param(
            (2, at(5, 40)),
            {"timeline": 3, "history": ((1, at(5, 8)), (2, at(6, 80))), "lsn": at(7, 90)},
            [(2, 5, 5), (3, 6, 7)],
            id="from a later timeline on",
        ),
        pytest.param(
            (1, at(5, 8)),
            {"timeline": 2, "history": ((1, at(5, 8)),), "lsn": at(6, 8)},
            [(2, 5, 6)],
            id="from the fork on",
        ),
        pytest.param(
            (1, at(3, 40)),
            {"timeline": 2, "history": ((1, at(5)),), "lsn": at(5)},
            [(1, 3, 4)],
            id="nothing on the new timeline yet",
        ),
    ],
)
def test_way(begin, of_upstream, runs):
    segments = segments_needed(*begin, upstream(**of_upstream), SIZE)
    assert segments.runs == tuple(SegmentRun(*run) for run in runs)
    listed = [
        segment_name(run.timeline, at(number), SIZE) for run in segments.runs for number in range(run[1], run[2] + 1)
    ]
    assert [segments.name(index) for index in range(segments.count)] == listed


@pytest.mark.parametrize(
    ("begin", "of_upstream"),
    [
        pytest.param((2, at(3)), {}, id="a timeline of the future"),
        pytest.param((2, at(3)), {"timeline": 3, "history": ((1, at(9)),)}, id="a sibling"),
        pytest.param((1, at(5, 9)), {"timeline": 2, "history": ((1, at(5, 8)),)}, id="after the fork"),
    ],
)
def test_what_is_not_in_the_history_has_no_way(begin, of_upstream):
    assert segments_needed(*begin, upstream(**of_upstream), SIZE) is None


def test_the_way_has_an_end():
    segments = segments_needed(1, at(3), upstream(lsn=at(5, 8)), SIZE)
    assert segments.position(2) == (1, at(5))
    with pytest.raises(IndexError):
        segments.position(3)


def test_what_is_left_of_a_timeline():
    segments = segments_needed(1, at(3), upstream(timeline=2, history=((1, at(5, 8)),), lsn=at(9, 8)), SIZE)
    assert [segments.on_timeline(index) for index in range(segments.count)] == [2, 1, 5, 4, 3, 2, 1]


def test_a_long_way_is_not_listed():
    segments = segments_needed(1, 0, upstream(lsn=1 << 60), MIB)
    assert segments.count == 1 << 40
    assert segments.name(segments.count - 1) == segment_name(1, (1 << 60) - 1, MIB)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        pytest.param([3, 4, 5], 3, id="all"),
        pytest.param([3, 4, 5, 6, 7], 3, id="more than all"),
        pytest.param([3, 4], 2, id="the first"),
        pytest.param([3, 5], 1, id="a gap"),
        pytest.param([4, 5], 0, id="not the first"),
        pytest.param([], 0, id="none"),
        pytest.param([3, 256, 257], 1, id="Barman went on after a gap"),
    ],
)
def test_in_a_row(numbers, expected):
    segments = segments_needed(1, at(3), upstream(lsn=at(5, 8)), SIZE)
    assert are_consecutive(segments, 0, [segment_name(1, at(number), SIZE) for number in numbers]) == expected


def test_in_a_row_from_the_middle():
    segments = segments_needed(1, at(3), upstream(lsn=at(5, 8)), SIZE)
    assert are_consecutive(segments, 1, ["000000010000000000000004"]) == 1


@pytest.mark.parametrize("size", SIZES)
@given(lsn=st.integers(2 << 30, 1 << 40).filter(lambda lsn: lsn % (1 << 32) >= 1 << 30))
def test_the_size_follows_from_a_position_and_the_name_of_its_segment(size, lsn):
    assert segment_size_of((segment_name(1, lsn, size), lsn)) == size


@pytest.mark.parametrize(
    ("pairs", "size"),
    [
        pytest.param([], SIZE, id="nothing is known"),
        pytest.param([("000000010000000100000000", 0x100000028)], SIZE, id="any size would do"),
        pytest.param([("000000010000000100000000", 0x101000028)], 32 * MIB, id="the least that would do"),
        pytest.param([("0000000100000001000000FF", 0x28)], SIZE, id="none would do"),
    ],
)
def test_the_size_is_the_default_where_it_does_not_follow(pairs, size):
    assert segment_size_of(*pairs) == size
