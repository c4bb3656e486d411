# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trees that a clone brings. Changes nothing. Private to the collection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Entry, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import plan_roots, read_listing
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.remote_files import list_backup
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.tar_backup import roots_of_tar_backup
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Target
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup

__all__ = ["count_files", "plan", "roots_of"]


def plan(barman_host: BarmanHost, backup: Backup, target: Target) -> tuple[Root, ...]:
    """The trees to copy, from a listing of the backup or the manifest of a packed one. Changes nothing."""
    return roots_of(barman_host, backup, target, list_backup(barman_host, backup))


def roots_of(barman_host: BarmanHost, backup: Backup, target: Target, entries: Iterable[Entry]) -> tuple[Root, ...]:
    """The trees that a listing tells of, of the backup or of what has been made of it. Raises StandbyError."""
    listing = read_listing(backup, entries, target.tablespaces)
    if listing.archives:
        roots = roots_of_tar_backup(barman_host, backup, listing, target.data_directory, target.tablespaces)
    else:
        roots = plan_roots(backup, listing, target.data_directory, target.tablespaces)
    if target.waldir is None:
        return roots
    without_wal = tuple(path for path in roots[0].directories if path.split("/")[0] != "pg_wal")
    return (replace(roots[0], directories=without_wal), *roots[1:])


def count_files(roots: tuple[Root, ...]) -> int:
    """The files of all trees and pg_control."""
    return sum(len(root.files) for root in roots) + 1
