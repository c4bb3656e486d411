# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a backup's files into a data directory, so that it can be started only when it is complete.

The order is the safety: the record of the copy first, then files, verification, links, the
standby signal and harmless settings, a sync of every file system, and ``global/pg_control``,
without which no server starts, last of all. Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils import _tree
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_files import Source, fetch, list_backup
from ansible_collections.pgfleet.standby.plugins.module_utils._clone_state import Lock, boot_id, save_state
from ansible_collections.pgfleet.standby.plugins.module_utils._datadir import (
    control_data,
    default_state_directory,
    fsync_directory,
    home_directories,
    inspect,
    is_empty,
    read_small,
    write_atomically,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._inventory import (
    CONTROL,
    Root,
    digest,
    plan_roots,
    shards,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata_parse import parse_backup_label
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import errors, paths
from ansible_collections.pgfleet.standby.plugins.module_utils._probe import cipher_options, compressions
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery import without_leftovers
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import Shard, Transfer
from ansible_collections.pgfleet.standby.plugins.module_utils._transport import Calibration

__all__ = ["Job", "Outcome", "clone", "describe", "is_ours", "judge", "plan", "preview", "require_empty_targets"]

_SIGNAL = "# This directory is a standby's: the server waits for its upstream instead of becoming a primary.\n"
_COMMITTED = ("committing", "committed")


@dataclass(frozen=True)
class Job:
    """What to copy from where to where."""

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
    compress: str = "auto"

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


@dataclass(frozen=True)
class Outcome:
    """What a copy did. ``seconds`` are wall-clock, ``sent`` are the bytes that were not here already."""

    action: str
    files: int
    bytes: int
    sent: int
    seconds: float
    retries: int = 0
    compress: str | None = None


def plan(job: Job) -> tuple[Root, ...]:
    """The trees to copy, from a listing of the backup. Changes nothing."""
    roots = plan_roots(job.backup, list_backup(job.source, job.backup), job.data_directory, job.targets)
    if job.waldir is None:
        return roots
    without_wal = tuple(path for path in roots[0].directories if path.split("/")[0] != "pg_wal")
    return (replace(roots[0], directories=without_wal), *roots[1:])


def judge(job: Job, found: DataDir) -> str:
    """What the directory allows: ``done``, ``copy`` or ``resume``. Raises StandbyError for all else."""
    if found.running:
        raise StandbyError(
            f"A server runs on {found.path} (pid {found.pid}). A running server is never replaced."
            " Next: stop it, if it may go.",
            "server_running",
        )
    if found.state in ("absent", "empty"):
        return "copy"
    if found.state == "incomplete":
        return "resume"
    if is_ours(found) and (found.clone or {}).get("backup_id") == job.backup.backup_id:
        return "done"
    raise StandbyError(
        f"Data directory {found.path} is not empty: {describe(found)}. Nothing was changed."
        " Next: choose an empty data_directory, or remove what is there yourself.",
        "data_directory_foreign" if found.control is None else "data_directory_cluster",
    )


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
    if found.control is None:
        names = ", ".join(found.entries[:5]) + (", ..." if len(found.entries) > 5 else "")
        return f"it holds {names}" if found.entries else found.state
    kind = "a standby" if found.state == "standby" else "a cluster"
    running = f", running as pid {found.pid}" if found.running else ""
    identifier = found.control.system_identifier
    return f"it holds {kind} of PostgreSQL {found.version} with system identifier {identifier}{running}"


def preview(job: Job, found: DataDir) -> Outcome:
    """What ``clone`` would do; refuses as it would."""
    _require_place(job)
    action = judge(job, found)
    if action == "done":
        return Outcome("none", 0, 0, 0, 0.0)
    require_empty_targets(job, found)
    roots = plan(job)
    size = sum(root.bytes for root in roots)
    return Outcome("clone" if action == "copy" else action, _count(roots), size, size, 0.0)


def clone(job: Job) -> Outcome:
    """Copy, verify and commit. Raises StandbyError; then the directory cannot be started and a new run resumes."""
    started = time.monotonic()
    # Whatever refuses comes before the first change, which is the directory of the record.
    _require_place(job)
    prepared = _prepare(job) if _may_copy(job, _look(job)) else None
    _private_directory(job.state_directory)
    with Lock(job.state_directory, job.lock_timeout) as lock:
        # Again: another run may have finished while we waited for the lock.
        found = _look(job)
        state = found.clone or {}
        if not _may_copy(job, found):
            if state.get("phase") == "committing":
                _record(job, "committed", digest=state.get("digest"))
            return Outcome("none", 0, 0, 0, time.monotonic() - started)
        roots, source, calibration = prepared or _prepare(job)
        name = digest(roots)
        resumed = found.state == "incomplete" and state.get("digest") == name
        transfer = Transfer(source, job.jobs, lock.fd, calibration, job.bwlimit)
        for root in roots:
            _private_directory(root.target)
        _record(job, "copying", digest=name)
        queue = _queue(roots, resumed, same_boot=state.get("boot_id") == boot_id())
        transfer.run(queue)
        _verify(roots)
        _finish(job)
        _tree.sync([*(root.target for root in roots), *([job.waldir] if job.waldir else [])])
        _commit(job, name)
    return Outcome(
        "resume" if resumed else "clone",
        _count(roots),
        sum(root.bytes for root in roots),
        sum(shard.bytes for shard in queue if shard.compare != "--checksum"),
        time.monotonic() - started,
        transfer.retries,
        transfer.calibration.best(),
    )


def _look(job: Job) -> DataDir:
    return inspect(job.data_directory, job.bindir, job.state_directory)


def _may_copy(job: Job, found: DataDir) -> bool:
    """Whether there is anything to copy. Raises StandbyError where nothing may be."""
    if judge(job, found) == "done":
        return False
    require_empty_targets(job, found)
    return True


def _count(roots: tuple[Root, ...]) -> int:
    """The files of all trees and pg_control."""
    return sum(len(root.files) for root in roots) + 1


def _prepare(job: Job) -> tuple[tuple[Root, ...], Source, Calibration]:
    """What to copy, and the best that both ends can do. Raises StandbyError when they lack what was asked for."""
    roots = plan(job)
    source = replace(job.source, ssh_options=(*job.source.ssh_options, *cipher_options(job.source)))
    return roots, source, Calibration(compressions(job.source, job.compress))


def _queue(roots: tuple[Root, ...], resumed: bool, same_boot: bool) -> list[Shard]:
    """What has to be sent, the largest first, after the directories are made and leftovers are gone."""
    queue: list[Shard] = []
    for root in roots:
        present = _tree.tidy(root) if resumed else {}
        if not resumed:
            _tree.empty(root.target)
        _tree.make_directories(root)
        complete = _tree.complete_files(root, present)
        queue += _shards(root, [entry for entry in root.files if entry.path not in complete])
        if not same_boot:
            # Size and time of a file survive a crash that its contents did not: compare contents.
            queue += _shards(root, [entry for entry in root.files if entry.path in complete], "--checksum")
    return sorted(queue, key=lambda shard: shard.bytes, reverse=True)


def _shards(root: Root, files: list[Any], compare: str = "--ignore-times") -> list[Shard]:
    return [Shard(root.source, root.target, files, compare) for files in shards(files)]


def _verify(roots: tuple[Root, ...]) -> None:
    differences = [f"{root.target}/{line}" for root in roots for line in _tree.difference(root)]
    if differences:
        raise StandbyError(
            f"The copy differs from the backup in {len(differences)} places: {'; '.join(differences[:5])}."
            " The directory cannot be started. Next: check that nothing else writes there, then run again.",
            "verification_failed",
            differences=differences[:100],
        )


def _finish(job: Job) -> None:
    """All that makes the files a standby's, before the one file that makes them a cluster's."""
    top = job.data_directory
    for oid, target in job.targets.items():
        os.symlink(target, os.path.join(top, "pg_tblspc", str(oid)))
    if job.waldir is not None:
        _private_directory(job.waldir)
        os.symlink(job.waldir, os.path.join(top, "pg_wal"))
        os.makedirs(os.path.join(job.waldir, "archive_status"), mode=0o700, exist_ok=True)
    write_atomically(os.path.join(top, "standby.signal"), _SIGNAL)
    settings = os.path.join(top, "postgresql.auto.conf")
    write_atomically(settings, without_leftovers(read_small(settings) or ""))


def _commit(job: Job, name: str) -> None:
    """Fetch pg_control, look at it, and let it appear in one rename."""
    staging = os.path.join(job.state_directory, "control")
    shutil.rmtree(staging, ignore_errors=True)
    os.makedirs(os.path.join(staging, "global"), mode=0o700)
    fetch(job.source, f"{job.backup.directory}/data", [CONTROL], staging)
    _require_consistent(job, staging)
    final = os.path.join(job.data_directory, CONTROL)
    temporary = final + ".new"
    shutil.copy2(os.path.join(staging, CONTROL), temporary)
    _fsync_file(temporary)
    _record(job, "committing", digest=name)
    os.rename(temporary, final)
    fsync_directory(os.path.dirname(final))
    fsync_directory(job.data_directory)
    _record(job, "committed", digest=name)
    shutil.rmtree(staging, ignore_errors=True)


def _require_consistent(job: Job, staging: str) -> None:
    """pg_control, backup_label and the catalogue must speak of the same backup."""
    control = control_data(staging, job.bindir)
    label = parse_backup_label(read_small(os.path.join(job.data_directory, "backup_label")) or "")
    wanted = job.backup
    if wanted.system_identifier not in (None, control.system_identifier):
        raise StandbyError(
            f"pg_control of backup {wanted.backup_id} has system identifier {control.system_identifier},"
            f" the catalogue says {wanted.system_identifier}. Next: choose another backup_id.",
            "backup_inconsistent",
        )
    if wanted.begin_lsn not in (None, label.begin_lsn):
        raise StandbyError(
            f"backup_label of backup {wanted.backup_id} begins at {label.begin_lsn},"
            f" the catalogue says {wanted.begin_lsn}. Next: choose another backup_id.",
            "backup_inconsistent",
        )


def require_empty_targets(job: Job, found: DataDir) -> None:
    """Only a directory that an unfinished copy recorded as its own may hold something. Raises StandbyError."""
    names = {tablespace.oid: tablespace.name for tablespace in job.backup.tablespaces}
    places = {path: f"of tablespace {names[oid]}" for oid, path in job.targets.items()}
    if job.waldir is not None:
        places[job.waldir] = "for the WAL"
    ours = (found.clone or {}).get("targets", ())
    for path, meaning in places.items():
        if path not in ours and not is_empty(path):
            raise StandbyError(
                f"The directory {meaning}, {path}, is not empty. Nothing was changed."
                " Next: empty it, or choose another by tablespace_mapping or waldir.",
                "target_not_empty",
            )


def _require_place(job: Job) -> None:
    """What no copy may begin without: safe paths, seen through links, and rsync. Raises StandbyError."""
    others = {name: os.path.realpath(path) for name, path in job.other_places.items()}
    for verdict in errors(paths(os.path.realpath(job.data_directory), others, home_directories())):
        raise StandbyError(verdict.msg, str(verdict.error_code))
    if shutil.which("rsync") is None:
        raise StandbyError("rsync is not installed on this host. Next: install rsync.", "rsync_missing_local")


def _private_directory(path: str) -> None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        with contextlib.suppress(PermissionError):  # a mount point of somebody else's may still be writable
            os.chmod(path, 0o700)
    except OSError as failed:
        raise StandbyError(
            f"Cannot create directory {path}: {failed.strerror}. Next: create it, owned by the database's OS user.",
            "directory_not_writable",
        ) from failed


def _fsync_file(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _record(job: Job, phase: str, digest: str | None) -> None:
    save_state(
        job.state_directory,
        phase=phase,
        backup_id=job.backup.backup_id,
        server=job.backup.server,
        system_identifier=job.backup.system_identifier,
        data_directory=job.data_directory,
        targets=sorted([*job.targets.values(), *([job.waldir] if job.waldir else [])]),
        digest=digest,
        boot_id=boot_id(),
        at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
