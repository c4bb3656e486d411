# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a clone may touch what is there: consent, places, and what is kept. Changes nothing.

Private to the collection.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace

from ansible_collections.pgfleet.standby.plugins.module_utils._clone.consent import admit, contents_of
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Consent, Job, Result, Target
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.removals import require_removable
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.roots import count_files, plan
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import NO_CONTENT, is_empty
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import describe, is_unfinished_copy
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect, require_stopped
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.keep_old import (
    KeepOldPlan,
    observe,
    plan_keep_old,
    recorded_keep_old,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import require_lockable
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.marks import still_ours
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import user_name
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.paths import paths
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import (
    home_directories,
    linked_directories,
    links,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import refusals

__all__ = [
    "Permit",
    "inspect_target",
    "permit",
    "plan_to_keep",
    "preview",
    "require_empty_targets",
    "require_place",
    "require_wal_stays",
]


@dataclass(frozen=True)
class Permit:
    """What a copy may do with what is there: asked once, after the lock, and handed on.

    ``action`` is ``clone``, ``resume``, ``delta`` or ``replace``; ``none`` if there is nothing to copy. ``pgdata`` is
    the directory as it was found. ``keep_plan`` is what has to be renamed aside first, so that the copy is one into an
    empty directory; None if nothing has to be.
    """

    action: str
    pgdata: DataDir
    keep_plan: KeepOldPlan | None = None

    @property
    def before(self) -> str:
        """What is there, in words."""
        return describe(self.pgdata)

    @property
    def kept_old(self) -> tuple[str, ...]:
        """Where the copy leaves what was there before it, or before the unfinished copy that it resumes."""
        if self.keep_plan is not None:
            return self.keep_plan.kept
        return tuple((self.pgdata.clone or {}).get("kept_old", ())) if is_unfinished_copy(self.pgdata) else ()


def inspect_target(target: Target) -> DataDir:
    """What is in the data directory now."""
    return inspect(target.data_directory, target.state_directory)


def permit(backup: Backup, target: Target, consent: Consent, pgdata: DataDir) -> Permit:
    """What the copy may do with what is there. Changes nothing.

    Raises StandbyError if it may do nothing: a server runs there, a higher level of overwrite is needed, the directory
    is another user's, a place of a tablespace or of the WAL is not empty, or what is there cannot be renamed aside.
    """
    require_stopped(pgdata)
    contents = contents_of(pgdata, backup.system_identifier, backup)
    admission = admit(contents, consent.overwrite, consent.again)
    if admission.refusal is not None:
        head = f"Data directory {pgdata.path} is not empty: {describe(pgdata)};"
        found = f"{head} {admission.refusal.found} Nothing was changed."
        raise StandbyError(replace(admission.refusal, found=found))
    if admission.action == "none":
        return Permit("none", pgdata)
    _require_own(pgdata.path)
    require_empty_targets(backup, target, pgdata)
    if admission.action == "resume":
        return Permit("resume", pgdata, recorded_keep_old(pgdata.clone or {}))
    keep_plan = plan_to_keep(target) if consent.keep_old and admission.action in ("delta", "replace") else None
    if keep_plan is None:
        require_wal_stays(backup, target, pgdata)
    return Permit("clone" if keep_plan is not None else admission.action, pgdata, keep_plan)


def _require_own(data_directory: str) -> None:
    """That the directory is ours, if it is there: a server refuses one of another user (PostgreSQL source, miscinit.c,
    checkDataDir). Raises StandbyError.
    """
    try:
        owner = os.stat(data_directory).st_uid
    except FileNotFoundError:
        return
    if owner != os.geteuid():
        raise StandbyError(
            Refusal(
                "data_directory_owner",
                f"Data directory {data_directory} belongs to {user_name(owner)}, not to {user_name(os.geteuid())}: the"
                " server refuses to start there. Nothing was changed.",
                f"chown {user_name(os.geteuid())} {data_directory}, if the directory is meant for the server",
            )
        )


def preview(job: Job) -> Result:
    """What a copy would do; refuses as it would."""
    require_place(job.target, job.method)
    permitted = permit(job.backup, job.target, job.consent, inspect_target(job.target))
    if permitted.action == "none":
        return Result("none", before=permitted.before)
    roots = plan(job.barman_host, job.backup, job.target)
    if permitted.keep_plan is None:
        require_removable(roots, permitted.action, job.target)
    size = sum(root.bytes for root in roots)
    return Result(
        permitted.action,
        count_files(roots),
        size,
        size,
        before=permitted.before,
        kept_old=permitted.kept_old,
    )


def plan_to_keep(target: Target) -> KeepOldPlan | None:
    """What has to be renamed aside, so that the copy is one into an empty directory; None if nothing has to be.

    Raises StandbyError if something cannot be renamed, with all reasons.
    """
    places, links = observe(target.data_directory, target.places_outside)
    written = [target.data_directory, *target.other_places.values()]
    keep_plan = plan_keep_old(places, links, map(os.path.realpath, written))
    return keep_plan if keep_plan.moves else None


def require_empty_targets(backup: Backup, target: Target, pgdata: DataDir) -> None:
    """Only what an unfinished copy has marked as its own, or what the cluster to replace uses itself, may be filled.

    Raises StandbyError.
    """
    names = {tablespace.oid: tablespace.name for tablespace in backup.tablespaces}
    places = {path: f"of tablespace {names[oid]}" for oid, path in target.tablespaces.items()}
    if target.waldir is not None:
        places[target.waldir] = "for the WAL"
    ours = {*map(os.path.realpath, still_ours(pgdata.clone or {}))} if pgdata.state == "incomplete" else set()
    replaced = pgdata.version is not None and not is_unfinished_copy(pgdata)
    used = linked_directories(target.data_directory) if replaced else ()
    for path, meaning in places.items():
        if os.path.realpath(path) in ours or is_empty(path):
            continue
        if os.path.realpath(path) in used and (path == target.waldir or _holds_only(path, f"PG_{pgdata.major}_")):
            continue
        raise StandbyError(
            Refusal(
                "target_not_empty",
                f"The directory {meaning}, {path}, is not empty. Nothing was changed.",
                "empty it, or choose another by tablespace_mapping or waldir",
            )
        )


def require_wal_stays(backup: Backup, target: Target, pgdata: DataDir) -> None:
    """That the WAL of a cluster that is brought to a backup's state is not moved to another volume without a word.

    Another cluster goes as a whole, and what it leaves is told. Raises StandbyError.
    """
    if target.waldir is not None or not contents_of(pgdata, backup.system_identifier).same_cluster:
        return
    place = links(target.data_directory).get("pg_wal")
    if place is not None:
        raise StandbyError(
            Refusal(
                "waldir_missing",
                f"The WAL of {pgdata.path} is elsewhere: its pg_wal is a link to {place}. Without waldir the copy would"
                " have its WAL in the data directory, on its file system. Nothing was changed.",
                f"choose waldir={place} to keep the WAL there, or remove the link, if the WAL is to be in the data"
                " directory",
            )
        )


def _holds_only(path: str, prefix: str) -> bool:
    """Clusters of several major versions may share a tablespace's directory, each with one of its own in it."""
    return all(name.startswith(prefix) or name in NO_CONTENT for name in os.listdir(path))


def require_place(target: Target, method: str) -> None:
    """What no copy may begin without: safe paths, seen through links, locks, and rsync if it is used.

    Raises StandbyError.
    """
    others = {name: os.path.realpath(path) for name, path in target.other_places.items()}
    for refusal in refusals(paths(os.path.realpath(target.data_directory), others, home_directories())):
        raise StandbyError(refusal)
    require_lockable(target.state_directory)
    if method != "pg_basebackup" and shutil.which("rsync") is None:
        raise StandbyError(Refusal("rsync_missing_local", "rsync is not installed on this host.", "install rsync"))
