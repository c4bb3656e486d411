# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which segments come next, on which timeline, and how many there is room for."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_name
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.course import Room, course_of, number_of
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
SIZE = 16 * MIB


def name(timeline, number, size=SIZE):
    return segment_name(timeline, number * size, size)


def names(timeline, *numbers):
    return [name(timeline, number) for number in numbers]


def history(*left):
    """A history file: the ancestors, and the numbers of the segments in whose middle they were left."""
    return "".join(
        f"{timeline}\t0/{number * SIZE + 100:X}\tno recovery target specified\n" for timeline, number in left
    )


def course(histories=None, begin=5, timeline=1):
    return course_of(timeline, begin * SIZE + 40, SIZE, histories or {})


@pytest.mark.parametrize(
    ("asked", "but", "count", "expected"),
    [
        pytest.param(None, [], 3, names(1, 5, 6, 7), id="from the backup's first one on"),
        pytest.param(None, names(1, 5, 7), 3, names(1, 6, 8, 9), id="without those that are there"),
        pytest.param(8, [], 2, names(1, 8, 9), id="from the one that the server has asked for"),
        pytest.param(8, names(1, 8), 2, names(1, 9, 10), id="which it has taken"),
        pytest.param(3, [], 1, names(1, 5), id="a server that asks for what is before the backup"),
        pytest.param(256, [], 2, ["000000010000000100000000", "000000010000000100000001"], id="past 4 GiB"),
        pytest.param(None, [], 0, [], id="no room"),
    ],
)
def test_what_comes_next(asked, but, count, expected):
    assert course().next(asked, but, count) == expected


@pytest.mark.parametrize(
    ("histories", "expected"),
    [
        pytest.param({}, names(1, 5, 6, 7, 8, 9), id="no other timeline"),
        pytest.param({2: history((1, 7))}, names(1, 5, 6) + names(2, 7, 8, 9), id="one that was promoted later"),
        pytest.param(
            {2: history((1, 6)), 3: history((1, 6), (2, 8))},
            names(1, 5) + names(2, 6, 7) + names(3, 8, 9),
            id="two, one after the other",
        ),
        pytest.param({2: history((1, 3))}, names(1, 5, 6, 7, 8, 9), id="one that left before the backup"),
        pytest.param({3: history((1, 7))}, names(1, 5, 6, 7, 8, 9), id="one whose number does not follow"),
        pytest.param(
            {2: history((1, 7)), 3: history((1, 3))}, names(1, 5, 6) + names(2, 7, 8, 9), id="the newest is no way"
        ),
        pytest.param(
            {2: history((1, 8)), 3: history((1, 8), (2, 6))},
            names(1, 5) + names(3, 6, 7, 8, 9),
            id="a history that goes backwards",
        ),
        pytest.param({2: "nonsense"}, names(1, 5, 6, 7, 8, 9), id="a history that says nothing"),
    ],
)
def test_the_way_along_the_timelines(histories, expected):
    assert course(histories).next(None, [], 5) == expected


@pytest.mark.parametrize(
    ("asked", "held", "useless"),
    [
        pytest.param(None, names(1, 5, 6, 8), [], id="all are to come"),
        pytest.param(7, names(1, 5, 6, 7, 8), names(1, 5, 6), id="behind the server; the one it asks for may stay"),
        pytest.param(None, names(1, 4, 5), names(1, 4), id="before the backup"),
        pytest.param(6, names(1, 9, 10, 30), names(1, 10, 30), id="farther than the window, after it has gone back"),
        pytest.param(None, names(2, 6) + names(1, 7), names(2, 6), id="of a timeline that is not on the way"),
    ],
)
def test_what_the_server_does_not_need(asked, held, useless):
    assert course().useless(held, asked, 4) == useless


def test_a_timeline_that_was_left_is_not_needed():
    assert course({2: history((1, 7))}).useless(names(1, 6, 7) + names(2, 7), None, 9) == names(1, 7)


@pytest.mark.parametrize("size", [MIB, SIZE, 1 << 30])
def test_a_number_is_that_of_the_name(size):
    assert [number_of(name(timeline, 4711, size), size) for timeline in (1, 9)] == [4711, 4711]


@pytest.mark.parametrize("wrong", ["", "asked", "00000002.history", "000000010000000000000005.partial", "x" * 24])
def test_what_is_no_segment_has_no_number(wrong):
    with pytest.raises(ValueError, match="no name of a WAL segment"):
        number_of(wrong, SIZE)


@given(
    held=st.lists(st.integers(0, 40), unique=True),
    asked=st.none() | st.integers(0, 30),
    window=st.integers(2, 8),
)
def test_what_is_kept_and_what_comes_never_exceed_the_window(held, asked, window):
    way = course()
    there = names(1, *held)
    kept = [one for one in there if one not in way.useless(there, asked, window)]
    coming = way.next(asked, kept, max(0, window - len(kept)))
    assert len(set(kept) | set(coming)) <= max(window, len(kept)) <= window + 1
    assert not set(kept) & set(coming)


class TestRoom:
    @pytest.mark.parametrize(
        ("free", "wanted", "bound"),
        [
            (1000 * SIZE, None, 50 * SIZE),
            (10**6 * SIZE, None, 64 * SIZE),
            (SIZE, None, 2 * SIZE),
            (SIZE, 10 * SIZE, 10 * SIZE),
            (1000 * SIZE, 1, 2 * SIZE),
        ],
    )
    def test_its_bound(self, free, wanted, bound):
        assert Room.of(free, SIZE, wanted).bound == bound

    @pytest.mark.parametrize(
        ("bound", "held", "free", "size", "expected"),
        [
            pytest.param(10, 0, 1000, SIZE, 9, id="one segment's room is left for unpacking"),
            pytest.param(10, 4, 1000, SIZE, 5, id="less what waits"),
            pytest.param(10, 9, 1000, SIZE, 0, id="full"),
            pytest.param(10, 12, 1000, SIZE, 0, id="fuller than full"),
            pytest.param(10, 0, 5, SIZE, 2, id="two stay free on the disk"),
            pytest.param(10, 0, 1, SIZE, 0, id="no room on the disk"),
            pytest.param(1000, 0, 1000, SIZE, 16, id="an rsync brings 256 MiB at most"),
            pytest.param(1000, 0, 1000, MIB, 64, id="and 64 segments"),
            pytest.param(1000, 0, 1000, 1 << 30, 1, id="and one segment at least"),
        ],
    )
    def test_how_many_may_come(self, bound, held, free, size, expected):
        assert Room(bound * size, 2 * size).segments(held * size, free * size, size) == expected
