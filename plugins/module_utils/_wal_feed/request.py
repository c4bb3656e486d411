# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is known of a backup, or of a standby, to what a feed has to bring. Private to the collection."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import parse_backup_label
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_header import page_magic
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import (
    segment_size_of,
    segment_start,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.feed import FeedOrder
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.pull import Archive
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.spool import Cluster

__all__ = ["FeedRequest", "order_of"]

# The smallest segments that initdb makes, twice: one waits for the server, one arrives.
_LEAST_BYTES = 2 << 20


@dataclass(frozen=True)
class FeedRequest:
    """What a user asks for. ``bwlimit`` is KiB/s, ``spool_bytes`` the most that the feed has on the disk.

    ``server`` is Barman's name of the cluster. Without a ``backup`` the data directory itself tells where replay
    begins.
    """

    server: str
    barman_host: BarmanHost
    data_directory: str
    state_directory: str
    backup: Backup | None = None
    bwlimit: int | None = None
    spool_bytes: int | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this feed from another one for the same data directory."""
        begin_wal = self.backup.begin_wal if self.backup is not None else None
        return {"data_directory": self.data_directory, "server": self.server, "begin_wal": begin_wal}


@dataclass(frozen=True)
class _Begin:
    """Where replay begins, and of which cluster."""

    cluster: Cluster
    timeline: int
    lsn: int


def order_of(request: FeedRequest, directories: Sequence[str]) -> FeedOrder:
    """What to bring, from these directories of the Barman host, the archive first. Raises StandbyError."""
    _require_sensible(request)
    begin = _of_directory(request) if request.backup is None else _of_backup(request.backup)
    archive, *others = directories
    if not archive.startswith("/"):
        raise StandbyError(
            Refusal(
                "wal_in_cloud",
                f"Barman has the WAL of {request.server} at {archive}, which is no directory of"
                f" {request.barman_host.where}. Nothing was changed.",
                "leave the WAL to the server's restore_command",
            )
        )
    return FeedOrder(
        request.barman_host,
        Archive(archive, tuple(place for place in others if place.startswith("/"))),
        begin.cluster,
        request.data_directory,
        request.state_directory,
        begin.timeline,
        begin.lsn,
        request.bwlimit,
        request.spool_bytes,
    )


def _of_backup(backup: Backup) -> _Begin:
    if not backup.begin_wal:
        found = f"Barman does not say with which segment backup {backup.backup_id} begins. Nothing was changed."
        raise StandbyError(Refusal("backup_invalid", found, "choose a backup that is complete"))
    pairs = [(backup.begin_wal, backup.begin_lsn), (backup.end_wal, backup.end_lsn)]
    segment_size = segment_size_of(*((name, parse_lsn(lsn)) for name, lsn in pairs if name and lsn))
    cluster = Cluster(segment_size, backup.system_identifier, page_magic(backup.major))
    return _Begin(cluster, *segment_start(backup.begin_wal, segment_size))


def _of_directory(request: FeedRequest) -> _Begin:
    """From where the server that is there goes on: its backup_label says it, if there is one, else its pg_control."""
    pgdata = inspect(request.data_directory, request.state_directory)
    control = pgdata.control
    if control is None:
        found = f"{pgdata.path} is {pgdata.state}: it does not say where replay begins. Nothing was changed."
        raise StandbyError(Refusal("data_directory_not_standby", found, "give the backup that is copied there"))
    cluster = Cluster(control.wal_segment_size, control.system_identifier, page_magic(pgdata.major))
    label = read_small(os.path.join(pgdata.path, "backup_label"))
    if label is not None and not pgdata.running:
        return _Begin(cluster, *segment_start(parse_backup_label(label).begin_wal, control.wal_segment_size))
    return _Begin(cluster, control.timeline, parse_lsn(control.redo_lsn))


def _require_sensible(request: FeedRequest) -> None:
    for name, path in (("data_directory", request.data_directory), ("state_directory", request.state_directory)):
        if not path.startswith("/") or ".." in path.split("/"):
            found = f"{name}={path!r} cannot be used: it is not absolute, or holds `..`."
            raise StandbyError(Refusal("path_dangerous", found, "name a directory of its own"))
    for name, least, value in (("bwlimit", 1, request.bwlimit), ("spool_bytes", _LEAST_BYTES, request.spool_bytes)):
        if value is not None and value < least:
            raise StandbyError(Refusal("option_out_of_range", f"{name}={value} is less than {least}.", "correct it"))
