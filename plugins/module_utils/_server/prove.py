# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby looked at until it is ready, for as long as it gets nearer to that. Private to the collection."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._files import boot_id
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.standby_status import standby_status
from ansible_collections.pgfleet.standby.plugins.module_utils._server.last_words import LastWords
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_files import LogPlaces, words_of_last_start
from ansible_collections.pgfleet.standby.plugins.module_utils._server.process import work_of
from ansible_collections.pgfleet.standby.plugins.module_utils._server.waiting import (
    Sight,
    Waited,
    progress_of,
    waited_from,
)

__all__ = ["prove"]

# Each look is a login here and one at the upstream.
_PAUSE = 0.5
_FOR_EVER = float("inf")


def prove(
    params: dict[str, Any],
    look: Callable[[dict[str, Any]], dict[str, Any]] = standby_status,
    words: Callable[[LogPlaces, int | None], LastWords] = words_of_last_start,
) -> dict[str, Any]:
    """The last look at a standby, in the words of standby_info; of one that was waited for in vain, with its own.

    ``wait`` says for what it is looked at again, ``timeout`` how many seconds may pass without progress. What the
    upstream had written at the first look, where no other position is given, is what has to be replayed.
    ``attach_timeout`` ends a step of the wait after so many seconds: ``finished`` is false then, ``progress`` tells how
    far the standby is, and ``waited`` is for the next step, as its option of that name. Raises StandbyError only for
    wrong options.
    """
    waited, boot, began = None, boot_id(), time.monotonic()
    if params.get("waited"):
        waited = waited_from(params["waited"], boot)
    minimum = params["min_replay_lsn"] or (waited.minimum if waited is not None else None)
    last = look({**params, "min_replay_lsn": minimum})
    minimum = minimum or _written(last)
    sight, now = _sight(last, minimum), time.monotonic()
    earlier = waited or Waited.begun(boot, minimum, sight, now)
    waited = earlier.after(sight, minimum, now)
    limit = params.get("attach_timeout")
    ends = began + (_FOR_EVER if limit is None else limit)
    while _may_become_ready(last, params["wait"]) and not now - waited.moved_at > params["timeout"]:
        if now >= ends:
            progress = progress_of(earlier, waited, last, _consistent_since(last))
            return {**last, "finished": False, "progress": progress, "waited": as_dict(waited)}
        time.sleep(_PAUSE)
        last = look({**params, "min_replay_lsn": minimum})
        minimum = minimum or _written(last)
        now = time.monotonic()
        waited = waited.after(_sight(last, minimum), minimum, now)
    return {**_concluded(params, last, words), "finished": True}


def _concluded(
    params: Mapping[str, Any], last: dict[str, Any], words: Callable[[LogPlaces, int | None], LastWords]
) -> dict[str, Any]:
    """The last look, with what the server itself says if it was waited for in vain."""
    if last["ready"] or params["wait"] == "none" or _streams(last):
        return last
    path = params["data_directory"]
    places = LogPlaces(path, params["state_directory"] or default_state_directory(path))
    return _explained(last, words(places, last["pgdata"]["pid"]))


def _sight(status: Mapping[str, Any], minimum: str | None) -> Sight:
    """What a look tells of the way; the work of its processes is looked at only if the server cannot be asked."""
    pid = status["pgdata"]["pid"]
    return Sight.of(status, minimum, work_of(pid) if status["instance"] is None and pid is not None else 0)


def _consistent_since(status: Mapping[str, Any]) -> float | None:
    """Since when a standby takes connections, in seconds since 1970; None if it takes none, or if that is not known.

    The server writes that into postmaster.pid, and nothing after it (PostgreSQL source, miscinit.c and postmaster.c:
    PM_STATUS_READY).
    """
    if status["instance"] is None:
        return None
    try:
        return os.stat(os.path.join(status["pgdata"]["path"], "postmaster.pid")).st_mtime
    except OSError:
        return None


def _streams(status: Mapping[str, Any]) -> bool:
    """Whether it streams, from wherever: what it has said before that is over."""
    receiver = status["instance"]["receiver"] if status["instance"] is not None else None
    return receiver is not None and receiver.get("status") == "streaming"


def _explained(status: dict[str, Any], said: LastWords) -> dict[str, Any]:
    """What was seen, with what the server itself says, and what helps against that."""
    seen = Refusal.of_result(status)
    told = Refusal(seen.code, f"{seen.found} {said.sentence}".rstrip(), said.step(seen.next_step))
    return {**status, **said.result, "msg": told.msg}


def _written(status: Mapping[str, Any]) -> str | None:
    """What the upstream had written; of one that only the receiver reaches, what that has received."""
    if status["upstream"] is not None:
        return str(status["upstream"]["lsn"])
    received = status["instance"]["receive_lsn"] if status["instance"] is not None else None
    return received if status.get("warnings_to_show") else None


def _may_become_ready(status: Mapping[str, Any], awaited: str) -> bool:
    """Whether it is not ready yet and it makes sense to look again.

    ``awaited`` is ``none``, ``replay`` (of one that follows the upstream as it should, or that is only starting or
    stopping) or ``ready`` (of a server that
    runs as a standby, or cannot be asked yet).
    """
    if status["ready"] or awaited == "none" or status.get("error_code") == "replay_paused":
        return False
    unasked = status.get("unasked")
    if awaited == "replay":
        return bool(status["catching_up"] or (unasked is not None and unasked["passes"]))
    instance = status["instance"]
    return bool(status["running"] and (instance is None or instance["in_recovery"]))
