# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a standby and its upstream. Private to the collection."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn, parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import RECOVERY_CONF, needs_signal
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir, Instance, Upstream, as_dict
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import is_ours
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect, uncertain
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import find_bindir
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import readiness as _readiness
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import without_upstream as _without_upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import NOTHING_SPARE, identify
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.local_server import Answer, ask_server
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.login import login_of

__all__ = ["pgdata_of", "standby_status"]

_PROBE = "pgfleet_standby_info"


def standby_status(params: dict[str, Any]) -> dict[str, Any]:
    """The result of standby_info. Raises StandbyError only for wrong options."""
    asked = params.get("upstream_connection") != "none"
    keywords = None
    if params["upstream_conninfo"]:
        keywords = login_of(params, _PROBE).keywords
    minimum = _position(params["min_replay_lsn"])
    found = inspect(params["data_directory"], params["state_directory"])
    # The upstream first: what it has written by then can be replayed by the time we ask here.
    upstream, unreached = _ask_upstream(keywords if asked else None)
    answer = ask_server(found, params["login_user"], params["login_db"])
    instance = answer.instance
    astray = _no_answer(found, answer)
    if instance is not None and asked:
        instance = replace(instance, delayed=instance.delayed or _delayed_by_file(found))
        astray = _readiness.not_following(instance, keywords, upstream, params["slot_name"])
    elif instance is not None:
        astray = _without_upstream.reasons(instance)
    # A receiver that streams from there has logged in to it, and nothing is spare for us. A login that is refused for
    # another reason is one that the receiver could not repeat with what it is to be given.
    by_receiver = unreached is not None and unreached.code == NOTHING_SPARE and instance is not None and not astray
    reasons = [unreached.msg, *astray] if unreached is not None and not by_receiver else astray
    behind: list[str] = []
    if instance is not None and instance.in_recovery and asked:
        if minimum is None and params.get("wait", "none") != "none":
            minimum = upstream.lsn if upstream is not None else instance.receive_lsn if by_receiver else None
        behind = _readiness.behind(instance, upstream, minimum, params["max_lag_bytes"])
    refusal = _readiness.refusal(found.path, reasons, behind, instance, upstream)
    return {
        **({"error_code": refusal.code, "msg": refusal.msg} if refusal is not None else {}),
        "pgdata": pgdata_of(found, params["pg_bindir"], upstream.system_identifier if upstream is not None else None),
        "ready": not reasons + behind,
        "state": _without_upstream.state(instance, not reasons + behind),
        "reasons": reasons + behind,
        "catching_up": bool(behind) and not reasons,
        "running": found.running,
        "unasked": _unasked(answer),
        "instance": _instance(instance) if instance is not None else None,
        "upstream": _upstream(upstream) if upstream is not None else None,
        "lag_bytes": _readiness.lag_bytes(instance, upstream) if instance is not None else None,
        "warnings_to_show": [_unproven(unreached)] if unreached is not None and by_receiver else [],
    }


def _ask_upstream(keywords: Mapping[str, str] | None) -> tuple[Upstream | None, StandbyError | None]:
    """The upstream, or why it could not be asked; neither if it is not to be."""
    try:
        return (None, None) if keywords is None else (identify(keywords), None)
    except StandbyError as failed:
        return None, failed


def _no_answer(found: DataDir, answer: Answer) -> list[str]:
    """Why the server of the directory says nothing of itself; empty if it does."""
    if found.doubt is not None:
        return [uncertain(found).msg]
    if not found.running:
        return [f"no server runs on {found.path}, which is {found.state}"]
    return [answer.unasked.refusal.msg] if answer.unasked is not None else []


def _unasked(answer: Answer) -> dict[str, Any] | None:
    unasked = answer.unasked
    if unasked is None:
        return None
    return {"kind": unasked.kind, "error_code": unasked.refusal.code, "passes": unasked.passes, **as_dict(unasked.work)}


def _unproven(unreached: StandbyError) -> str:
    return (
        "The standby streams from the wanted upstream, which could not be asked from here, so how far the upstream is"
        f" is not known. {unreached.msg}"
    )


def pgdata_of(pgdata: DataDir, bindir: str | None, system_identifier: str | None = None) -> dict[str, Any]:
    """A data directory as modules return it. Raises StandbyError if the programs of a cluster are missing."""
    result = as_dict(pgdata)
    del result["entries"]
    result.update(
        kind=pgdata.kind(system_identifier),
        mount_point=os.path.ismount(pgdata.path),
        running=pgdata.running,
        ours=is_ours(pgdata),
        pg_bindir=None,
    )
    if pgdata.control is not None:
        result["pg_bindir"] = find_bindir(pgdata.major, bindir)
    return result


def _delayed_by_file(found: DataDir) -> bool:
    """Until PostgreSQL 11 the server itself does not know the setting: it is only in recovery.conf."""
    if found.major is None or needs_signal(found.major):
        return False
    lines = _conf.read(read_small(os.path.join(found.path, RECOVERY_CONF)) or "")
    return any(line.name == "recovery_min_apply_delay" and line.value.strip() not in ("", "0") for line in lines)


def _position(text: str | None) -> int | None:
    if not text:
        return None
    try:
        return parse_lsn(text)
    except ValueError as wrong:
        raise StandbyError(
            Refusal("lsn_invalid", f"min_replay_lsn={text!r} is no WAL position.", "give one such as 0/3000028")
        ) from wrong


def _instance(instance: Instance) -> dict[str, Any]:
    result = as_dict(instance)
    for name in ("receive_lsn", "replay_lsn"):
        if result[name] is not None:
            result[name] = format_lsn(result[name])
    return result


def _upstream(upstream: Upstream) -> dict[str, Any]:
    result = as_dict(upstream)
    del result["history"], result["settings"]
    return dict(result, lsn=format_lsn(upstream.lsn))
