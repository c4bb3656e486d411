# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup to clone from, and why not the others. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup

__all__ = ["OLDEST_MAJOR", "Choice", "choose", "obstacles"]

OLDEST_MAJOR = 10  # before it, versions are numbered otherwise


def obstacles(backup: Backup) -> Sequence[str]:
    """Every reason why a backup cannot be cloned; empty for a usable one."""
    if backup.status != "DONE":
        return [f"its status is {backup.status}, not DONE" + (f" ({backup.error})" if backup.error else "")]
    found = []
    if backup.type not in ("rsync", "full"):
        found.append(f"it is of type {backup.type}; supported are rsync and full")
    if backup.mode not in ("rsync-concurrent", "postgres"):
        found.append(f"it was taken by method {backup.mode}; supported are rsync and postgres")
    if backup.compression:
        found.append(f"it is compressed ({backup.compression})")
    if backup.encryption:
        found.append(f"it is encrypted ({backup.encryption})")
    if backup.major is None or backup.major < OLDEST_MAJOR:
        found.append(f"it is of PostgreSQL {backup.major}; supported are {OLDEST_MAJOR} and later")
    return found


class Choice(NamedTuple):
    """The chosen backup, and the newer ones that were passed over with every reason."""

    backup: Backup
    skipped: tuple[tuple[str, Sequence[str]], ...]


def choose(backups: Iterable[Backup], wanted: str, server: str, details: Callable[[str], Backup]) -> Choice:
    """The backup with the id ``wanted``, or for ``latest`` the newest that can be cloned.

    ``backups`` come newest first; ``details`` fetches what the list does not tell, and is asked
    only for as many backups as it takes. Raises StandbyError with the reasons when none will do.
    """
    skipped: list[tuple[str, Sequence[str]]] = []
    candidates = [backup for backup in backups if wanted in ("latest", backup.backup_id)]
    for candidate in candidates:
        backup = candidate if candidate.status != "DONE" else details(candidate.backup_id)
        reasons = obstacles(backup)
        if not reasons:
            return Choice(backup, tuple(skipped))
        skipped.append((backup.backup_id, reasons))
    said = "; ".join(f"{name}: {', '.join(reasons)}" for name, reasons in skipped)
    result = [{"backup_id": name, "reasons": list(reasons)} for name, reasons in skipped]
    if wanted != "latest":
        if not candidates:
            raise StandbyError(
                f"Server {server} has no backup {wanted!r}."
                f" Next: choose one of `barman list-backups {server}`, or latest.",
                "backup_unknown",
            )
        raise StandbyError(
            f"Backup {said}. Next: choose another backup_id, or latest.", "backup_unsupported", passed_over=result
        )
    raise StandbyError(
        f"Server {server} has no backup that can be cloned ({said or 'its catalogue is empty'})."
        f" Next: take one with `barman backup {server} --wait`.",
        "no_usable_backup",
        passed_over=result,
    )
