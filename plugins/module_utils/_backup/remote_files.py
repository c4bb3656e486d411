# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a backup on the Barman host: list them, fetch a few. Private to the collection."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Entry
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import FIND_FORMAT, parse_listing
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import rsync_failure
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import NO_PROGRAM, ProgramGroup
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.rsync import write_names
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.stall import Stall
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup

__all__ = ["fetch", "list_backup"]

_LIST_SECONDS = 3600

_IO_TIMEOUT = 300

_LOOK_SECONDS, _STDERR_BYTES = 0.5, 64 << 10


def list_backup(barman_host: BarmanHost, backup: Backup) -> Iterator[Entry]:
    """Every entry of the backup, in one go. Raises StandbyError when it cannot be read whole."""
    directory = str(backup.directory)

    def failed(rc: int, stderr: str) -> StandbyError:
        return StandbyError(
            Refusal(
                "backup_files_missing",
                f"Cannot list backup {backup.backup_id} in {directory} on {barman_host.where}:"
                f" {said_by('find', stderr) or f'exit code {rc}'}.",
                "check on the Barman host that the backup still exists and that our user may read it",
            ),
            rc=rc,
            stderr=stderr,
        )

    find = ["find", directory, "-mindepth", "1", "-printf", FIND_FORMAT]
    return parse_listing(barman_host.shell().stream(find, _LIST_SECONDS, failed))


def fetch(
    barman_host: BarmanHost,
    remote_directory: str,
    names: Iterable[str],
    target: str,
    extra: Sequence[str] = (),
    what: str = "files of the backup",
) -> None:
    """Copy a few files; a real transfer, so it also proves rsync on both ends. Raises StandbyError.

    ``extra`` are further options of rsync, ``what`` is the files' name in messages.
    """
    listing = os.path.join(target, ".names")
    write_names(listing, names)
    how = ("--whole-file", "--chmod=D0700,F0600", f"--files-from={listing}", f"--timeout={_IO_TIMEOUT}", *extra)
    argv = barman_host.rsync(remote_directory, target, how)
    try:
        rc, stderr = _run(argv)
    except NO_PROGRAM:
        raise StandbyError(
            Refusal("rsync_missing_local", "rsync is not installed on this host.", "install rsync")
        ) from None
    finally:
        os.unlink(listing)
    if rc != 0:
        reason = rsync_failure(rc, stderr)
        raise StandbyError(
            Refusal(
                reason.code,
                f"Cannot fetch {what} from {barman_host.where}:{remote_directory}: {reason.meaning}"
                f" ({said_by('rsync', stderr)}).",
                reason.next_step,
            ),
            rc=rc,
            stderr=stderr,
        )


def _run(argv: Sequence[str]) -> tuple[int, str]:
    """Run an rsync for as long as anything comes: its exit code and stderr. Raises OSError if there is no rsync.

    A manifest of 100 MB over a slow link takes longer than any time that a stuck link should.
    """
    with open(os.memfd_create("errors"), "w+b") as errors:
        with ProgramGroup(argv, stderr=errors.fileno()) as rsync:
            stall = Stall(rsync.number, _IO_TIMEOUT)
            while rsync.wait(_LOOK_SECONDS) is None:
                if stall.is_too_long():
                    rsync.kill()
            rc = rsync.exit_code()
        errors.seek(0)
        return rc, errors.read(_STDERR_BYTES).decode("utf-8", "replace")
