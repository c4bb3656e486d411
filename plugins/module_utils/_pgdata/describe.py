# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory in a few words, and whether it is ours. Pure. Private to the collection."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir

__all__ = ["describe", "is_ours", "is_unfinished_copy"]

_COMMITTED = ("committing", "committed")


def is_unfinished_copy(pgdata: DataDir) -> bool:
    """Whether a copy can go on with it. What an interrupted pg_rewind has left is a cluster's, and compared anew."""
    return pgdata.state == "incomplete" and (pgdata.clone or {}).get("phase") != "rewinding"


def is_ours(pgdata: DataDir) -> bool:
    """Whether the directory is a standby that a finished copy of ours made."""
    state = pgdata.clone or {}
    return (
        pgdata.state == "standby"
        and pgdata.control is not None
        and state.get("phase") in _COMMITTED
        and state.get("data_directory") == pgdata.path
        and state.get("system_identifier") in (None, pgdata.control.system_identifier)
    )


def describe(pgdata: DataDir) -> str:
    """A data directory in a few words, for messages."""
    if is_unfinished_copy(pgdata):
        return f"it holds an unfinished copy of backup {(pgdata.clone or {}).get('backup_id')}"
    if pgdata.state == "incomplete":
        return "it holds a cluster that an interrupted pg_rewind has left"
    if pgdata.control is None and pgdata.major is not None:
        return (
            f"it holds a damaged cluster of PostgreSQL {pgdata.version}, without a global/pg_control that can be read"
            f"{_other_than_recorded(pgdata)}"
        )
    if pgdata.control is None:
        names = ", ".join(pgdata.entries[:5]) + (", ..." if len(pgdata.entries) > 5 else "")
        return f"it holds {names}{_other_than_recorded(pgdata)}" if pgdata.entries else f"it is {pgdata.state}"
    kind = {"standby": "a standby", "pristine": "an unused cluster"}.get(pgdata.state, "a cluster")
    running = f", running as pid {pgdata.pid}" if pgdata.running else ""
    identifier = pgdata.control.system_identifier
    return f"it holds {kind} of PostgreSQL {pgdata.version} with system identifier {identifier}{running}"


def _other_than_recorded(pgdata: DataDir) -> str:
    """That a record tells of an unfinished copy, and that this is not known to be that copy; else nothing."""
    record = pgdata.clone or {}
    if record.get("phase") not in ("keeping", "copying", "committing"):
        return ""
    return f", not known by a mark to be the unfinished copy of backup {record.get('backup_id')} that a record tells of"
