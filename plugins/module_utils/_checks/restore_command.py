# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which command fetches WAL, and whether it really fetches a segment. Private to the collection."""

from __future__ import annotations

import os
import re
import stat
import tempfile

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import ProgramGroup
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._files import has_room, nearest_existing
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_header import HEADER_BYTES, segment_error
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem, warning

__all__ = ["barman_cli", "fetches_segment"]

_FETCH_SECONDS = 60

_STDERR_BYTES = 64 << 10

_PLACEHOLDER = re.compile(r"%[%fpr]")

# What PostgreSQL gives for %r before replay has begun (xlogarchive.c, RestoreArchivedFile): a command that cleans
# up older segments on the way removes nothing.
_NO_RESTARTPOINT = "0" * 24


def barman_cli(missing: str | None) -> list[Verdict]:
    """That WAL comes without Barman's own script. ``missing`` is the reason; None if the script is used."""
    if missing is None:
        return []
    return [
        warning(
            "restore_command",
            Refusal(
                "barman_cli_missing",
                f"WAL will be fetched by barman get-wal over ssh: {missing}.",
                "nothing has to be done; barman-cli can fetch several segments at a time",
            ),
        )
    ]


def fetches_segment(
    restore_command: str, segment: str, segment_size: int, system_identifier: str | None, data_directory: str
) -> Verdict:
    """Whether restore_command really fetches a segment here, as the user that runs this.

    It is run as PostgreSQL does (manual, 20.5.5 and 26.3.4): by a shell, with ``%f``, ``%p``, ``%r`` and ``%%``
    replaced. ``%p`` is an absolute path in a directory that is private and removed afterwards, which is the working
    directory as well: the data directory may not be there yet, and must not be written into. ``segment`` has to be
    one that the archive has. Takes at most 60 seconds.
    """
    with tempfile.TemporaryDirectory(prefix="pgfleet.", dir=_place(segment_size, data_directory)) as scratch:
        path = os.path.join(scratch, "RECOVERYXLOG")
        rc, stderr = _run(_rendered(restore_command, segment, path), scratch)
        if rc != 0:
            return _command_failed(segment, rc, stderr)
        wrong = _flaw_of_file(path, segment, segment_size, system_identifier)
    if wrong is None:
        return Verdict("restore_command", "ok", f"restore_command fetches {segment}")
    return problem(
        "restore_command",
        Refusal(
            "restore_command_wrong_file",
            f"restore_command was run here for WAL segment {segment} and ended with exit code 0, but what it fetched"
            " is not"
            f" that segment: {wrong}.",
            "make it take the segment, uncompressed, from the archive of this cluster",
        ),
    )


def _place(segment_size: int, data_directory: str) -> str | None:
    """Where the segment has room: beside the data directory, if not among temporary files, which may be small memory.

    None for the usual place. A script may have the segment twice for a moment, packed and unpacked.
    """
    beside = nearest_existing(os.path.dirname(data_directory))
    return (
        beside if not has_room(tempfile.gettempdir(), 2 * segment_size) and has_room(beside, 2 * segment_size) else None
    )


def _rendered(command: str, segment: str, path: str) -> str:
    """The command line. Another character after ``%`` is left as it is; such a command has been refused before."""
    values = {"%%": "%", "%f": segment, "%p": path, "%r": _NO_RESTARTPOINT}
    return _PLACEHOLDER.sub(lambda found: values[found.group()], command)


def _run(command: str, directory: str) -> tuple[int | None, str]:
    """Exit code, None if out of time, and stderr. What the shell leaves running is ended before that directory goes."""
    with tempfile.TemporaryFile() as errors:
        with ProgramGroup(["sh", "-c", command], stderr=errors.fileno(), directory=directory) as group:
            rc = group.wait(_FETCH_SECONDS)
        errors.seek(0)
        return rc, errors.read(_STDERR_BYTES).decode("utf-8", "replace")


def _command_failed(segment: str, rc: int | None, stderr: str) -> Verdict:
    """The command itself is not repeated: it may hold a secret."""
    ended = f"exit code {rc}" if rc is not None else f"it did not end within {_FETCH_SECONDS} seconds and was ended"
    reason = said_by("barman-wal-restore", stderr)
    said = f" ({reason})" if reason else ""
    return problem(
        "restore_command",
        Refusal(
            "restore_command_fails",
            f"restore_command was run here for WAL segment {segment} and did not fetch it: {ended}{said}.",
            "run it by hand as the database's OS user on this host until it does, or correct restore_command",
        ),
    )


def _flaw_of_file(path: str, segment: str, segment_size: int, system_identifier: str | None) -> str | None:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size != segment_size:
            return f"it has {status.st_size} bytes, a segment has {segment_size}"
        with open(path, "rb") as file:
            return segment_error(file.read(HEADER_BYTES), segment, segment_size, system_identifier)
    except FileNotFoundError:
        return "there is no file at %p"
    except OSError as failed:
        return f"it cannot be read ({failed.strerror})"
