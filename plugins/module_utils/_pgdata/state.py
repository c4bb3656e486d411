# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy leaves for other runs to see: its record, its locks and its result. Private to the collection."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small, write_atomically

__all__ = ["ResultFile", "now", "read_clone_state", "read_note", "save_state", "sweep"]

_RESULT_BYTES = 16 << 10


def now() -> str:
    """The time, in UTC, for people to read."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def save_state(state_directory: str, **state: Any) -> None:
    """Record where the copy stands, durably.

    ``phase`` is keeping (what is renamed is in ``moves``), copying, committing, committed, or rewinding.
    """
    write_atomically(os.path.join(state_directory, "state.json"), json.dumps(state, indent=1, sort_keys=True) + "\n")


def read_note(path: str) -> dict[str, Any] | None:
    """The JSON object in a small file; None if there is none, or not yet."""
    try:
        return dict(json.loads(read_small(path) or ""))
    except (TypeError, ValueError):
        return None


def sweep(state_directory: str) -> None:
    """Remove what a run that was killed had begun to write. For the one process that may write there."""
    for name in os.listdir(state_directory):
        if name.startswith((".state.json.", ".result.json.", "progress.json.")):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(state_directory, name))


class ResultFile:
    """Where a copy that runs by itself leaves its result.

    The space is taken at the beginning: that the disk is full has to be told, too.
    """

    def __init__(self, state_directory: str) -> None:
        self._path = os.path.join(state_directory, "result.json")

    def reserve(self) -> None:
        """Make it, without a result. Raises StandbyError."""
        write_atomically(self._path, " " * _RESULT_BYTES)

    def write(self, result: dict[str, Any]) -> None:
        """Put the result into the reserved space."""
        text = json.dumps(result).encode()
        with contextlib.suppress(OSError):
            handle = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW)
            try:
                os.pwrite(handle, text, 0)
                os.ftruncate(handle, len(text))
            finally:
                os.close(handle)

    def read(self) -> dict[str, Any] | None:
        """The result; None while there is none."""
        return read_note(self._path)


def read_clone_state(state_directory: str) -> dict[str, Any] | None:
    """What an earlier run of the copy left: phase, backup id, process. None if there was none.

    Raises StandbyError for a record that may not be read, or is none.
    """
    try:
        text = read_small(os.path.join(state_directory, "state.json"))
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "state_unreadable",
                f"Cannot read {state_directory}/state.json: {failed.strerror}.",
                "run as the database's OS user, and give it the directory",
            )
        ) from failed
    if text is None:
        return None
    try:
        state = json.loads(text)
    except ValueError as broken:
        raise StandbyError(
            Refusal(
                "state_unreadable",
                f"{state_directory}/state.json is not valid: {broken}.",
                "look at it, then remove it",
            )
        ) from broken
    return state if isinstance(state, dict) else None
