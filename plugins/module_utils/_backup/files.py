# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a backup's trees, in columns, and which of them a clone takes. Pure. Private to the collection."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["CONTROL", "REQUIRED", "Archive", "Entry", "Files", "Root", "digest", "is_copied"]

CONTROL = "global/pg_control"

# Directories whose contents belong to the running source and that a start makes anew. Barman
# leaves them out as well (PostgreSQL manual, 26.3.4.1 "Backing Up the Data Directory").
_EMPTIED = (
    "log",
    "pg_dynshmem",
    "pg_log",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_tblspc",
    "pg_wal",
)

# Directories that a server needs even when the backup has lost them because they were empty.
REQUIRED = (
    "pg_commit_ts",
    "pg_dynshmem",
    "pg_logical",
    "pg_logical/mappings",
    "pg_logical/snapshots",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_tblspc",
    "pg_twophase",
    "pg_wal",
    "pg_wal/archive_status",
)

_LEFT_OUT = frozenset(
    {
        ".barman-recover.info",
        CONTROL,  # fetched by itself, last of all
        "backup_label.old",
        "current_logfiles",
        "current_logfiles.tmp",
        "postgresql.auto.conf.tmp",
        "postmaster.opts",
        "postmaster.pid",
        "recovery.conf",
        "recovery.done",
        "recovery.signal",
        "standby.signal",
        "tablespace_map",
        "tablespace_map.old",
    }
)

_LEFT_OUT_NAME = re.compile(r"(^|/)(pg_internal\.init(\.\d+)?$|pgsql_tmp)")


class Files:
    """The files of one tree in the order of their paths, in columns: a million of them take some 120 MB.

    A mode of 0 is one that is not known.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.paths: list[str] = []
        self.sizes: array[int] = array("q")
        self.times: array[int] = array("q")
        self.modes: array[int] = array("H")
        for entry in entries:
            self.append(entry)
        self.sort()

    def append(self, entry: Entry) -> None:
        """Add a file; ``sort`` has to follow."""
        self.paths.append(entry.path)
        self.sizes.append(entry.size)
        self.times.append(entry.mtime_ns)
        self.modes.append(entry.mode & 0o7777)

    def sort(self) -> None:
        """Bring the files into the order of their paths."""
        order = sorted(range(len(self.paths)), key=self.paths.__getitem__)
        self.paths = [self.paths[position] for position in order]
        self.sizes = array("q", (self.sizes[position] for position in order))
        self.times = array("q", (self.times[position] for position in order))
        self.modes = array("H", (self.modes[position] for position in order))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> Entry:
        return Entry("f", self.sizes[position], self.times[position], self.paths[position])

    def __iter__(self) -> Iterator[Entry]:
        return (self[position] for position in range(len(self)))

    def positions(self) -> dict[str, int]:
        """Where each path is."""
        return {path: position for position, path in enumerate(self.paths)}


@dataclass(frozen=True)
class Archive:
    """A tar on the Barman host that holds one tree; ``bytes`` as it is there.

    ``program`` decompresses it and is none for one that is not compressed. ``unpacked_there``: it runs on the Barman
    host, because this one does not have it.
    """

    path: str
    program: str | None
    bytes: int
    mtime_ns: int
    unpacked_there: bool = False

    @property
    def there(self) -> tuple[str, ...]:
        """What the Barman host runs to send it."""
        return (self.program, "-dc", self.path) if self.program and self.unpacked_there else ("cat", self.path)

    @property
    def here(self) -> tuple[str, ...]:
        """What unpacks on this host what arrives; empty when a tar arrives."""
        return (self.program, "-dc") if self.program and not self.unpacked_there else ()


@dataclass(frozen=True)
class Root:
    """One directory tree to copy: the data directory (``oid`` None) or a tablespace.

    ``group_access`` is that of the source cluster (initdb --allow-group-access): the server reads it off the
    data directory's mode and refuses any but 0700 and 0750. ``archive`` is what the backup holds instead of the files.
    """

    oid: int | None
    source: str
    target: str
    files: Files
    directories: tuple[str, ...]
    name: str | None = None
    group_access: bool = False
    archive: Archive | None = None

    @property
    def bytes(self) -> int:
        """The sum of the file sizes."""
        return sum(self.files.sizes)

    @property
    def directory_mode(self) -> int:
        """The mode of every directory."""
        return 0o750 if self.group_access else 0o700

    def file_mode(self, mode: int) -> int:
        """The mode of a copy of a file that has this one: rights of strangers go, and the owner's and the rest stay.

        So a program in the data directory can still be run, and a key that is its owner's alone stays so.
        """
        return mode & (0o750 if self.group_access else 0o700) | 0o600

    @property
    def file_rights(self) -> str:
        """The same, as rsync's --chmod takes it."""
        return f"Fu+rw,F{'g-w' if self.group_access else 'g-rwx'},Fo-rwx,Fug-s,F-t"


def is_copied(path: str, in_data: bool) -> bool:
    """Whether a copy takes a file or directory of the backup, by its path in the data directory or a tablespace."""
    if _LEFT_OUT_NAME.search(path):
        return False
    top, slash, _rest = path.partition("/")
    return not (in_data and ((slash and top in _EMPTIED) or path in _LEFT_OUT))


def digest(roots: Iterable[Root]) -> str:
    """A name for exactly this set of files in exactly these places; a resumed copy has the same one."""
    total = hashlib.sha256()
    for root in roots:
        for part in (root.source, root.target, *root.directories):
            total.update(part.encode("utf-8", "surrogateescape") + b"\0")
        for entry in root.files:
            total.update(f"{entry.size} {entry.mtime_ns} {entry.path}".encode("utf-8", "surrogateescape") + b"\0")
    return total.hexdigest()


class Entry(NamedTuple):
    """One entry of a backup: ``kind`` as find's ``%y`` prints it, ``path`` relative to its root."""

    kind: str
    size: int
    mtime_ns: int
    path: str
    mode: int = 0
