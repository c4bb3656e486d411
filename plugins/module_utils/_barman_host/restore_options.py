# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``barman restore`` for a backup that has to be unpacked. Pure. Private to the collection.

The options by version are those of Barman's release notes and its manual, barman restore.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.versions import Feature, dotted, has
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup

__all__ = ["bytes_needed", "options", "own_name", "refusal", "staging"]


def own_name(server: str, backup_id: str) -> str:
    """A directory's name that Barman takes as a destination, which must not hold a colon."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", f"{server}-{backup_id}")


def bytes_needed(backup: Backup, version: tuple[int, ...]) -> int:
    """The most that a restore has on disk at a time: the cluster, and what it makes of the backup on the way there.

    Encrypted files are decrypted, then unpacked, and those of a chain then combined; before 3.15 every chain takes a
    place of its own while it is combined.
    """
    packed = bool(backup.encryption or backup.compression)
    chain = backup.type == "incremental" and (packed or not has(version, Feature.STAGING_PATH))
    return (backup.size or 0) * (1 + packed + chain)


def options(backup: Backup, version: tuple[int, ...], place: str, work: str) -> Sequence[str]:
    """The options: WAL is not copied, tablespaces come beside the data, and what is intermediate goes to ``work``."""
    spaces = [f"{tablespace.name}:{place}/{tablespace.oid}" for tablespace in backup.tablespaces]
    where = _intermediate(version, work, work)  # whatever the backup is: the destination is on Barman's host
    return ["--get-wal", *where, *(word for space in spaces for word in ("--tablespace", space))]


def staging(backup: Backup, version: tuple[int, ...], here: str, there: str) -> Sequence[str]:
    """The options that say where what is intermediate goes: ``here`` is on Barman's host, ``there`` at the target's.

    Tars are unpacked there, which is all that Barman before 3.15 does; what only Barman can is done here.
    """
    return _intermediate(version, here if backup.staged else None, there)


def _intermediate(version: tuple[int, ...], here: str | None, there: str) -> Sequence[str]:
    """The same, without ``here`` if nothing is done on Barman's host."""
    if has(version, Feature.STAGING_PATH):
        path, location = (there, "remote") if here is None else (here, "local")
        return ["--staging-path", path, "--staging-location", location]
    return [*([] if here is None else ["--local-staging-path", here]), "--recovery-staging-path", there]


def refusal(backup: Backup, version: tuple[int, ...], place: str, where: str) -> StandbyError | None:
    """What this Barman cannot restore, whatever the room."""
    needed = Feature.ENCRYPTION if backup.encryption else Feature.INCREMENTAL
    if not has(version, needed):
        return StandbyError(
            Refusal(
                "barman_too_old",
                f"Backup {backup.backup_id} cannot be restored by Barman {dotted(version)} on {where};"
                f" {dotted(needed.since)} or later is needed.",
                "upgrade Barman, or choose another backup_id",
            )
        )
    if ":" in place or "=" in place or not place.startswith("/"):
        return StandbyError(
            Refusal(
                "path_dangerous",
                f"Barman cannot restore to {place!r}: it has to be absolute and to hold neither `:` nor `=`.",
                "choose another staging_directory",
            )
        )
    unfit = [tablespace.name for tablespace in backup.tablespaces if ":" in tablespace.name]
    if unfit:
        return StandbyError(
            Refusal(
                "backup_unsupported",
                f"Barman cannot be told where tablespace {unfit[0]!r} goes: its option ends a name at the first colon.",
                "choose a backup_id that need not be staged",
            )
        )
    return None
