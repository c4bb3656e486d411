# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The feed as a process of its own, as its callers see it: started, looked at, ended. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import asdict
from functools import partial
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._clone.detached import Task, follow
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import remove_below
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock, require_lockable
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import feed_of, runner_of, wal_spool_of
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import ResultFile, now, read_note
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.feed import (
    Fed,
    FeedOrder,
    feed,
    note_of,
    streams,
)

__all__ = ["ended", "kept_running", "result_of"]

# A feed ends within this, or is killed.
_END_SECONDS = 60.0

_LOOK_SECONDS = 0.05


def result_of(state_directory: str) -> dict[str, Any]:
    """How far the feed of a state directory has come, or the last one had, as a module tells it. Changes nothing."""
    told = asdict(Fed(**(read_note(note_of(state_directory)) or {})))
    del told["restarts"], told["bound"]
    running = _is_running(state_directory)
    failure = {} if running else (ResultFile(feed_of(state_directory)).read() or {}).get("error")
    warnings = [StandbyError.from_record(failure).msg] if failure else []
    return {**told, "running": running, "warnings_to_show": warnings}


def _is_running(state_directory: str) -> bool:
    """Whether a feed, or a call that ends one, is at work there."""
    return Lock.holder(_runner(state_directory)) is not None


def kept_running(order: FeedOrder, identity: dict[str, Any], check_mode: bool) -> str:
    """Have a feed run, unless the server streams; ``started`` or ``none``. Raises StandbyError.

    One that runs for another beginning is ended: it brings what nobody asks for any more.
    """
    place = feed_of(order.state_directory)
    require_lockable(order.state_directory)
    require_lockable(place)
    holder = _known_holder(order.state_directory)
    if holder is not None and _serves(holder, identity):
        return "none"
    if streams(order.data_directory, order.state_directory):
        return "none"
    if not check_mode:
        if holder is not None:
            ended(order.state_directory, False)
        follow(Task(place, identity, _nothing, partial(feed, order), Fed), 0)
    return "started"


def _serves(holder: dict[str, Any], identity: dict[str, Any]) -> bool:
    """Whether the feed that runs is the one that is wanted. For a server that goes on, any of its cluster is."""
    return all(holder.get(name) == value for name, value in identity.items() if value is not None)


def _known_holder(state_directory: str) -> dict[str, Any] | None:
    """The note of the feed that runs, None if none does.

    A feed that begins notes itself at once, and the programs of one that was killed end by themselves: until then it is
    not known which of the two has the lock. Raises StandbyError if that does not end.
    """
    began = time.monotonic()
    while True:
        holder = Lock.holder(_runner(state_directory))
        if holder is None or holder:
            return holder
        if time.monotonic() - began > 2 * _END_SECONDS:
            raise _does_not_end(feed_of(state_directory))
        time.sleep(_LOOK_SECONDS)


def _nothing() -> None:
    """There is nothing to refuse that was not asked before."""


def ended(state_directory: str, check_mode: bool) -> str:
    """End the feed and remove all that it has made; ``ended``, or ``none`` if there was nothing. Raises StandbyError.

    The server's restore_command goes on without the spool.
    """
    place = feed_of(state_directory)
    if not os.path.lexists(place):
        return "none"
    require_lockable(place)
    if check_mode:
        return "ended"
    alone = Lock(_runner(state_directory), {"since": now()})
    began = time.monotonic()
    told: set[tuple[int, signal.Signals]] = set()
    while not alone.take():
        waited = time.monotonic() - began
        if waited > 2 * _END_SECONDS:
            raise _does_not_end(place)
        pid = (Lock.holder(_runner(state_directory)) or {}).get("pid")
        how = signal.SIGTERM if waited < _END_SECONDS else signal.SIGKILL
        if pid is not None and (pid, how) not in told:
            told.add((pid, how))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        time.sleep(_LOOK_SECONDS)
    try:
        with contextlib.suppress(FileNotFoundError):  # where the server's shell looks, it shall make no file meanwhile
            os.rename(wal_spool_of(state_directory), os.path.join(place, "ended"))
        remove_below(state_directory, [os.path.basename(place)])
    finally:
        alone.release()
    with contextlib.suppress(OSError):  # the record of a copy is there
        os.rmdir(state_directory)
    return "ended"


def _does_not_end(place: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "wal_feed_running",
            f"The WAL feed in {place} does not end. Nothing was changed.",
            f"see which process has {place}/runner locked (lslocks), end it, then run again",
        )
    )


def _runner(state_directory: str) -> str:
    return runner_of(feed_of(state_directory))
