# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup in tars holds: the trees to copy, from its manifest. Pure. Private to the collection.

Barman's ``backup_compression`` is pg_basebackup's tar format: ``data/base.tar`` and ``data/OID.tar`` for each
tablespace, each compressed by itself, and ``data/backup_manifest`` beside them (PostgreSQL manual, pg_basebackup,
option ``--format``; Barman 3.0 for gzip, 3.1 for lz4 and zstd; 3.11 has ``none``, 3.4 not yet).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import (
    REQUIRED,
    Archive,
    Entry,
    Files,
    Root,
    is_copied,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.manifest_index import place_of
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import ManifestEntry
from ansible_collections.pgfleet.standby.plugins.module_utils._model import LANDMARKS, Backup

__all__ = ["archives_of", "packed_roots"]

_PROGRAMS = {".tar": None, ".tar.gz": "gzip", ".tar.lz4": "lz4", ".tar.zst": "zstd"}


def archives_of(backup: Backup, packed: Iterable[Entry]) -> dict[int | None, Archive]:
    """The tar of each tree, None for the data directory's. Raises StandbyError when there is not one for each."""
    found: dict[int | None, Archive] = {}
    for entry in packed:
        name = posixpath.basename(entry.path)
        stem, _dot, _rest = name.partition(".")
        suffix = name[len(stem) :]
        if suffix not in _PROGRAMS:
            raise StandbyError(
                Refusal(
                    "backup_unsupported",
                    f"Backup {backup.backup_id} holds {entry.path}, which is compressed in an unknown way."
                    f" Known are {', '.join(_PROGRAMS)}.",
                    "choose another backup_id",
                )
            )
        oid = None if stem == "base" else int(stem)
        found[oid] = Archive(f"{backup.directory}/{entry.path}", _PROGRAMS[suffix], entry.size, entry.mtime_ns)
    missing = {None, *(tablespace.oid for tablespace in backup.tablespaces)} - found.keys()
    if missing:
        names = sorted("base" if oid is None else str(oid) for oid in missing)
        raise StandbyError(
            Refusal(
                "backup_files_missing",
                f"Backup {backup.backup_id} is compressed, but holds no tar of {', '.join(names)} in"
                f" {backup.directory}/data.",
                "choose another backup_id",
            )
        )
    return found


@dataclass
class _Packed:
    """The files of one tree while the manifest is read."""

    files: Files = field(default_factory=Files)
    directories: set[str] = field(default_factory=set)

    def add(self, path: str, size: int, mtime_ns: int) -> None:
        self.files.append(Entry("f", size, mtime_ns, path))
        directory = posixpath.dirname(path)
        while directory and directory not in self.directories:
            self.directories.add(directory)
            directory = posixpath.dirname(directory)


def packed_roots(
    backup: Backup,
    archives: Mapping[int | None, Archive],
    manifest_entries: Iterable[ManifestEntry],
    data_directory: str,
    targets: Mapping[int, str],
    group_access: bool,
) -> tuple[Root, ...]:
    """The trees to copy, the data directory first, of the files that the manifest promises.

    A file gets its tar's time, which tells a finished one as well as its own would. Directories are those of files and
    those that a server needs; an empty tablespace has none yet. Raises StandbyError for a manifest of something else.
    """
    trees = {oid: _Packed() for oid in (None, *targets)}
    landmarks = set(LANDMARKS)
    for manifest_entry in manifest_entries:
        landmarks.discard(manifest_entry.path)
        oid, path = place_of(manifest_entry.path)
        if not is_copied(path, in_data=oid is None):
            continue
        if oid not in trees:
            raise StandbyError(
                Refusal(
                    "backup_inconsistent",
                    f"The manifest of backup {backup.backup_id} names {manifest_entry.path}, of a tablespace that"
                    " the catalogue does not know.",
                    "choose another backup_id",
                )
            )
        trees[oid].add(path, manifest_entry.size, archives[oid].mtime_ns)
    if landmarks:
        raise StandbyError(
            Refusal(
                "backup_inconsistent",
                f"The manifest of backup {backup.backup_id} does not name {', '.join(sorted(landmarks))}: it is not"
                " of a"
                " whole cluster.",
                "choose another backup_id",
            )
        )
    trees[None].directories.update(REQUIRED)
    names = {tablespace.oid: tablespace.name for tablespace in backup.tablespaces}
    for tree in trees.values():
        tree.files.sort()
    return tuple(
        Root(
            oid,
            f"{backup.directory}/data",
            data_directory if oid is None else targets[oid],
            tree.files,
            tuple(sorted(tree.directories)),
            None if oid is None else names[oid],
            group_access,
            archives[oid],
        )
        for oid, tree in trees.items()
    )
