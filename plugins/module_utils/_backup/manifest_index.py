# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup's manifest promises, by tree and position of each file. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL, Root, is_copied
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import ManifestEntry

__all__ = ["ManifestIndex", "place_of"]

_TABLESPACES = "pg_tblspc"


# What a server or Barman may write when the manifest is complete already.
_BESIDE = frozenset({"backup_manifest", "backup_label", "tablespace_map"})


class ManifestIndex:
    """The checksums of a manifest by tree and position: some 80 bytes for a file.

    Raises StandbyError when the backup does not hold what its manifest promises, in names and sizes.
    """

    def __init__(self, backup_id: str, roots: Sequence[Root], manifest_entries: Iterable[ManifestEntry]) -> None:
        self.control: ManifestEntry | None = None
        self.algorithms: set[str] = set()
        self._columns = {root.oid: (_Column(len(root.files))) for root in roots}
        broken: list[str] = []
        by_oid = {root.oid: root for root in roots}
        positions = {root.oid: root.files.positions() for root in roots}
        for manifest_entry in manifest_entries:
            oid, path = place_of(manifest_entry.path)
            if manifest_entry.path == CONTROL:
                self.control = manifest_entry
                self.algorithms.add(manifest_entry.algorithm)
            elif not is_copied(path, in_data=oid is None):
                continue
            elif path not in positions.get(oid, ()):
                broken.append(f"{manifest_entry.path} is missing")
            else:
                position = positions[oid][path]
                size = by_oid[oid].files.sizes[position]
                if size != manifest_entry.size:
                    broken.append(f"{manifest_entry.path} has {size} bytes, not {manifest_entry.size}")
                self._columns[oid].set(position, manifest_entry)
                self.algorithms.add(manifest_entry.algorithm)
        self.algorithms.discard("")
        if broken:
            raise StandbyError(
                Refusal(
                    "backup_inconsistent",
                    f"Backup {backup_id} does not hold what its manifest promises: {len(broken)} files differ, such as"
                    f" {'; '.join(broken[:5])}.",
                    "choose another backup_id, and look at this one with `barman verify-backup`",
                )
            )

    def of(self, shard: Shard) -> list[ManifestEntry]:
        """What is promised of the files of a shard, by their paths in its tree; of some it may be nothing."""
        column, files = self._columns[shard.root.oid], shard.root.files
        return [
            ManifestEntry(
                files.paths[position], files.sizes[position], column.algorithms[position], column.checksums[position]
            )
            for position in shard.positions
            if column.algorithms[position]
        ]

    def unknown(self, root: Root) -> bool:
        """Whether a tree has files whose contents are not promised.

        A manifest that Barman has made itself knows the data directory alone (barman generate-manifest, since 2.18).
        """
        algorithms = self._columns[root.oid].algorithms
        return any(not known and path not in _BESIDE for path, known in zip(root.files.paths, algorithms))

    def covers(self, root: Root, position: int) -> bool:
        """Whether the contents of a file are promised."""
        return bool(self._columns[root.oid].algorithms[position])


class _Column:
    def __init__(self, count: int) -> None:
        self.algorithms = [""] * count
        self.checksums = [b""] * count

    def set(self, position: int, manifest_entry: ManifestEntry) -> None:
        self.algorithms[position], self.checksums[position] = manifest_entry.algorithm, manifest_entry.checksum


def place_of(path: str) -> tuple[int | None, str]:
    """The tree of a path in the manifest, by the oid of its tablespace, and the path in it."""
    top, _slash, below = path.partition("/")
    oid, slash, rest = below.partition("/")
    if top == _TABLESPACES and slash and oid.isdecimal():
        return int(oid), rest
    return None, path
