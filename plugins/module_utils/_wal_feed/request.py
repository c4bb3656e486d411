# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is known of a backup to what a feed has to bring. Private to the collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_header import page_magic
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import (
    segment_size_of,
    segment_start,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.feed import FeedOrder
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.pull import Archive
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.spool import Cluster

__all__ = ["FeedRequest", "order_of"]

# The smallest segments that initdb makes, twice: one waits for the server, one arrives.
_LEAST_BYTES = 2 << 20


@dataclass(frozen=True)
class FeedRequest:
    """What a user asks for. ``bwlimit`` is KiB/s, ``spool_bytes`` the most that the feed has on the disk."""

    backup: Backup
    barman_host: BarmanHost
    data_directory: str
    state_directory: str
    bwlimit: int | None = None
    spool_bytes: int | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this feed from another one for the same data directory."""
        backup = self.backup
        return {"data_directory": self.data_directory, "server": backup.server, "begin_wal": backup.begin_wal}


def order_of(request: FeedRequest, directories: Sequence[str]) -> FeedOrder:
    """What to bring, from these directories of the Barman host, the archive first. Raises StandbyError."""
    _require_sensible(request)
    backup, begin = request.backup, _begin_of(request.backup)
    pairs = [(backup.begin_wal, backup.begin_lsn), (backup.end_wal, backup.end_lsn)]
    segment_size = segment_size_of(*((name, parse_lsn(lsn)) for name, lsn in pairs if name and lsn))
    timeline, lsn = segment_start(begin, segment_size)
    archive, *others = directories
    if not archive.startswith("/"):
        raise StandbyError(
            Refusal(
                "wal_in_cloud",
                f"Barman has the WAL of {backup.server} at {archive}, which is no directory of"
                f" {request.barman_host.where}. Nothing was changed.",
                "leave the WAL to the server's restore_command",
            )
        )
    return FeedOrder(
        request.barman_host,
        Archive(archive, tuple(place for place in others if place.startswith("/"))),
        Cluster(segment_size, backup.system_identifier, page_magic(backup.major)),
        request.data_directory,
        request.state_directory,
        timeline,
        lsn,
        request.bwlimit,
        request.spool_bytes,
    )


def _begin_of(backup: Backup) -> str:
    if not backup.begin_wal:
        found = f"Barman does not say with which segment backup {backup.backup_id} begins. Nothing was changed."
        raise StandbyError(Refusal("backup_invalid", found, "choose a backup that is complete"))
    return backup.begin_wal


def _require_sensible(request: FeedRequest) -> None:
    for name, path in (("data_directory", request.data_directory), ("state_directory", request.state_directory)):
        if not path.startswith("/") or ".." in path.split("/"):
            found = f"{name}={path!r} cannot be used: it is not absolute, or holds `..`."
            raise StandbyError(Refusal("path_dangerous", found, "name a directory of its own"))
    for name, least, value in (("bwlimit", 1, request.bwlimit), ("spool_bytes", _LEAST_BYTES, request.spool_bytes)):
        if value is not None and value < least:
            raise StandbyError(Refusal("option_out_of_range", f"{name}={value} is less than {least}.", "correct it"))
