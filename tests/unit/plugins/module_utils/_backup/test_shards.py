# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Files, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import (
    Shard,
    are_worth_measuring,
    largest_first,
    shards,
    take_samples,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import file
from hypothesis import assume, given
from hypothesis import strategies as st

KIB, MIB = 1 << 10, 1 << 20


def tree(*sizes, oid=None):
    """A tree of files of these sizes, in this order."""
    return Root(oid, "/source", "/target", Files(file(f"{n:06}", size) for n, size in enumerate(sizes)), ())


def all_of(root, basis=False):
    return shards(root, range(len(root.files)), basis)


def sizes_of(shard):
    return [shard.root.files.sizes[position] for position in shard.positions]


def positions_of(portions):
    """Every file that is in some shard, by its tree and position, as often as it is there."""
    return sorted((str(shard.root.oid), position) for shard in portions for position in shard.positions)


class TestShard:
    def test_knows_its_names_and_bytes(self):
        shard = Shard(tree(1, 2, 4), [2, 0])
        assert (list(shard.paths), shard.bytes, len(shard)) == (["000002", "000000"], 5, 2)

    def test_of_nothing_is_false_in_a_condition(self):
        assert not Shard(tree(1), [])

    def test_keeps_names_as_they_are(self):
        names = [" ", "-rf", "$(id)", "'", "line\nfeed", "ä", "\udcff"]
        root = replace(tree(), files=Files(file(name) for name in names))
        assert sorted(Shard(root, range(len(names))).paths) == sorted(names)


class TestShards:
    SIZES = st.lists(st.one_of(st.integers(0, 300 * MIB), st.integers(0, 64 * KIB), st.just(64 * MIB)), max_size=40)

    @given(SIZES, st.data(), st.booleans())
    def test_hold_every_wanted_file_exactly_once_and_no_other(self, sizes, data, basis):
        root = tree(*sizes)
        wanted = sorted(data.draw(st.sets(st.sampled_from(range(len(sizes)))))) if sizes else []
        portions = shards(root, iter(wanted), basis)
        assert positions_of(portions) == [("None", position) for position in wanted]
        assert {shard.basis for shard in portions} <= {basis}
        assert all(shard.root is root and len(shard) for shard in portions)

    @given(SIZES)
    def test_are_bounded_in_bytes_the_largest_first(self, sizes):
        portions = all_of(tree(*sizes))
        assert [shard.bytes for shard in portions] == sorted((sum(sizes_of(s)) for s in portions), reverse=True)
        for shard in portions:
            assert len(shard) == 1 or (shard.bytes <= 256 * MIB and max(sizes_of(shard)) < 64 * MIB)

    @given(SIZES)
    def test_are_no_more_than_they_have_to_be(self, sizes):
        small = [shard for shard in all_of(tree(*sizes)) if max(sizes_of(shard)) < 64 * MIB]
        in_order = sorted(small, key=lambda shard: shard.positions[0])
        for shard, following in itertools.pairwise(in_order):
            assert shard.bytes + sizes_of(following)[0] > 256 * MIB

    def test_are_bounded_in_names(self):
        assert [len(shard) for shard in all_of(tree(*[1] * 2500))] == [1000, 1000, 500]

    def test_keep_neighbours_together(self):
        root = replace(tree(), files=Files(file(f"{d}/{n}") for n in range(900) for d in "ab"))
        assert [{path[0] for path in shard.paths} for shard in all_of(root)] == [set("ab"), set("b")]

    def test_leave_a_big_file_alone(self):
        assert [list(shard.positions) for shard in all_of(tree(1, 64 * MIB, 1))] == [[1], [0, 2]]

    def test_of_nothing_are_none(self):
        assert all_of(tree()) == []

    def test_of_several_trees_are_in_one_order(self):
        portions = [*all_of(tree(5, 70 * MIB)), *all_of(tree(9, oid=1), basis=True)]
        assert [shard.bytes for shard in largest_first(portions)] == [70 * MIB, 9, 5]


