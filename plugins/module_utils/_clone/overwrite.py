# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy is to do, and whether it may. Changes nothing. Private to the collection."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import Root, plan_roots, read_listing
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.remote_files import Source, list_backup
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.tar_backup import look_into
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.backup import errors, paths
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, DataDir, Entry
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import (
    default_state_directory,
    home_directories,
    inspect,
    is_empty,
    linked_directories,
    require_stopped,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.keep_old import Keeping, observe, plan_keeping
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import allows

__all__ = [
    "Job",
    "Outcome",
    "count_files",
    "describe",
    "is_ours",
    "judge",
    "kept_before",
    "look",
    "may_copy",
    "old_places",
    "plan",
    "preview",
    "require_empty_targets",
    "require_place",
    "roots_of",
    "to_keep",
]

_COMMITTED = ("committing", "committed")

# What a level of overwrite does with what it allows.
_PURPOSES = {
    "pristine": "to replace it",
    "same_cluster": "to bring it to the backup's state",
    "always": "to replace it",
}


@dataclass(frozen=True)
class Job:
    """What to copy from where to where, and how. Time-outs are seconds, ``bwlimit`` is KiB/s of all workers together.

    ``overwrite``: ``never``; ``pristine`` to replace a cluster that nobody has used; ``same_cluster`` to bring one of
    the same system identifier up to date; ``always`` to replace any, also a damaged one. Each includes those before.
    ``keep_old``: what would be overwritten is renamed aside.
    ``settings`` go into postgresql.auto.conf. ``again``: a finished copy of this very backup is not good enough.
    ``verify``: ``none``, ``size``, ``manifest`` (where the backup has one) or ``checksum``.
    ``method`` is what fills the directory: ``rsync``, ``barman`` or ``pg_basebackup``.
    """

    source: Source
    backup: Backup
    data_directory: str
    state_directory: str
    bindir: str
    targets: dict[int, str]
    waldir: str | None = None
    jobs: int = 2
    bwlimit: int | None = None
    lock_timeout: float = 3600
    io_timeout: int = 300
    compress: str = "auto"
    verify: str = "manifest"
    overwrite: str = "never"
    keep_old: bool = False
    again: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    method: str = "rsync"

    @property
    def other_places(self) -> dict[str, str]:
        """What is written beside the data directory, by its name in messages.

        The state directory's default place is the data directory's neighbour and needs no word of its own.
        """
        places = {f"tablespace {oid}": path for oid, path in self.targets.items()}
        if self.state_directory != default_state_directory(self.data_directory):
            places["state_directory"] = self.state_directory
        if self.waldir is not None:
            places["waldir"] = self.waldir
        return places

    @property
    def places_outside(self) -> list[str]:
        """Where tablespaces go, and the WAL if that is elsewhere."""
        return [*self.targets.values(), *([self.waldir] if self.waldir else [])]

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this copy from another one into the same directory."""
        return {
            "backup_id": self.backup.backup_id,
            "server": self.backup.server,
            "method": self.method,
            "data_directory": self.data_directory,
            "targets": sorted(self.places_outside),
        }


@dataclass(frozen=True)
class Outcome:
    """What a copy did. ``seconds`` are wall-clock.

    ``sent`` are the bytes of the backup's files that had to be sent, ``received`` those on the wire, compressed.
    ``verified`` is ``size``, ``manifest`` or ``checksum``; ``left_behind`` are places outside of the directory that
    the cluster used before and the backup does not know. ``before`` is what the directory was, in words;
    ``kept_old`` is where that is now, if it was kept. ``said`` is what another program warned of meanwhile.
    """

    action: str
    files: int = 0
    bytes: int = 0
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    retries: int = 0
    compress: str | None = None
    verified: str | None = None
    left_behind: tuple[str, ...] = ()
    before: str = ""
    kept_old: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


def plan(job: Job) -> tuple[Root, ...]:
    """The trees to copy, from a listing of the backup or the manifest of a packed one. Changes nothing."""
    return roots_of(job, list_backup(job.source, job.backup))


def roots_of(job: Job, entries: Iterable[Entry]) -> tuple[Root, ...]:
    """The trees that a listing tells of, of the backup or of what has been made of it. Raises StandbyError."""
    listing = read_listing(job.backup, entries, job.targets)
    if listing.archives:
        roots = look_into(job.source, job.backup, listing, job.data_directory, job.targets)
    else:
        roots = plan_roots(job.backup, listing, job.data_directory, job.targets)
    if job.waldir is None:
        return roots
    without_wal = tuple(path for path in roots[0].directories if path.split("/")[0] != "pg_wal")
    return (replace(roots[0], directories=without_wal), *roots[1:])


def look(job: Job) -> DataDir:
    """What is in the data directory now."""
    return inspect(job.data_directory, job.state_directory)


def judge(job: Job, found: DataDir) -> str:
    """What the directory allows: ``done``, ``copy``, ``resume``, ``delta`` or ``replace``.

    Raises StandbyError for all else, and tells which level of overwrite would allow it.
    """
    require_stopped(found)
    if found.state in ("absent", "empty"):
        return "copy"
    if _is_unfinished_copy(found):
        return "resume"
    if not job.again and is_ours(found) and (found.clone or {}).get("backup_id") == job.backup.backup_id:
        return "done"
    action, level = _consent(found, job.backup.system_identifier)
    if level is None:
        raise StandbyError(
            f"Data directory {found.path} is not empty: {describe(found)}. Nothing was changed, and no overwrite allows"
            " to remove what is not PostgreSQL's."
            " Next: choose an empty data_directory, or remove what is there yourself.",
            "data_directory_foreign",
        )
    if allows(job.overwrite, level):
        return action
    raise StandbyError(
        f"Data directory {found.path} is not empty: {describe(found)}. Nothing was changed."
        f" Next: choose an empty data_directory, allow overwrite={level} {_PURPOSES[level]},"
        " or remove what is there yourself.",
        _code_of(found),
    )


def _is_unfinished_copy(found: DataDir) -> bool:
    """Whether a copy can go on with it. What an interrupted pg_rewind has left is a cluster's, and compared anew."""
    return found.state == "incomplete" and (found.clone or {}).get("phase") != "rewinding"


def _consent(found: DataDir, identifier: str | None) -> tuple[str, str | None]:
    """What can be done with a directory that holds something, and which level of overwrite that takes."""
    if found.state == "incomplete":  # somebody had allowed to rewind it
        same = identifier is not None and (found.clone or {}).get("system_identifier") == identifier
        return ("delta", "never") if same else ("replace", "always")
    if found.state == "pristine":
        return "replace", "pristine"
    if found.control is None:
        return "replace", "always" if found.major is not None else None
    return ("delta", "same_cluster") if found.control.system_identifier == identifier else ("replace", "always")


def _code_of(found: DataDir) -> str:
    if found.state == "foreign":
        code = "data_directory_damaged"
    elif found.state == "pristine":
        code = "data_directory_pristine"
    else:
        code = "data_directory_cluster"
    return code


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
    if _is_unfinished_copy(found):
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


def preview(job: Job) -> Outcome:
    """What a copy would do; refuses as it would."""
    require_place(job)
    found = look(job)
    action = may_copy(job, found)
    if action is None:
        return Outcome("none", before=describe(found))
    roots = plan(job)
    size = sum(root.bytes for root in roots)
    return Outcome(action, count_files(roots), size, size, before=describe(found), kept_old=old_places(job, found))


def may_copy(job: Job, found: DataDir) -> str | None:
    """``clone``, ``resume``, ``delta`` or ``replace``; None when there is nothing to copy.

    Raises StandbyError where nothing may be.
    """
    action = judge(job, found)
    if action == "done":
        return None
    require_empty_targets(job, found)
    return "clone" if action == "copy" or to_keep(job, found) is not None else action


def to_keep(job: Job, found: DataDir) -> Keeping | None:
    """What has to be renamed aside, so that the copy is one into an empty directory; None when nothing has.

    Raises StandbyError when something cannot be renamed, with all reasons.
    """
    if not job.keep_old or judge(job, found) not in ("delta", "replace"):
        return None
    places, links = observe(job.data_directory, job.places_outside)
    written = [job.data_directory, *job.other_places.values()]
    keeping = plan_keeping(places, links, map(os.path.realpath, written))
    return keeping if keeping.moves else None


def kept_before(found: DataDir) -> tuple[str, ...]:
    """Where the unfinished copy that is there has put what was there before it."""
    return tuple((found.clone or {}).get("kept_old", ())) if _is_unfinished_copy(found) else ()


def old_places(job: Job, found: DataDir) -> tuple[str, ...]:
    """Where a copy would leave what was there before it. Raises StandbyError where that cannot be."""
    keeping = to_keep(job, found)
    return keeping.kept if keeping else kept_before(found)


def count_files(roots: tuple[Root, ...]) -> int:
    """The files of all trees and pg_control."""
    return sum(len(root.files) for root in roots) + 1


def require_empty_targets(job: Job, found: DataDir) -> None:
    """Only what an unfinished copy recorded as its own, or what the cluster to replace uses itself, may hold something.

    Raises StandbyError.
    """
    names = {tablespace.oid: tablespace.name for tablespace in job.backup.tablespaces}
    places = {path: f"of tablespace {names[oid]}" for oid, path in job.targets.items()}
    if job.waldir is not None:
        places[job.waldir] = "for the WAL"
    ours = (found.clone or {}).get("targets", ()) if found.state == "incomplete" else ()
    replaced = found.version is not None and not _is_unfinished_copy(found)
    used = linked_directories(job.data_directory) if replaced else ()
    for path, meaning in places.items():
        if path in ours or is_empty(path):
            continue
        if os.path.realpath(path) in used and (path == job.waldir or _holds_only(path, f"PG_{found.major}_")):
            continue
        raise StandbyError(
            f"The directory {meaning}, {path}, is not empty. Nothing was changed."
            " Next: empty it, or choose another by tablespace_mapping or waldir.",
            "target_not_empty",
        )


def _holds_only(path: str, prefix: str) -> bool:
    """Clusters of several major versions may share a tablespace's directory, each with one of its own in it."""
    return all(name.startswith(prefix) or name == "lost+found" for name in os.listdir(path))


def require_place(job: Job) -> None:
    """What no copy may begin without: safe paths, seen through links, and rsync if it is used. Raises StandbyError."""
    others = {name: os.path.realpath(path) for name, path in job.other_places.items()}
    for verdict in errors(paths(os.path.realpath(job.data_directory), others, home_directories())):
        raise StandbyError(verdict.msg, str(verdict.error_code))
    if job.method != "pg_basebackup" and shutil.which("rsync") is None:
        raise StandbyError("rsync is not installed on this host. Next: install rsync.", "rsync_missing_local")
