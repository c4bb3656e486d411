# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a clone may touch what is there: the levels of ``overwrite``. Changes nothing. Private to the collection."""

from __future__ import annotations

import os
import shutil

from ansible_collections.pgfleet.standby.plugins.module_utils._clone.consent import allows
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job, Result
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.roots import count_files, plan
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import is_empty
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import (
    describe,
    is_ours,
    is_unfinished_copy,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect, require_stopped
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.keep_old import (
    KeepOldPlan,
    observe,
    plan_keep_old,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.paths import paths
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import home_directories, linked_directories
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import refusals

__all__ = [
    "admit",
    "inspect_target",
    "kept_before",
    "may_copy",
    "old_places",
    "preview",
    "require_empty_targets",
    "require_place",
    "to_keep",
]

# What a level of overwrite does with what it allows.
_PURPOSES = {
    "pristine": "to replace it",
    "same_cluster": "to bring it to the backup's state",
    "always": "to replace it",
}


def inspect_target(job: Job) -> DataDir:
    """What is in the data directory now."""
    return inspect(job.data_directory, job.state_directory)


def admit(job: Job, pgdata: DataDir) -> str:
    """What the directory allows: ``done``, ``copy``, ``resume``, ``delta`` or ``replace``.

    Raises StandbyError for all else, and tells which level of overwrite would allow it.
    """
    require_stopped(pgdata)
    if pgdata.state in ("absent", "empty"):
        return "copy"
    if is_unfinished_copy(pgdata):
        return "resume"
    if not job.again and is_ours(pgdata) and (pgdata.clone or {}).get("backup_id") == job.backup.backup_id:
        return "done"
    action, level = _consent(pgdata, job.backup.system_identifier)
    if level is None:
        raise StandbyError(
            Refusal(
                "data_directory_foreign",
                f"Data directory {pgdata.path} is not empty: {describe(pgdata)}. Nothing was changed, and no overwrite"
                " allows to remove what is not PostgreSQL's.",
                "choose an empty data_directory, or remove what is there yourself",
            )
        )
    if allows(job.overwrite, level):
        return action
    found = f"Data directory {pgdata.path} is not empty: {describe(pgdata)}. Nothing was changed."
    step = (
        f"choose an empty data_directory, allow overwrite={level} {_PURPOSES[level]}, or remove what is there yourself"
    )
    if pgdata.state == "foreign":
        raise StandbyError(Refusal("data_directory_damaged", found, step))
    if pgdata.state == "pristine":
        raise StandbyError(Refusal("data_directory_pristine", found, step))
    raise StandbyError(Refusal("data_directory_cluster", found, step))


def _consent(pgdata: DataDir, identifier: str | None) -> tuple[str, str | None]:
    """What can be done with a directory that holds something, and which level of overwrite that takes."""
    if pgdata.state == "incomplete":  # somebody had allowed to rewind it
        same = identifier is not None and (pgdata.clone or {}).get("system_identifier") == identifier
        return ("delta", "never") if same else ("replace", "always")
    if pgdata.state == "pristine":
        return "replace", "pristine"
    if pgdata.control is None:
        return "replace", "always" if pgdata.major is not None else None
    return ("delta", "same_cluster") if pgdata.control.system_identifier == identifier else ("replace", "always")


def preview(job: Job) -> Result:
    """What a copy would do; refuses as it would."""
    require_place(job)
    pgdata = inspect_target(job)
    action = may_copy(job, pgdata)
    if action is None:
        return Result("none", before=describe(pgdata))
    roots = plan(job)
    size = sum(root.bytes for root in roots)
    return Result(action, count_files(roots), size, size, before=describe(pgdata), kept_old=old_places(job, pgdata))


def may_copy(job: Job, pgdata: DataDir) -> str | None:
    """``clone``, ``resume``, ``delta`` or ``replace``; None when there is nothing to copy.

    Raises StandbyError where nothing may be.
    """
    action = admit(job, pgdata)
    if action == "done":
        return None
    require_empty_targets(job, pgdata)
    return "clone" if action == "copy" or to_keep(job, pgdata) is not None else action


def to_keep(job: Job, pgdata: DataDir) -> KeepOldPlan | None:
    """What has to be renamed aside, so that the copy is one into an empty directory; None when nothing has.

    Raises StandbyError when something cannot be renamed, with all reasons.
    """
    if not job.keep_old or admit(job, pgdata) not in ("delta", "replace"):
        return None
    places, links = observe(job.data_directory, job.places_outside)
    written = [job.data_directory, *job.other_places.values()]
    keep_plan = plan_keep_old(places, links, map(os.path.realpath, written))
    return keep_plan if keep_plan.moves else None


def kept_before(pgdata: DataDir) -> tuple[str, ...]:
    """Where the unfinished copy that is there has put what was there before it."""
    return tuple((pgdata.clone or {}).get("kept_old", ())) if is_unfinished_copy(pgdata) else ()


def old_places(job: Job, pgdata: DataDir) -> tuple[str, ...]:
    """Where a copy would leave what was there before it. Raises StandbyError where that cannot be."""
    keep_plan = to_keep(job, pgdata)
    return keep_plan.kept if keep_plan else kept_before(pgdata)


def require_empty_targets(job: Job, pgdata: DataDir) -> None:
    """Only what an unfinished copy recorded as its own, or what the cluster to replace uses itself, may hold something.

    Raises StandbyError.
    """
    names = {tablespace.oid: tablespace.name for tablespace in job.backup.tablespaces}
    places = {path: f"of tablespace {names[oid]}" for oid, path in job.targets.items()}
    if job.waldir is not None:
        places[job.waldir] = "for the WAL"
    ours = (pgdata.clone or {}).get("targets", ()) if pgdata.state == "incomplete" else ()
    replaced = pgdata.version is not None and not is_unfinished_copy(pgdata)
    used = linked_directories(job.data_directory) if replaced else ()
    for path, meaning in places.items():
        if path in ours or is_empty(path):
            continue
        if os.path.realpath(path) in used and (path == job.waldir or _holds_only(path, f"PG_{pgdata.major}_")):
            continue
        raise StandbyError(
            Refusal(
                "target_not_empty",
                f"The directory {meaning}, {path}, is not empty. Nothing was changed.",
                "empty it, or choose another by tablespace_mapping or waldir",
            )
        )


def _holds_only(path: str, prefix: str) -> bool:
    """Clusters of several major versions may share a tablespace's directory, each with one of its own in it."""
    return all(name.startswith(prefix) or name == "lost+found" for name in os.listdir(path))


def require_place(job: Job) -> None:
    """What no copy may begin without: safe paths, seen through links, and rsync if it is used. Raises StandbyError."""
    others = {name: os.path.realpath(path) for name, path in job.other_places.items()}
    for refusal in refusals(paths(os.path.realpath(job.data_directory), others, home_directories())):
        raise StandbyError(refusal)
    if job.method != "pg_basebackup" and shutil.which("rsync") is None:
        raise StandbyError(Refusal("rsync_missing_local", "rsync is not installed on this host.", "install rsync"))
