# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup holds and which of it a clone takes, in shards for parallel workers. Pure.

Private to the collection.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, Entry

__all__ = [
    "CONTROL",
    "FIND_FORMAT",
    "REQUIRED",
    "Archive",
    "Files",
    "Listing",
    "Root",
    "digest",
    "is_copied",
    "parse_listing",
    "plan_roots",
    "read_listing",
    "target_of",
]

CONTROL = "global/pg_control"

# Type, mode, size, modification time, path; the NUL ends a record because a name may hold anything else.
FIND_FORMAT = r"%y %m %s %T@ %P\0"

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

# Without these a directory is no backup of a cluster.
_LANDMARKS = ("PG_VERSION", CONTROL, "backup_label")

_PACKED = re.compile(r"(base|\d+)\.tar(\.\w+)*")

_LEFT_OUT_NAME = re.compile(r"(^|/)(pg_internal\.init(\.\d+)?$|pgsql_tmp)")

_GROUP_READ = 0o040


class Files:
    """The files of one tree in the order of their paths, in columns: a million of them take some 120 MB."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.paths: list[str] = []
        self.sizes: array[int] = array("q")
        self.times: array[int] = array("q")
        for entry in entries:
            self.append(entry)
        self.sort()

    def append(self, entry: Entry) -> None:
        """Add a file; ``sort`` has to follow."""
        self.paths.append(entry.path)
        self.sizes.append(entry.size)
        self.times.append(entry.mtime_ns)

    def sort(self) -> None:
        """Bring the files into the order of their paths."""
        order = sorted(range(len(self.paths)), key=self.paths.__getitem__)
        self.paths = [self.paths[position] for position in order]
        self.sizes = array("q", (self.sizes[position] for position in order))
        self.times = array("q", (self.times[position] for position in order))

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

    @property
    def file_mode(self) -> int:
        """The mode of every file."""
        return 0o640 if self.group_access else 0o600


def parse_listing(chunks: Iterable[bytes]) -> Iterator[Entry]:
    """The output of ``find -mindepth 1 -printf FIND_FORMAT`` as it comes. Raises StandbyError on anything else."""
    rest = b""
    for chunk in chunks:
        *records, rest = (rest + chunk).split(b"\0")
        yield from map(_record, records)
    if rest:
        raise StandbyError("The listing of the backup breaks off.", "listing_incomplete")


def _record(record: bytes) -> Entry:
    try:
        kind, mode, size, mtime, path = record.split(b" ", 4)
        if len(kind) != 1:
            raise ValueError(kind)
        seconds, _dot, fraction = mtime.partition(b".")
        nanoseconds = int(seconds) * 10**9 + int((fraction + b"0" * 9)[:9])
        return Entry(kind.decode(), int(size), nanoseconds, path.decode("utf-8", "surrogateescape"), int(mode, 8))
    except ValueError as wrong:
        raise StandbyError(
            f"The listing of the backup holds {record[:100].decode('utf-8', 'replace')!r}."
            " Next: silence the login scripts of the user on the Barman host.",
            "ssh_stdout_polluted",
        ) from wrong


def target_of(backup: Backup, mapping: Mapping[str, str]) -> dict[int, str]:
    """Where each tablespace goes: by oid, as mapped by the location on the primary, else the same path.

    Raises StandbyError for a mapping of a location that the backup does not have.
    """
    unknown = sorted(set(mapping) - {tablespace.location for tablespace in backup.tablespaces})
    if unknown:
        known = ", ".join(tablespace.location for tablespace in backup.tablespaces) or "none"
        raise StandbyError(
            f"tablespace_mapping names {', '.join(unknown)}, but backup {backup.backup_id} has tablespaces at: {known}."
            " Next: name locations of the primary.",
            "tablespace_unknown",
        )
    return {tablespace.oid: mapping.get(tablespace.location, tablespace.location) for tablespace in backup.tablespaces}


@dataclass(frozen=True)
class Listing:
    """The entries of a backup, sorted by tree. ``archives`` are the tars that hold the trees of a packed backup."""

    data: _Tree
    tablespaces: dict[int, _Tree]

    @property
    def archives(self) -> tuple[Entry, ...]:
        """None in a plain backup: a tar in a data directory is a file like others."""
        return () if "PG_VERSION" in self.data.landmarks else tuple(self.data.packed)


def read_listing(backup: Backup, entries: Iterable[Entry], oids: Iterable[int]) -> Listing:
    """Sort what a backup holds by the trees of its tablespaces."""
    source = backup.directory or ""
    listing = Listing(_Tree(f"{source}/data", is_data=True), {oid: _Tree(f"{source}/{oid}") for oid in oids})
    trees = {"data": listing.data, **{str(oid): tree for oid, tree in listing.tablespaces.items()}}
    for entry in entries:
        top, _slash, rest = entry.path.partition("/")
        if rest and top in trees:
            trees[top].add(rest, entry)
    return listing


def plan_roots(backup: Backup, listing: Listing, data_directory: str, targets: Mapping[int, str]) -> tuple[Root, ...]:
    """The trees to copy of a plain backup, the data directory first.

    Raises StandbyError for what is no copy of a cluster: parts missing, or links and special files, which a backup
    has no reason to hold.
    """
    data, tablespaces = listing.data, listing.tablespaces
    _require_cluster(backup, data)
    names = {tablespace.oid: tablespace.name for tablespace in backup.tablespaces}
    for oid, tree in tablespaces.items():
        if not tree.seen:
            raise StandbyError(
                f"Backup {backup.backup_id} holds nothing of tablespace {names[oid]} (oid {oid}).",
                "backup_files_missing",
            )
    shared = data.group_access
    return (
        data.root(None, data_directory, None, shared),
        *(tree.root(oid, targets[oid], names[oid], shared) for oid, tree in tablespaces.items()),
    )


@dataclass
class _Tree:
    """One tree while its listing comes in."""

    source: str
    is_data: bool = False
    seen: bool = False
    group_access: bool = False
    files: Files = field(default_factory=Files)
    directories: set[str] = field(default_factory=set)
    strange: list[str] = field(default_factory=list)
    landmarks: set[str] = field(default_factory=set)
    packed: list[Entry] = field(default_factory=list)

    def add(self, path: str, entry: Entry) -> None:
        self.seen = True
        if self.is_data:
            self._look(path, entry)
        if not is_copied(path, self.is_data):
            return
        if entry.kind == "d":
            self.directories.add(path)
        elif entry.kind == "f":
            self.files.append(Entry("f", entry.size, entry.mtime_ns, path))
        else:
            self.strange.append(path)

    def _look(self, path: str, entry: Entry) -> None:
        if path in _LANDMARKS or path == "backup_manifest":
            self.landmarks.add(path)
        if _PACKED.fullmatch(path):
            self.packed.append(entry)
        if path == "PG_VERSION":
            self.group_access = bool(entry.mode & _GROUP_READ)

    def root(self, oid: int | None, target: str, name: str | None, group_access: bool) -> Root:
        """Raises StandbyError."""
        if self.strange:
            raise StandbyError(
                f"The backup holds links or special files below {self.source}: {', '.join(self.strange[:5])}."
                " Only plain files and directories are copied. Next: look at them on the Barman host.",
                "backup_special_files",
            )
        if self.is_data:
            self.directories.update(REQUIRED)
        self.files.sort()
        return Root(oid, self.source, target, self.files, tuple(sorted(self.directories)), name, group_access)


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


def _require_cluster(backup: Backup, data: _Tree) -> None:
    missing = [path for path in _LANDMARKS if path not in data.landmarks]
    if missing:
        raise StandbyError(
            f"Backup {backup.backup_id} lacks {', '.join(missing)} in {backup.directory}/data."
            " Next: choose another backup_id.",
            "backup_files_missing",
        )
