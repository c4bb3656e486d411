# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why files of a backup are missing: whether the backup is still there. Private to the collection."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import LANDMARKS, MANIFEST, Backup

__all__ = ["explain_missing_files"]

_CODE = "backup_files_missing"

# Barman removes the data first, then the directory, and its own record last of all.
_OF_PLAIN = ("", *(f"/data/{name}" for name in LANDMARKS))

_OF_PACKED = ("", f"/data/{MANIFEST}")

_LOOKS, _PAUSE_SECONDS = 5, 1.0


@contextlib.contextmanager
def explain_missing_files(barman_host: BarmanHost, backup: Backup, packed: bool) -> Iterator[None]:
    """Raise StandbyError with the cause, if files are missing because the backup was deleted meanwhile.

    ``packed``: the backup consists of tars.
    """
    try:
        yield
    except StandbyError as error:
        if error.code != _CODE:
            raise
        fate = _fate(barman_host, str(backup.directory), _OF_PACKED if packed else _OF_PLAIN)
        if fate is None:
            raise
        details = {name: value for name, value in error.result.items() if name in ("rc", "stderr", "cmd")}
        raise StandbyError(
            Refusal(
                "backup_deleted",
                f"Backup {backup.backup_id} of {backup.server} {fate} on {barman_host.where} while it was copied:"
                " Barman's"
                " retention, or somebody, has deleted it. What has arrived is not complete and cannot be started.",
                "choose another backup_id, run again, and have Barman keep the backup while it is copied",
            ),
            **details,
        ) from error


def _fate(barman_host: BarmanHost, directory: str, landmarks: Iterable[str]) -> str | None:
    """What has become of the backup; None if the backup is there, or cannot be looked at."""
    shell = barman_host.shell()
    places = [directory + mark for mark in landmarks]
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE_SECONDS)
        try:
            done = shell.run(["find", *places, "-maxdepth", "0"])
        except StandbyError:
            return None
        if done.rc != 0 and "No such file" not in done.err:
            return None
        found = done.out.splitlines()
        if directory not in found:
            return "is no longer"
        if len(found) < len(places):
            return "is no longer whole"
    return None
