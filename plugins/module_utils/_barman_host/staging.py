# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the Barman host to stage a backup that Barman alone can unpack, or to remove it. Private to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.claims import when_expires
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.stage_backup import (
    stage_backup,
    unstage_backup,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.remote_call import call
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, as_dict

__all__ = ["Staged", "Staging", "Unstaged", "stage", "unstage"]

_RELEASE_SECONDS = 3600


@dataclass(frozen=True)
class Staging:
    """Who needs it for how many seconds, and in which directory of the Barman host; None for one of Barman's own."""

    owner: str
    seconds: int
    directory: str | None = None
    only_look: bool = False


@dataclass(frozen=True)
class Staged:
    """The backup as it can be copied now, or could. Bytes are what it takes and what is free there.

    ``claims`` are owners and the seconds since 1970 until when.
    """

    backup: Backup
    needed: int
    free: int
    claims: dict[str, float] = field(default_factory=dict)
    restored: bool = False
    changed: bool = False

    def expiry(self, owner: str) -> str | None:
        """When somebody's claim expires, in ISO 8601 and UTC; None without one."""
        return when_expires(self.claims, owner)


@dataclass(frozen=True)
class Unstaged:
    """Whether a claim was given up, and those that are left."""

    changed: bool
    claims: dict[str, float]


def stage(barman: Barman, backup: Backup, staging: Staging) -> Staged:
    """Have it laid out, or share what is laid out already. Raises StandbyError."""
    answer = call(barman.shell, stage_backup, _request(barman, backup, staging), staging.seconds)
    plain = replace(
        backup, directory=answer["directory"], type="full", compression=None, encryption=None, root_backup_id=None
    )
    return Staged(plain, **{name: answer[name] for name in ("needed", "free", "claims", "restored", "changed")})


def unstage(barman: Barman, backup: Backup, staging: Staging) -> Unstaged:
    """Give a claim up, and have the directory removed with the last one. Raises StandbyError."""
    return Unstaged(**call(barman.shell, unstage_backup, _request(barman, backup, staging), _RELEASE_SECONDS))


def _request(barman: Barman, backup: Backup, staging: Staging) -> dict[str, Any]:
    return {
        "barman": barman.place,
        "backup": as_dict(backup),
        "owner": staging.owner,
        "seconds": staging.seconds,
        "directory": staging.directory,
        "only_look": staging.only_look,
    }
