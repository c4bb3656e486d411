# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory in a few words, and whether it is ours. Pure. Private to the collection."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir

__all__ = ["describe", "is_ours", "is_unfinished_copy"]

_COMMITTED = ("committing", "committed")


def is_unfinished_copy(found: DataDir) -> bool:
    """Whether a copy can go on with it. What an interrupted pg_rewind has left is a cluster's, and compared anew."""
    return found.state == "incomplete" and (found.clone or {}).get("phase") != "rewinding"


def is_ours(found: DataDir) -> bool:
    """Whether the directory is a standby that a finished copy of ours made."""
    state = found.clone or {}
    return (
        found.state == "standby"
        and found.control is not None
        and state.get("phase") in _COMMITTED
        and state.get("data_directory") == found.path
        and state.get("system_identifier") in (None, found.control.system_identifier)
    )


def describe(found: DataDir) -> str:
    """A data directory in a few words, for messages."""
    if is_unfinished_copy(found):
        return f"it holds an unfinished copy of backup {(found.clone or {}).get('backup_id')}"
    if found.state == "incomplete":
        return "it holds a cluster that an interrupted pg_rewind has left"
    if found.control is None and found.major is not None:
        return f"it holds a damaged cluster of PostgreSQL {found.version}, without a global/pg_control that can be read"
    if found.control is None:
        names = ", ".join(found.entries[:5]) + (", ..." if len(found.entries) > 5 else "")
        return f"it holds {names}" if found.entries else f"it is {found.state}"
    kind = {"standby": "a standby", "pristine": "an unused cluster"}.get(found.state, "a cluster")
    running = f", running as pid {found.pid}" if found.running else ""
    identifier = found.control.system_identifier
    return f"it holds {kind} of PostgreSQL {found.version} with system identifier {identifier}{running}"
