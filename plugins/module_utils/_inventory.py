# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup holds and which of it a clone takes, in shards for parallel workers. Pure.

Private to the collection.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, Entry

__all__ = ["CONTROL", "FIND_FORMAT", "Root", "digest", "parse_listing", "plan_roots", "shards", "target_of"]

CONTROL = "global/pg_control"
# Type, size, modification time, path; the NUL ends a record because a name may hold anything else.
FIND_FORMAT = r"%y %s %T@ %P\0"

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
_REQUIRED = (
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

_LONE_BYTES = 64 << 20
_SHARD_BYTES = 256 << 20
_SHARD_NAMES = 1000


@dataclass(frozen=True)
class Root:
    """One directory tree to copy: the data directory (``oid`` None) or a tablespace."""

    oid: int | None
    source: str
    target: str
    files: tuple[Entry, ...]
    directories: tuple[str, ...]
    name: str | None = None

    @property
    def bytes(self) -> int:
        """The sum of the file sizes."""
        return sum(entry.size for entry in self.files)


def parse_listing(text: str) -> list[Entry]:
    """The output of ``find -mindepth 1 -printf FIND_FORMAT``. Raises StandbyError on anything else."""
    entries = []
    for record in text.split("\0")[:-1]:
        try:
            kind, size, mtime, path = record.split(" ", 3)
            if len(kind) != 1:
                raise ValueError(kind)
            seconds, _dot, fraction = mtime.partition(".")
            entries.append(Entry(kind, int(size), int(seconds) * 10**9 + int((fraction + "0" * 9)[:9]), path))
        except ValueError as wrong:
            raise StandbyError(
                f"The listing of the backup holds {record[:100]!r}."
                " Next: silence the login scripts of the user on the Barman host.",
                "ssh_stdout_polluted",
            ) from wrong
    if text and not text.endswith("\0"):
        raise StandbyError("The listing of the backup breaks off.", "listing_incomplete")
    return entries


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


def plan_roots(
    backup: Backup, entries: Iterable[Entry], data_directory: str, targets: Mapping[int, str]
) -> tuple[Root, ...]:
    """The trees to copy, the data directory first.

    Raises StandbyError for a backup that is not a plain copy of a cluster: packed files, parts
    missing, or links and special files, which a backup has no reason to hold.
    """
    trees: dict[str, list[Entry]] = {"data": []}
    for tablespace in backup.tablespaces:
        trees[str(tablespace.oid)] = []
    for entry in entries:
        top, _slash, rest = entry.path.partition("/")
        if rest and top in trees:
            trees[top].append(entry._replace(path=rest))
    source = backup.directory or ""
    names = {tablespace.oid: tablespace.name for tablespace in backup.tablespaces}
    roots = [_root(None, f"{source}/data", data_directory, [e for e in trees["data"] if _taken(e)])]
    _require_cluster(backup, trees["data"])
    for oid, target in targets.items():
        if not trees[str(oid)]:
            raise StandbyError(
                f"Backup {backup.backup_id} holds nothing of tablespace {names[oid]} (oid {oid}).",
                "backup_files_missing",
            )
        roots.append(
            _root(oid, f"{source}/{oid}", target, [e for e in trees[str(oid)] if _taken_anywhere(e)], names[oid])
        )
    return tuple(roots)


def digest(roots: Iterable[Root]) -> str:
    """A name for exactly this set of files in exactly these places; a resumed copy has the same one."""
    total = hashlib.sha256()
    for root in roots:
        for part in (root.source, root.target, *root.directories):
            total.update(part.encode("utf-8", "surrogateescape") + b"\0")
        for entry in root.files:
            total.update(f"{entry.size} {entry.mtime_ns} {entry.path}".encode("utf-8", "surrogateescape") + b"\0")
    return total.hexdigest()


def shards(files: Iterable[Entry]) -> list[tuple[Entry, ...]]:
    """The files in portions for one rsync each, the largest first.

    A big file goes alone; small ones go together in the order of their directories, bounded in
    bytes and in names, because rsync's cost for a list of names grows faster than the list.
    """
    lone: list[tuple[Entry, ...]] = []
    packed: list[tuple[Entry, ...]] = []
    current: list[Entry] = []
    size = 0
    for entry in sorted(files, key=lambda entry: entry.path):
        if entry.size >= _LONE_BYTES:
            lone.append((entry,))
            continue
        if current and (size + entry.size > _SHARD_BYTES or len(current) >= _SHARD_NAMES):
            packed.append(tuple(current))
            current, size = [], 0
        current.append(entry)
        size += entry.size
    if current:
        packed.append(tuple(current))
    return sorted(lone + packed, key=lambda shard: sum(entry.size for entry in shard), reverse=True)


def _root(oid: int | None, source: str, target: str, entries: list[Entry], name: str | None = None) -> Root:
    strange = [entry.path for entry in entries if entry.kind not in ("f", "d")]
    if strange:
        raise StandbyError(
            f"The backup holds links or special files below {source}: {', '.join(strange[:5])}."
            " Only plain files and directories are copied. Next: look at them on the Barman host.",
            "backup_special_files",
        )
    directories = {entry.path for entry in entries if entry.kind == "d"}
    if oid is None:
        directories.update(_REQUIRED)
    files = tuple(entry for entry in entries if entry.kind == "f" and not (oid is None and entry.path == CONTROL))
    return Root(oid, source, target, files, tuple(sorted(directories)), name)


def _require_cluster(backup: Backup, entries: list[Entry]) -> None:
    found = {entry.path for entry in entries}
    packed = sorted(path for path in found if re.match(r"(base|\d+)\.tar(\.|$)", path))
    if packed:
        raise StandbyError(
            f"Backup {backup.backup_id} is compressed ({', '.join(packed)}). Only plain backups are cloned."
            " Next: choose another backup_id, or take a backup without backup_compression.",
            "backup_unsupported",
        )
    missing = [path for path in ("PG_VERSION", CONTROL, "backup_label") if path not in found]
    if missing:
        raise StandbyError(
            f"Backup {backup.backup_id} lacks {', '.join(missing)} in {backup.directory}/data."
            " Next: choose another backup_id.",
            "backup_files_missing",
        )


def _taken(entry: Entry) -> bool:
    top, slash, _rest = entry.path.partition("/")
    if slash and top in _EMPTIED:
        return False
    return entry.path not in _LEFT_OUT and _taken_anywhere(entry)


def _taken_anywhere(entry: Entry) -> bool:
    return _LEFT_OUT_NAME.search(entry.path) is None
