# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a backup on the Barman host: list them, fetch a few. Private to the collection."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Entry
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import FIND_FORMAT, parse_listing
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import first_line, rsync_failure
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.rsync import write_names
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup

__all__ = ["fetch", "list_backup"]

_LIST_SECONDS = 3600

_IO_TIMEOUT = 300


def list_backup(barman_host: BarmanHost, backup: Backup) -> Iterator[Entry]:
    """Every entry of the backup, in one go. Raises StandbyError when it cannot be read whole."""
    directory = str(backup.directory)

    def failed(rc: int, stderr: str) -> StandbyError:
        return StandbyError(
            Refusal(
                "backup_files_missing",
                f"Cannot list backup {backup.backup_id} in {directory} on {barman_host.where}:"
                f" {first_line(stderr) or f'exit code {rc}'}.",
                "check on the Barman host that the backup still exists and that our user may read it",
            ),
            rc=rc,
            stderr=stderr,
        )

    find = ["find", directory, "-mindepth", "1", "-printf", FIND_FORMAT]
    return parse_listing(barman_host.shell().stream(find, _LIST_SECONDS, failed))


def fetch(barman_host: BarmanHost, remote_directory: str, names: Iterable[str], target: str) -> None:
    """Copy a few small files; a real transfer, so it also proves rsync on both ends. Raises StandbyError."""
    listing = os.path.join(target, ".names")
    write_names(listing, names)
    how = ("--whole-file", "--chmod=D0700,F0600", f"--files-from={listing}", f"--timeout={_IO_TIMEOUT}")
    argv = barman_host.rsync(remote_directory, target, how)
    try:
        done = LocalShell().run(argv, timeout=_IO_TIMEOUT)
    finally:
        os.unlink(listing)
    if done.rc == 127 and done.err == "rsync: command not found":  # a shell at the far end puts its name before
        raise StandbyError(Refusal("rsync_missing_local", "rsync is not installed on this host.", "install rsync"))
    if done.rc != 0:
        reason = rsync_failure(done.rc, done.err)
        raise StandbyError(
            Refusal(
                reason.code,
                f"Cannot fetch files of the backup from {barman_host.where}:{remote_directory}: {reason.meaning}"
                f" ({first_line(done.err)}).",
                reason.next_step,
            ),
            rc=done.rc,
            stderr=done.err,
        )
