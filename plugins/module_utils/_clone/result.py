# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a data directory, as the modules that fill one return it. Private to the collection."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._clone.detached import Running
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job, Result
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.login_session import ended_with

__all__ = ["ends_with", "result_of", "values_of"]


def result_of(job: Job, outcome: Result | Running) -> dict[str, Any]:
    """What every method returns that brings a backup."""
    content = f"a clone of backup {job.backup.backup_id} of {job.backup.server}"
    return {"backup_id": job.backup.backup_id, **values_of(job, outcome, content)}


def values_of(job: Job, outcome: Result | Running, content: str) -> dict[str, Any]:
    """What every method returns. ``content`` is what the directory holds then, in words."""
    if isinstance(outcome, Running):
        return {
            "changed": True,
            "method": job.method,
            "finished": False,
            "run": outcome.run,
            "progress": outcome.progress,
            "ends_with": ends_with(outcome.pid),
        }
    return {
        "changed": outcome.action != "none",
        "action": outcome.action,
        "method": job.method,
        "finished": True,
        "files": outcome.files,
        "bytes": outcome.bytes,
        "bytes_sent": outcome.sent,
        "seconds": round(outcome.seconds, 2),
        "verified": outcome.verified,
        "durable": outcome.durable,
        "left_behind": list(outcome.left_behind),
        "kept_old": list(outcome.kept_old),
        "diff": _difference(job, outcome, content),
        "warnings_to_show": _warnings(outcome),
    }


def ends_with(pid: int | None) -> dict[str, Any] | None:
    """The login session with which a copy ends, and its process."""
    session = ended_with(pid) if pid is not None else None
    return {"session": session.scope, "pid": pid} if session is not None else None


def _warnings(outcome: Result) -> list[str]:
    """What a person should know of how the copy came to its end."""
    warnings = []
    if outcome.restarts:
        warnings.append(
            f"The process that copied was killed, or left no result, and was started again {outcome.restarts} times."
            " The copy is whole. Look for the reason in the kernel's log (out of memory?)."
        )
    if outcome.by_size:
        warnings.append(
            f"The backup's manifest does not know all files in {', '.join(outcome.by_size)}. Those that it does not"
            " know were compared by name and size."
        )
    return warnings


def _difference(job: Job, outcome: Result, content: str) -> dict[str, str]:
    """Before and after in words."""
    after = (
        f"it holds {content}, {outcome.files} files, {outcome.bytes} bytes,"
        f" system identifier {job.backup.system_identifier}"
    )
    if outcome.kept_old:
        after += f"; what was there is kept in {', '.join(outcome.kept_old)}"
    return {
        "before_header": job.target.data_directory,
        "after_header": job.target.data_directory,
        "before": f"{outcome.before}\n",
        "after": f"{outcome.before if outcome.action == 'none' else after}\n",
    }
