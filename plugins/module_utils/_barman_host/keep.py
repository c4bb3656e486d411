# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the Barman host to keep a backup against retention, or to let it go. Private to the collection."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.claims import NOKEEP, when_expires
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.keep_backup import keep_backup
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.remote_call import call
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup

__all__ = ["ClaimRequest", "Pin", "pin"]

_SECONDS = 900

# Barman says no, or cannot be asked to: a copy goes on without.
_IMPOSSIBLE = ("barman_failed", "barman_too_old", "barman_host_python", "barman_host_refused", "keep_unsupported")


@dataclass(frozen=True)
class ClaimRequest:
    """What is asked for: a claim of ``owner`` for ``seconds`` from now on; with None, that the claim goes."""

    owner: str
    seconds: int | None
    only_look: bool = False


@dataclass(frozen=True)
class Pin:
    """How a backup is kept. ``root`` is the backup that is: of an incremental one, the full one that it rests on.

    ``target`` is Barman's word, ``foreign`` whether the keep was made by somebody else. ``claims`` are owners and the
    seconds since 1970 until when. ``taken_over`` are the backups that were kept for claims, and which somebody else has
    kept since: they stay kept. If ``pinned`` is false and should not be, ``why`` says what prevents it.
    """

    root: str
    target: str | None = None
    foreign: bool = False
    claims: dict[str, float] = field(default_factory=dict)
    changed: bool = False
    why: str | None = None
    taken_over: list[str] = field(default_factory=list)

    @property
    def pinned(self) -> bool:
        """Whether Barman keeps it."""
        return self.target not in (None, NOKEEP)

    def expiry(self, owner: str) -> str | None:
        """When somebody's claim expires, in ISO 8601 and UTC; None without one."""
        return when_expires(self.claims, owner)


def pin(barman: Barman, backup: Backup, claim: ClaimRequest) -> Pin:
    """Claim a backup, or give the claim up. Raises StandbyError if the Barman host cannot tell."""
    root = backup.root_backup_id or backup.backup_id
    if backup.status != "DONE":
        return Pin(root, why=f"backup {root} is {backup.status}, and Barman keeps only what is DONE")
    request = {
        "barman": barman.place,
        "directory": os.path.join(os.path.dirname(str(backup.directory)), root),
        "owner": claim.owner,
        "seconds": claim.seconds,
        "only_look": claim.only_look,
    }
    try:
        answer = call(barman.shell, keep_backup, request, _SECONDS)
    except StandbyError as error:
        if error.code not in _IMPOSSIBLE or claim.seconds is None:
            raise
        return Pin(root, why=error.refusal.found)
    return Pin(
        root,
        answer["target"],
        answer["foreign"],
        answer["claims"],
        answer["changed"],
        taken_over=answer["taken_over"],
    )
