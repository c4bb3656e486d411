# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing a backup with a clock and a Barman to ask. Private to the collection."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.selection import (
    WAITING,
    BackupRequest,
    Choice,
    choose,
    request_of,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, BarmanServer

__all__ = ["Catalog", "choose_from_catalog", "request_now"]

_ASK_SECONDS = 5  # Barman's cron looks for WAL once a minute


def request_now(params: dict[str, Any]) -> BackupRequest | None:
    """What the options ask for, seen from now; None when no backup is asked for. Raises StandbyError."""
    return request_of(params, int(time.time())) if params["backup_id"] else None


@dataclass(frozen=True)
class Catalog:
    """What one server of one Barman, which is of this version, lists as its backups."""

    barman: Barman
    version: tuple[int, ...]
    server: BarmanServer
    backups: tuple[Backup, ...]


def choose_from_catalog(catalog: Catalog, wanted: BackupRequest, may_wait: bool) -> Choice:
    """The backup that is wanted of those in Barman's catalogue. Raises StandbyError."""

    def details(name: str) -> Backup:
        return catalog.barman.show_backup(name, catalog.version, catalog.server)

    # One time for all backups together: an older one gets what is left of it.
    deadline = time.monotonic() + wanted.wait
    return choose(
        catalog.backups,
        wanted,
        catalog.barman.server,
        details,
        (lambda name: _when_ready(name, details, deadline)) if may_wait else None,
    )


def _when_ready(name: str, details: Callable[[str], Backup], deadline: float) -> Backup:
    """The backup as soon as its status is another, or as it is when the time is over."""
    while True:
        left = deadline - time.monotonic()
        time.sleep(max(0.0, min(_ASK_SECONDS, left)))
        backup = details(name)
        if backup.status != WAITING or left <= _ASK_SECONDS:
            return backup
