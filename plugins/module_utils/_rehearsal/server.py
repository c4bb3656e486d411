# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of the scratch cluster: started, looked at until it is ready or has ended, and stopped at once.

Private to the collection.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import (
    NO_PROGRAM,
    STDOUT,
    ProgramGroup,
    ended_with_us,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import parse_pid_file
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.scratch import Scratch
from ansible_collections.pgfleet.standby.plugins.module_utils._server.process import StalledError, wait, work_of

__all__ = ["Said", "free_port", "start"]

# How often it is looked at, and for how many seconds it may neither compute nor read nor write.
_PAUSE, _PATIENCE = 0.02, 120.0

# An immediate shutdown takes no longer: five seconds after it the server itself kills its processes (postmaster.c).
_END_SECONDS = 60.0


@dataclass(frozen=True)
class Said:
    """What became of it: ``ended`` is its exit code, None if it was ready or stood still; ``text`` is what it said."""

    ready: bool
    ended: int | None
    text: str


def free_port() -> int:
    """A port that nobody listens on now, at any address of this host."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def start(argv: Sequence[str], scratch: Scratch, environment: Mapping[str, str]) -> Said:
    """Start the server, wait until it is ready or has ended, and stop it. Raises StandbyError without a program.

    ``environment`` is added to ours.
    """
    log = os.path.join(scratch.path, "log")
    with open(log, "wb") as said:
        try:
            group = ProgramGroup(
                argv,
                stdout=said.fileno(),
                stderr=STDOUT,
                directory="/",
                more=environment,
                inherited=(scratch.lock,),
            )
        except NO_PROGRAM:
            raise StandbyError(
                Refusal("rehearsal_failed", f"{argv[0]} cannot be run.", "install the server package")
            ) from None
    # The server removes its sockets and its shared memory if it is told to quit, and not if it is killed.
    with group, ended_with_us(group, signal.SIGQUIT):
        try:
            ended = _look(group, scratch, log)
            ready = ended is None and _is_up(scratch)
        finally:
            group.quit()
            group.wait(_END_SECONDS)
    return Said(ready, ended, read_small(log) or "")


def _look(group: ProgramGroup, scratch: Scratch, log: str) -> int | None:
    """Its exit code; None if it is ready, or stands still."""
    try:
        wait(
            lambda: not group.is_running() or _is_up(scratch),
            lambda: (work_of(group.number), os.path.getsize(log)),
            _PATIENCE,
            _PAUSE,
        )
    except StalledError:
        return None
    return group.wait(0)


def _is_up(scratch: Scratch) -> bool:
    """Whether it replays, which is all that a standby has to come to."""
    noted = parse_pid_file(read_small(os.path.join(scratch.data, "postmaster.pid")) or "")
    return noted is not None and noted.is_up
