# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a preflight as a module returns it. Private to the collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import describe
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.case import Case
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import COPYING

__all__ = ["plan_result"]


def plan_result(found: Mapping[str, Any], case: Case, refused: bool) -> dict[str, Any]:
    """The plan with all its keys: what the checks found for it, and what follows from the case.

    ``refused``: a verdict is an error. ``upstream`` and ``wal_to_replay`` are there if the upstream answered.
    """
    request, decision = case.request, case.decision
    backup = case.job.backup if case.job is not None else None
    plan = {
        **dict.fromkeys(("files", "bytes", "bytes_to_copy", "removed"), 0),
        **{name: [] for name in ("removed_names", "tablespaces", "not_checked")},
        "settings": {},
        "slot": None,
        "staged": False,
        **found,
        "action": "refuse" if refused else case.action,
        "copies": not refused and case.action in COPYING,
        "reason": decision.reason if decision is not None else "the data directory cannot be read",
        "stop": decision is not None and decision.stop,
        "before": describe(case.pgdata) if case.pgdata is not None else "",
        "backup_id": backup.backup_id if backup is not None else None,
        "server": backup.server if backup is not None else None,
        "data_directory": request.data_directory,
        "restore_command": request.restore_command,
        "method": request.method,
        "upstream_derived": request.upstream_derived,
    }
    if case.upstream is not None:
        plan.update(wal_to_replay=case.wal_to_replay, upstream=_identity(case.upstream))
    return plan


def _identity(upstream: Upstream) -> dict[str, Any]:
    return {
        "host": upstream.host,
        "port": upstream.port,
        "system_identifier": upstream.system_identifier,
        "timeline": upstream.timeline,
        "lsn": format_lsn(upstream.lsn),
    }
