# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup's listing sorted into trees. Pure. Private to the collection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import (
    REQUIRED,
    Entry,
    Files,
    Root,
    is_copied,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import (
    LANDMARKS,
    MANIFEST,
    Backup,
    Tablespace,
)

__all__ = [
    "FIND_FORMAT",
    "Listing",
    "parse_listing",
    "plan_roots",
    "read_listing",
    "require_none_in_place",
    "target_of",
]

# Type, mode, size, modification time, path; the NUL ends a record because a name may hold anything else.
FIND_FORMAT = r"%y %m %s %T@ %P\0"

_PACKED = re.compile(r"(base|\d+)\.tar(\.\w+)*")

_GROUP_READ = 0o040


def parse_listing(chunks: Iterable[bytes]) -> Iterator[Entry]:
    """The output of ``find -mindepth 1 -printf FIND_FORMAT`` as it comes. Raises StandbyError on anything else."""
    rest = b""
    for chunk in chunks:
        *records, rest = (rest + chunk).split(b"\0")
        yield from map(_record, records)
    if rest:
        raise StandbyError(Refusal("listing_incomplete", "The listing of the backup breaks off.", "run again"))


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
            Refusal(
                "ssh_stdout_polluted",
                f"The listing of the backup holds {record[:100].decode('utf-8', 'replace')!r}.",
                "silence the login scripts of the user on the Barman host",
            )
        ) from wrong


def target_of(backup: Backup, mapping: Mapping[str, str]) -> dict[int, str]:
    """Where each tablespace goes: by oid, as mapped by the location on the primary, else the same path.

    Raises StandbyError for a mapping of a location that the backup does not have, and for tablespaces in place.
    """
    require_none_in_place(backup.backup_id, backup.tablespaces)
    unknown = sorted(set(mapping) - {tablespace.location for tablespace in backup.tablespaces})
    if unknown:
        known = ", ".join(tablespace.location for tablespace in backup.tablespaces) or "none"
        raise StandbyError(
            Refusal(
                "tablespace_unknown",
                f"tablespace_mapping names {', '.join(unknown)}, but backup {backup.backup_id} has tablespaces at:"
                f" {known}.",
                "name locations of the primary",
            )
        )
    return {tablespace.oid: mapping.get(tablespace.location, tablespace.location) for tablespace in backup.tablespaces}


def require_none_in_place(backup_id: str, tablespaces: Iterable[Tablespace]) -> None:
    """Raises StandbyError if one of these is in the data directory itself.

    PostgreSQL tells them by a relative path, ``pg_tblspc/OID`` (manual, allow_in_place_tablespaces).

    Barman can bring none: pg_basebackup takes no relative path to map, and rsync would look for it elsewhere.
    """
    found = [f"{one.name} (oid {one.oid})" for one in tablespaces if not one.location.startswith("/")]
    if found:
        raise StandbyError(
            Refusal(
                "tablespace_in_place",
                f"Of {backup_id}, these tablespaces are directories in the data directory itself"
                f" (allow_in_place_tablespaces, a developer option): {', '.join(found)}. No method here copies them.",
                "on the primary, move what they hold to another tablespace and drop them; then take a new backup",
            )
        )


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
                Refusal(
                    "backup_files_missing",
                    f"Backup {backup.backup_id} holds nothing of tablespace {names[oid]} (oid {oid}).",
                    "choose another backup_id, and look at this one on the Barman host",
                )
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
            self.files.append(entry._replace(path=path))
        else:
            self.strange.append(path)

    def _look(self, path: str, entry: Entry) -> None:
        if path in (*LANDMARKS, MANIFEST):
            self.landmarks.add(path)
        if _PACKED.fullmatch(path):
            self.packed.append(entry)
        if path == "PG_VERSION":
            self.group_access = bool(entry.mode & _GROUP_READ)

    def root(self, oid: int | None, target: str, name: str | None, group_access: bool) -> Root:
        """Raises StandbyError."""
        if self.strange:
            raise StandbyError(
                Refusal(
                    "backup_special_files",
                    f"The backup holds links or special files below {self.source}: {', '.join(self.strange[:5])}."
                    " Only plain files and directories are copied.",
                    "look at them on the Barman host",
                )
            )
        if self.is_data:
            self.directories.update(REQUIRED)
        self.files.sort()
        return Root(oid, self.source, target, self.files, tuple(sorted(self.directories)), name, group_access)


def _require_cluster(backup: Backup, data: _Tree) -> None:
    missing = [path for path in LANDMARKS if path not in data.landmarks]
    if missing:
        raise StandbyError(
            Refusal(
                "backup_files_missing",
                f"Backup {backup.backup_id} lacks {', '.join(missing)} in {backup.directory}/data.",
                "choose another backup_id",
            )
        )
