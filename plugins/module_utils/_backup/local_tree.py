# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree of a backup compared with what is on this host, without following links. Private to the collection."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Entry, Files, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import remove_below, walk

__all__ = [
    "COMPLETE",
    "MISSING",
    "OTHER",
    "Survey",
    "clear",
    "difference",
    "is_complete",
    "make_directories",
    "mark_unverified",
    "mark_verified",
    "remove",
    "survey",
]

# What a survey finds of a file: nothing; one of the same size and time; one of another size or time.
MISSING, COMPLETE, OTHER = 0, 1, 2


@dataclass(frozen=True)
class Survey:
    """What this host has of a tree: a mark for every file by its position, and the paths that are not in it."""

    marks: bytearray
    strangers: list[str]

    def marked(self, *marks: int) -> Iterator[int]:
        """The positions of the files that have one of these marks."""
        return (position for position, mark in enumerate(self.marks) if mark in marks)


def survey(root: Root) -> Survey:
    """Compare names, kinds, sizes and times of what is there with the tree. Links are seen, never followed.

    A file with a second name elsewhere (a hard link) is a stranger: writing to it would write there.
    """
    positions = root.files.positions()
    directories = set(root.directories)
    found = Survey(bytearray(len(root.files)), [])
    for entry in _entries(root):
        if entry.kind == "d" and entry.path in directories:
            continue
        if entry.kind == "f" and entry.path in positions:
            position = positions[entry.path]
            wanted = (root.files.sizes[position], root.files.times[position])
            found.marks[position] = COMPLETE if wanted == (entry.size, entry.mtime_ns) else OTHER
        else:
            found.strangers.append(entry.path)
    return found


def remove(root: Root, strangers: Iterable[str]) -> None:
    """Remove what a survey found to be no part of a tree. Raises StandbyError."""
    remove_below(root.target, strangers)


def clear(root: Root) -> None:
    """Remove everything but the directories of a tree, of which one may be a mount point. Raises StandbyError."""
    remove(root, survey(replace(root, files=Files())).strangers)


def make_directories(root: Root) -> None:
    """Make the directories of a tree, for the owner, and for the group if the source has it so. Raises StandbyError."""
    for path in root.directories:
        place = os.path.join(root.target, path)
        try:
            os.makedirs(place, mode=0o700, exist_ok=True)
            os.chmod(place, root.directory_mode)
        except PermissionError as failed:
            raise StandbyError(
                Refusal(
                    "directory_not_writable",
                    f"Cannot create directory {place}: {failed.strerror}. The data directory cannot be started;"
                    " a new run resumes.",
                    "give what is there to the database's OS user",
                )
            ) from failed
        except OSError as failed:
            raise StandbyError(
                Refusal(
                    "disk_error",
                    f"Cannot create directory {place}: {failed.strerror}. The data directory cannot be started;"
                    " a new run resumes.",
                    "check free space, free inodes and the file system",
                )
            ) from failed


def mark_unverified(root: Root, positions: Iterable[int]) -> None:
    """Give files another time than the backup's: until they are compared they do not count as complete.

    Raises StandbyError.
    """
    for position in positions:
        _change(root, position, root.files.times[position] + 10**9)


def mark_verified(root: Root, positions: Iterable[int]) -> None:
    """Give files that have the right contents the mode and the time that a copy would have. Raises StandbyError."""
    for position in positions:
        _change(root, position, root.files.times[position])


def _change(root: Root, position: int, mtime_ns: int) -> None:
    path = os.path.join(root.target, root.files.paths[position])
    try:
        os.chmod(path, root.file_mode(root.files.modes[position] or stat.S_IMODE(os.lstat(path).st_mode)))
        os.utime(path, ns=(mtime_ns, mtime_ns))
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "directory_not_writable",
                f"Cannot change the mode and the time of {path}: {failed.strerror}."
                " The data directory cannot be started; a new run resumes.",
                "give it to the database's OS user",
            )
        ) from failed


def is_complete(root: Root, position: int) -> bool:
    """Whether a file is there with the size and the time of the backup's; rsync sets the time last."""
    try:
        status = os.lstat(os.path.join(root.target, root.files.paths[position]))
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (root.files.sizes[position], root.files.times[position])


def difference(root: Root) -> list[str]:
    """How a tree differs from the backup in names, kinds and sizes; empty when it does not."""
    positions = root.files.positions()
    missing = set(root.directories)
    seen = bytearray(len(root.files))
    found = []
    for entry in _entries(root):
        if entry.kind == "d" and entry.path in missing:
            missing.remove(entry.path)
        elif entry.path not in positions:
            found.append(f"{entry.path}: not in the backup")
        else:
            position = positions[entry.path]
            seen[position] = 1
            if entry.kind != "f":
                found.append(f"{entry.path}: no plain file")
            elif entry.size != root.files.sizes[position]:
                found.append(f"{entry.path}: {entry.size} bytes, not {root.files.sizes[position]}")
    found += [f"{path}: missing" for path in missing]
    found += [f"{root.files.paths[position]}: missing" for position, mark in enumerate(seen) if not mark]
    return sorted(found)


def _entries(root: Root) -> Iterator[Entry]:
    """What is there, below the tree's own directories; ``h`` is the kind of a file that has another name elsewhere."""
    for path, status in walk(root.target, set(root.directories).__contains__):
        if stat.S_ISDIR(status.st_mode):
            kind = "d"
        elif stat.S_ISREG(status.st_mode):
            kind = "f" if status.st_nlink == 1 else "h"
        else:
            kind = "l" if stat.S_ISLNK(status.st_mode) else "s"
        yield Entry(kind, status.st_size, status.st_mtime_ns, path)
