# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a copy in portions for parallel workers. Pure. Private to the collection."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Root

__all__ = ["Shard", "are_worth_measuring", "largest_first", "shards", "take_samples"]

_LONE_BYTES = 64 << 20

_SHARD_BYTES = 256 << 20

_SHARD_NAMES = 1000

_SAMPLE_FILE_BYTES = 4 << 20

_SAMPLE_BYTES = 6 << 20


@dataclass(frozen=True)
class Shard:
    """Files of one tree for one rsync, by their positions in ``root.files``.

    With ``basis`` there are files of these names already, and only what differs in them is sent.
    """

    root: Root
    positions: Sequence[int]
    basis: bool = False
    bytes: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bytes", sum(self.root.files.sizes[position] for position in self.positions))

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def paths(self) -> Iterator[str]:
        """The names, relative to the root."""
        return (self.root.files.paths[position] for position in self.positions)


def shards(root: Root, positions: Iterable[int], basis: bool = False) -> list[Shard]:
    """Files of a tree in portions, the largest first.

    A big file goes alone; small ones go together in the order of their directories, bounded in
    bytes and in names, because rsync's cost for a list of names grows faster than the list.
    """
    sizes = root.files.sizes
    portions: list[Sequence[int]] = []
    current = array("I")
    filled = 0
    for position in positions:
        size = sizes[position]
        if size >= _LONE_BYTES:
            portions.append(array("I", (position,)))
            continue
        if current and (filled + size > _SHARD_BYTES or len(current) >= _SHARD_NAMES):
            portions.append(current)
            current, filled = array("I"), 0
        current.append(position)
        filled += size
    if current:
        portions.append(current)
    return largest_first(Shard(root, portion, basis) for portion in portions)


def largest_first(found: Iterable[Shard]) -> list[Shard]:
    """The order in which the last worker to end has the least left to do."""
    return sorted(found, key=lambda shard: shard.bytes, reverse=True)


def take_samples(queue: Sequence[Shard], count: int) -> tuple[list[Shard], list[Shard]]:
    """Small shards to measure by, alike in what they hold, and all the rest.

    No samples when the backup has too few files of a suitable size, or nothing worth the measuring.
    """
    source = _source_of_samples(queue, count)
    if source is None:
        return [], list(queue)
    sizes = source.root.files.sizes
    # Empty files, of which a database has many, would all go into the same sample.
    small = (position for position in source.positions if 0 < sizes[position] <= _SAMPLE_FILE_BYTES)
    bins = [array("I") for _number in range(count)]
    filled = [0] * count
    for position in sorted(small, key=sizes.__getitem__, reverse=True):
        emptiest = min(range(count), key=filled.__getitem__)
        if filled[emptiest] + sizes[position] <= _SAMPLE_BYTES:
            bins[emptiest].append(position)
            filled[emptiest] += sizes[position]
    taken = {position for positions in bins for position in positions}
    rest = array("I", (position for position in source.positions if position not in taken))
    others = [shard for shard in queue if shard is not source]
    if rest:
        others.append(Shard(source.root, rest))
    return [Shard(source.root, positions) for positions in bins], largest_first(others)


def are_worth_measuring(queue: Sequence[Shard]) -> bool:
    """Whether there is enough to copy for a sample; what is only compared is hardly sent."""
    return _source_of_samples(queue, 1) is not None


def _source_of_samples(queue: Sequence[Shard], count: int) -> Shard | None:
    return next((shard for shard in queue if not shard.basis and _worth_splitting(shard, count)), None)


def _worth_splitting(shard: Shard, count: int) -> bool:
    sizes = shard.root.files.sizes
    small = sum(sizes[position] for position in shard.positions if sizes[position] <= _SAMPLE_FILE_BYTES)
    return small >= count * _SAMPLE_BYTES
