# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much space a copy needs on each file system, and how fast the Barman host sends. Changes nothing.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._backup import local_tree as _local_tree
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.tar_stream import TarStream
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import (
    NO_CONTENT,
    file_system_of,
    nearest_existing,
    walk,
)

__all__ = ["SpaceNeeded", "measure", "of_whole", "rate"]

_SAMPLE_BYTES = 16 << 20

_SAMPLE_SECONDS = 1.0

# What is removed is told by name up to here.
_NAMES = 20

# File systems on which what is removed may go on using its space, in a snapshot or for a while.
_KEEPS_SNAPSHOTS = frozenset({"bcachefs", "btrfs", "zfs"})


@dataclass
class SpaceNeeded:
    """Bytes and files per file system, each named by a place on it, and what is here already.

    ``removed`` are entries that the backup does not know, the first of them by name.
    """

    needed: dict[str, int] = field(default_factory=dict)
    available: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    to_copy: int = 0
    removed: int = 0
    removed_names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Present:
    """Of a tree: bytes in files that an earlier copy has finished; how many files of the same names are there.

    ``occupied`` are the bytes that the copy has for its own files: in files of the same names, and in what goes before
    the first file comes.
    """

    complete: int = 0
    occupied: int = 0
    files: int = 0
    strangers: tuple[str, ...] = ()


def measure(roots: tuple[Root, ...], action: str) -> SpaceNeeded:
    """What the copy by this action needs. Raises StandbyError."""
    room = SpaceNeeded()
    devices: dict[int, str] = {}
    for root in roots:
        place = nearest_existing(root.target)
        name = devices.setdefault(os.stat(place).st_dev, place)
        here = _present(root, action)
        room.needed[name] = room.needed.get(name, 0) + root.bytes - here.occupied
        room.files[name] = room.files.get(name, 0) + len(root.files) + len(root.directories) - here.files
        room.to_copy += root.bytes - (here.complete if action == "resume" else 0)
        room.removed += len(here.strangers)
        room.removed_names += [os.path.join(root.target, path) for path in here.strangers]
        status = os.statvfs(place)
        room.available[name] = status.f_bavail * status.f_frsize
    room.removed_names = sorted(room.removed_names)[:_NAMES]
    return room


def of_whole(data_directory: str, others: Sequence[str]) -> int:
    """The bytes that are free on all file systems of these places together. Raises StandbyError."""
    free = {}
    for place in map(nearest_existing, [data_directory, *others]):
        status = os.statvfs(place)
        free[os.stat(place).st_dev] = status.f_bavail * status.f_frsize
    return sum(free.values())


def _present(root: Root, action: str) -> _Present:
    if action not in ("resume", "delta", "replace") or not os.path.isdir(root.target):
        return _Present()
    if action == "replace":
        return _all_of(root)
    complete = occupied = files = 0
    survey = _local_tree.survey(root)
    for position, mark in enumerate(survey.marks):
        size = root.files.sizes[position]
        if mark == _local_tree.COMPLETE:
            complete += size
            occupied += size
            files += 1
        elif mark == _local_tree.OTHER:
            occupied += min(size, os.lstat(os.path.join(root.target, root.files.paths[position])).st_size)
            files += 1
    # pg_control gives none: another one takes its room.
    occupied += _freed(root.target, (path for path in survey.strangers if path != CONTROL))
    return _Present(complete, occupied, files, tuple(survey.strangers))


def _freed(top: str, strangers: Iterable[str]) -> int:
    """The bytes on the file system of a directory that are free when these entries of it are gone.

    A file with a second name keeps its own. On a file system that keeps snapshots nothing is sure to be free.
    """
    device = os.stat(top).st_dev
    if file_system_of(top) in _KEEPS_SNAPSHOTS:
        return 0
    freed = 0
    for path in strangers:
        place = os.path.join(top, path)
        with contextlib.suppress(FileNotFoundError):
            seen = [os.lstat(place)]
            if stat.S_ISDIR(seen[0].st_mode):
                seen += [status for _path, status in walk(place, lambda _path, below: below.st_dev == device)]
            files = (status for status in seen if status.st_dev == device and stat.S_ISREG(status.st_mode))
            freed += sum(status.st_blocks * 512 for status in files if status.st_nlink == 1)
    return freed


def _all_of(root: Root) -> _Present:
    """All that is there: it is removed before the first file is copied."""
    occupied = files = 0
    device = os.stat(root.target).st_dev
    for _path, status in walk(root.target, lambda _path, below: below.st_dev == device):
        files += 1
        if status.st_dev == device and not stat.S_ISDIR(status.st_mode):
            occupied += status.st_blocks * 512
    entries = tuple(sorted(set(os.listdir(root.target)) - NO_CONTENT))
    return _Present(0, occupied, files, entries)


def rate(barman_host: BarmanHost, roots: tuple[Root, ...]) -> float | None:
    """Bytes of files per second in one stream; None if there is too little to measure.

    Of a plain backup it is the largest file as it is: several workers are faster if the link allows it, compression
    too, so a copy takes no longer than this says. Of a packed one it is the largest tar, as it is decompressed.
    """
    if roots[0].archive is not None:
        largest = max((root.archive for root in roots if root.archive is not None), key=lambda archive: archive.bytes)
        with TarStream(barman_host, largest) as tar_stream:
            return _pace(tar_stream.chunks())
    root = max(roots, key=lambda tree: max(tree.files.sizes, default=0))
    size, position = max(((size, n) for n, size in enumerate(root.files.sizes)), default=(0, 0))
    if size < _SAMPLE_BYTES // 16:
        return None
    path = os.path.join(root.source, root.files.paths[position])
    shell = barman_host.shell()
    try:
        return _pace(shell.stream(["head", "-c", str(_SAMPLE_BYTES), path], 60, _failed))
    except StandbyError:
        return None


def _pace(chunks: Iterator[bytes]) -> float | None:
    """Bytes per second of what comes in a second, or of the whole sample."""
    taken, began = 0, 0.0
    for chunk in chunks:
        now = time.monotonic()
        if not began:  # what came before is the login
            began = now
            continue
        taken += len(chunk)
        if taken > _SAMPLE_BYTES or now - began > _SAMPLE_SECONDS:
            break
    seconds = time.monotonic() - began
    return taken / seconds if taken and seconds > 0 else None


def _failed(rc: int, stderr: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "backup_files_missing",
            f"The backup's largest file cannot be read: exit code {rc}.",
            "check on the Barman host that the backup still exists and is readable",
        ),
        stderr=stderr,
    )
