# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a preflight as a module returns it. Private to the collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import describe
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import COPYING, Decision
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request

__all__ = ["plan_result"]


def plan_result(
    noted: Mapping[str, Any],
    request: Request,
    pgdata: DataDir | None,
    decided: Decision | None,
    refused: bool,
    server: Upstream | None,
) -> dict[str, Any]:
    """What the checks have noted on their way, with all keys that a plan has."""
    backup = request.job.backup if request.job is not None else None
    plan = {
        **dict.fromkeys(("files", "bytes", "bytes_to_copy", "removed"), 0),
        **{name: [] for name in ("removed_names", "tablespaces", "not_checked")},
        "settings": {},
        "slot": None,
        "staged": False,
        **noted,
        "action": "refuse" if refused or decided is None else decided.action,
        "copies": not refused and decided is not None and decided.action in COPYING,
        "reason": decided.reason if decided is not None else "the data directory cannot be read",
        "stop": decided is not None and decided.stop,
        "before": describe(pgdata) if pgdata is not None else "",
        "backup_id": backup.backup_id if backup is not None else None,
        "server": backup.server if backup is not None else None,
        "data_directory": request.data_directory,
        "restore_command": request.restore_command,
        "method": _method(request),
        "upstream_derived": request.upstream_derived,
    }
    if server is not None:
        plan["upstream"] = {
            "host": server.host,
            "port": server.port,
            "system_identifier": server.system_identifier,
            "timeline": server.timeline,
            "lsn": format_lsn(server.lsn),
        }
    return plan


def _method(request: Request) -> str:
    if request.basebackup is not None:
        return "pg_basebackup"
    return request.job.method if request.job is not None else "rsync"