class TestSamples:
    # Pages, some files of many of them, many of none, and now and then a segment.
    TREES = st.lists(
        st.one_of(
            st.integers(1, 1024).map(lambda pages: pages * 8 * KIB),
            st.integers(0, 4 * MIB),
            st.sampled_from([0, 8 * KIB, 4 * MIB, 4 * MIB + 1, 64 * MIB, 1 << 30]),
        ),
        min_size=20,
        max_size=80,
    )
    COUNTS = st.integers(1, 4)

    @given(TREES, TREES, COUNTS)
    def test_lose_no_file_and_copy_none_twice(self, one, other, count):
        queue = largest_first([*all_of(tree(*one)), *all_of(tree(*other, oid=1), basis=True)])
        samples, rest = take_samples(queue, count)
        assert positions_of([*samples, *rest]) == positions_of(queue)
        assert [shard.bytes for shard in rest] == sorted((shard.bytes for shard in rest), reverse=True)
        assert all(len(shard) for shard in rest)

    @given(TREES, COUNTS)
    def test_are_one_for_each_choice_small_and_alike(self, sizes, count):
        samples, _rest = take_samples(all_of(tree(*sizes)), count)
        assume(samples)
        assert len(samples) == count
        for sample in samples:
            assert 2 * MIB <= sample.bytes <= 6 * MIB
            assert max(sizes_of(sample)) <= 4 * MIB
        different = max(sample.bytes for sample in samples) - min(sample.bytes for sample in samples)
        assert different <= max(size for sample in samples for size in sizes_of(sample))

    @pytest.mark.parametrize("count", [2, 3])
    def test_are_alike_in_names_though_many_files_are_empty(self, count):
        sizes = [8 * KIB * (1 + n % 40) for n in range(600)] + [0] * 390
        samples, rest = take_samples(all_of(tree(*sizes)), count)
        lengths = [len(sample) for sample in samples]
        assert len(lengths) == count
        assert max(lengths) - min(lengths) <= 3
        assert max(sample.bytes for sample in samples) - min(sample.bytes for sample in samples) <= 320 * KIB
        assert sum(map(len, rest)) == len(sizes) - sum(lengths)

    @pytest.mark.parametrize(
        ("sizes", "count"),
        [
            pytest.param([], 2, id="nothing"),
            pytest.param([8 * KIB] * 1000, 2, id="too little to measure"),
            pytest.param([1 << 30] * 5, 2, id="big files alone"),
            pytest.param([5 * MIB] * 50, 2, id="no file that is small enough"),
            pytest.param([MIB] * 17, 3, id="a little less than is needed"),
        ],
    )
    def test_are_none_when_they_would_say_nothing(self, sizes, count):
        queue = all_of(tree(*sizes))
        samples, rest = take_samples(queue, count)
        assert samples == []
        assert rest == queue
        assert are_worth_measuring(queue) == (sum(size for size in sizes if size <= 4 * MIB) >= 6 * MIB)

    def test_are_taken_where_there_is_just_enough(self):
        samples, rest = take_samples(all_of(tree(*[MIB] * 18)), 3)
        assert [sample.bytes for sample in samples] == [6 * MIB] * 3
        assert rest == []

    def test_are_never_of_files_that_are_here_already(self):
        queue = all_of(tree(*[MIB] * 100), basis=True)
        samples, rest = take_samples(queue, 2)
        assert (samples, rest) == ([], queue)
        assert not are_worth_measuring(queue)

    def test_leave_the_other_shards_as_they_are(self):
        queue = [*all_of(tree(1 << 30)), *all_of(tree(*[MIB] * 100, oid=1)), *all_of(tree(*[MIB] * 50, oid=2))]
        samples, rest = take_samples(queue, 2)
        assert {sample.root.oid for sample in samples} == {1}
        assert [(shard.root.oid, shard.bytes) for shard in rest] == [(None, 1 << 30), (1, 88 * MIB), (2, 50 * MIB)]
