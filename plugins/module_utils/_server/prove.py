# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby looked at until it is ready, for as long as it gets nearer to that. Private to the collection."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.standby_status import standby_status
from ansible_collections.pgfleet.standby.plugins.module_utils._server.last_words import LastWords
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_files import LogPlaces, words_of_last_start
from ansible_collections.pgfleet.standby.plugins.module_utils._server.process import StalledError, wait, work_of

__all__ = ["prove"]

# Each look is a login here and one at the upstream.
_PAUSE = 0.5


def prove(
    params: dict[str, Any],
    look: Callable[[dict[str, Any]], dict[str, Any]] = standby_status,
    words: Callable[[LogPlaces, int | None], LastWords] = words_of_last_start,
) -> dict[str, Any]:
    """The last look at a standby, in the words of standby_info; of one that was waited for in vain, with its own.

    ``wait`` says for what it is looked at again, ``timeout`` how many seconds may pass without a change. What the
    upstream had written at the first look, where no other position is given, is what has to be replayed. Raises
    StandbyError only for wrong options.
    """
    last = look(params)
    minimum = params["min_replay_lsn"] or _written(last)

    def come() -> bool:
        nonlocal last, minimum
        last = look({**params, "min_replay_lsn": minimum})
        minimum = minimum or _written(last)
        return not _may_become_ready(last, params["wait"])

    if _may_become_ready(last, params["wait"]):
        with contextlib.suppress(StalledError):
            wait(come, lambda: _movement(last, minimum), params["timeout"], _PAUSE)
    if last["ready"] or params["wait"] == "none" or _streams(last):
        return last
    path = params["data_directory"]
    places = LogPlaces(path, params["state_directory"] or default_state_directory(path))
    return _explained(last, words(places, last["pgdata"]["pid"]))


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


def _movement(status: Mapping[str, Any], minimum: str | None) -> Any:
    """What changes while a standby gets nearer to a position; of one that cannot be asked, its work.

    What it receives beyond the position does not bring it nearer.
    """
    instance = status["instance"]
    if instance is None:
        pid, unasked = status["pgdata"]["pid"], status.get("unasked") or {}
        startup = unasked.get("startup")
        # It looks for WAL that does not come again and again, which is work and brings it no nearer.
        waits = startup is not None and startup.startswith("waiting for")
        return (pid, startup, unasked.get("receiver"), work_of(pid) if pid is not None and not waits else 0)
    received = instance["receive_lsn"]
    if received is not None and minimum is not None:
        received = min(parse_lsn(received), parse_lsn(minimum))
    return (received, instance["replay_lsn"], instance["receiver"])
