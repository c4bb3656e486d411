# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have another program fill a data directory in its own order, and let it be startable only when it is complete.

It fills nested directories. Then come the same steps as after our own copy: verification, links, the standby signal
and harmless settings, a sync of every file system, and ``global/pg_control`` last of all. Private to the collection.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from ansible_collections.pgfleet.standby.plugins.module_utils import _files
from ansible_collections.pgfleet.standby.plugins.module_utils._backup import local_tree as _local_tree
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import shards
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.begin import CloneRun, exclusively
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.commit import commit, finish
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.holding_directory import (
    HOLDING_DIRECTORY,
    HoldingDirectory,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job, Result, Target
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import (
    Permit,
    inspect_target,
    permit,
    require_place,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.roots import count_files, roots_of
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.verification import (
    MANIFEST,
    Verification,
    fetch_verification,
    read_promises,
    verification_of,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import private_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import require_stopped
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.keep_old import observe
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import boot_id
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.sync import FileSystems, Syncing

__all__ = ["FillResult", "Filler", "fill", "measured", "preview_fill"]

_LEAVE_SECONDS = 60.0

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class FillResult:
    """What a program has brought: the job with the tablespaces that there are, and what the program warned of."""

    job: Job
    said: tuple[str, ...] = ()


class Filler:
    """A program that fills nested directories with what a backup is, or what it makes of it.

    ``BESIDE`` are the directories whose contents it brings although a copy of the backup would not have them.
    ``NEXT`` is what helps if the program has brought something else than the backup.
    """

    BESIDE: tuple[str, ...] = ()
    NEXT = "run again"

    def name(self, job: Job) -> str:
        """The name of what it fills for a job. A run goes on with what one of the same name has filled."""
        return hashlib.sha256(json.dumps(job.identity, sort_keys=True).encode()).hexdigest()

    def require(self, job: Job) -> None:
        """What can refuse before the first change. Changes nothing. Raises StandbyError."""
        raise NotImplementedError

    def roots(self, job: Job) -> tuple[Root, ...] | None:
        """The trees that it is known to bring; None if they are seen only when it has. Raises StandbyError."""
        raise NotImplementedError

    def fill(self, job: Job, holding: HoldingDirectory, lock: int, progress: Progress) -> FillResult:
        """Fill them with what belongs to the backup and nothing else.

        Programs that it starts inherit the file descriptor ``lock``. Raises StandbyError.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class _Plan:
    """What has been found out before the first change. ``roots`` and ``verification`` are None if they come later."""

    roots: tuple[Root, ...] | None
    verification: Verification | None


def preview_fill(filler: Filler, job: Job) -> Result:
    """What it would do; refuses as it would."""
    require_place(job.target, job.method)
    pgdata = inspect_target(job.target)
    if pgdata.running:
        filler.require(job)  # a play that is about to stop the server wants to know before
    permitted = permit(job.backup, job.target, job.consent, pgdata)
    if permitted.action == "none":
        return Result("none", before=permitted.before)
    filler.require(job)
    _require_no_mount_point_inside(job.target, job.method)
    roots = filler.roots(job)
    files, size = (0, job.backup.size or 0) if roots is None else (count_files(roots), _size(roots))
    goes_on = _goes_on(permitted, filler.name(job), _holding(job.target))
    return Result(
        _said(permitted.action, goes_on),
        files,
        size,
        0 if goes_on else size,
        before=permitted.before,
        kept_old=permitted.kept_old,
    )


def fill(filler: Filler, job: Job, progress: Progress) -> Result:
    """Fill, verify and commit. The working directory is taken for what is needed meanwhile.

    Raises StandbyError; then nothing was changed, or the directory cannot be started and a new run begins anew, or
    goes on if the program had come to its end and its work can still be used.
    """
    return exclusively(job, progress, partial(_fill, filler, job, progress))


def _fill(filler: Filler, job: Job, progress: Progress, clone_run: CloneRun, lock: int) -> Result:
    filler.require(job)
    _require_no_mount_point_inside(job.target, job.method)
    roots = filler.roots(job)
    planned = _Plan(roots, fetch_verification(job.barman_host, job.manifest_check, roots) if roots else None)
    # What was asked of other hosts took its time, in which a server may have been started.
    require_stopped(inspect_target(job.target))
    return _ExternalFill(job, filler, planned, progress, clone_run).run(lock)


def _holding(target: Target) -> HoldingDirectory:
    return HoldingDirectory(target.data_directory, target.tablespaces, uuid.uuid4().hex, target.waldir)


def _size(roots: tuple[Root, ...]) -> int:
    return sum(root.bytes for root in roots)


def _goes_on(permitted: Permit, name: str, holding: HoldingDirectory) -> bool:
    """Whether everything is there, and no crash since, after which what was not synced may be gone."""
    state = permitted.pgdata.clone or {}
    known = (state.get("digest"), state.get("boot_id")) == (name, boot_id())
    return permitted.action == "resume" and known and holding.whole


def _said(action: str, goes_on: bool) -> str:
    """Nothing else that is there is made use of."""
    return action if goes_on or action == "clone" else "replace"


def _require_no_mount_point_inside(target: Target, method: str) -> None:
    """Nothing can be renamed over one. Raises StandbyError."""
    top = os.path.realpath(target.data_directory)
    inside = [point for point in observe(top, ())[0][0].mount_points if point != top]
    if inside:
        raise StandbyError(
            Refusal(
                "mount_point_inside",
                f"{', '.join(inside)} is a mount point inside of {target.data_directory}, over which nothing can be"
                " renamed."
                " Nothing was changed.",
                f"use method rsync, or waldir for the WAL, instead of {method}",
            )
        )


class _ExternalFill:
    """The part that changes things."""

    def __init__(self, job: Job, filler: Filler, planned: _Plan, progress: Progress, clone_run: CloneRun) -> None:
        self.job = job
        self.filler = filler
        self.plan = planned
        self.progress = progress
        self.clone_run = clone_run
        self.holding = _holding(job.target)
        self.name = filler.name(job)

    def run(self, lock: int) -> Result:
        goes_on = _goes_on(self.clone_run.permit, self.name, self.holding)
        failed = partial(self.clone_run.distrust, self.name)
        with FileSystems(self.clone_run.places) as disks:
            self.clone_run.begin(self.name if goes_on else None)
            with self.clone_run.distrust_on_disk_error(self.name), Syncing(disks, failed) as syncing:
                said = () if goes_on else self._fill(lock)
                self.holding.lift()
                roots = self._tidy()
                self.progress.enter("verifying")
                verification = self.plan.verification or self._verification_of(roots)
                with verification or contextlib.nullcontext():
                    verified = self._verify(roots, verification)
                finish(self.job.target, cast(int, self.job.backup.major), self.job.settings)
                self.progress.enter("syncing")
                durable = syncing.complete()
        self.progress.enter("committing")
        commit(
            self.job.backup,
            self.job.target.data_directory,
            self.holding.staging,
            verification,
            lambda phase: self.clone_run.record(phase, self.name),
        )
        size = _size(roots)
        return self.clone_run.result(
            _said(self.clone_run.permit.action, goes_on),
            count_files(roots),
            size,
            0 if goes_on else size,
            verified=verified,
            by_size=verification.by_size(roots) if verification is not None else (),
            durable=durable,
            said=said,
        )

    def _fill(self, lock: int) -> tuple[str, ...]:
        self._wait_for_others()
        for place in self.clone_run.places:
            private_directory(place)
            _files.empty(place)
        self.holding.make()
        self.progress.enter("copying", _size(self.plan.roots) if self.plan.roots else self.job.backup.size or 0)
        filled = self.filler.fill(self.job, self.holding, lock, self.progress)
        self.job = self.clone_run.job = filled.job
        self.holding.hold()
        self.clone_run.record("copying", self.name)
        return filled.said

    def _wait_for_others(self) -> None:
        """What an earlier attempt started elsewhere has lost whom it works for, and ends soon. Raises StandbyError."""
        until = time.monotonic() + _LEAVE_SECONDS
        while self.holding.writers():
            self.progress.enter("waiting")
            if time.monotonic() > until:
                raise StandbyError(
                    Refusal(
                        "clone_running",
                        f"Processes of an earlier attempt still write below {self.holding.staging}: pid"
                        f" {', '.join(map(str, self.holding.writers()))}. The directory cannot be started.",
                        "end them, then run again",
                    )
                )
            time.sleep(_LOOK_SECONDS)

    def _tidy(self) -> tuple[Root, ...]:
        """Leave what belongs to a clone and nothing else."""
        job = self.job
        listing = replace(self.holding, targets=job.target.tablespaces).entries()
        roots = self.plan.roots or roots_of(job.barman_host, job.backup, job.target, listing)
        stays = (HOLDING_DIRECTORY, *self.filler.BESIDE)
        for root in roots:
            private_directory(root.target, root.directory_mode)
            strangers = _local_tree.survey(root).strangers
            _local_tree.remove(root, (path for path in strangers if path.partition("/")[0] not in stays))
            _local_tree.make_directories(root)
        return roots

    def _verification_of(self, roots: tuple[Root, ...]) -> Verification | None:
        """What compares with the manifest that came with the files; None if none is wanted or there."""
        if self.job.verify != "manifest" or MANIFEST not in roots[0].files.paths:
            return None
        return verification_of(self.job.manifest_check, roots, os.path.join(self.job.target.data_directory, MANIFEST))

    def _verify(self, roots: tuple[Root, ...], verification: Verification | None) -> str:
        """Compare names and sizes, and contents if there is a manifest; which of them. Raises StandbyError."""
        known = self.plan.roots is not None
        differences = [f"{root.target}/{line}" for root in roots for line in _differences(root)] if known else []
        wrong = []
        if verification is not None:
            for root in roots:
                for shard in shards(root, range(len(root.files))):
                    verification.check(shard)
            wrong = [f"{root.target}/{root.files.paths[n]}" for root, n in verification.differing()]
            differences += [f"{path}: not the contents of the backup" for path in wrong]
        if differences:
            raise StandbyError(
                Refusal(
                    "manifest_mismatch" if wrong else "verification_failed",
                    f"What {self.job.method} has brought differs from the backup in {len(differences)} places:"
                    f" {'; '.join(differences[:5])}. The directory cannot be started.",
                    self.filler.NEXT,
                ),
                differences=differences[:100],
            )
        if verification is not None:
            return "size" if verification.by_size(roots) else "manifest"
        if not known and self.job.verify == "size" and MANIFEST in roots[0].files.paths:
            read_promises(self.job.backup.backup_id, roots, os.path.join(self.job.target.data_directory, MANIFEST))
            known = True
        return "size" if known else "none"


def _differences(root: Root) -> list[str]:
    return [line for line in _local_tree.difference(root) if not line.startswith(f"{HOLDING_DIRECTORY}: ")]


@contextlib.contextmanager
def measured(holding: HoldingDirectory, progress: Progress) -> Iterator[None]:
    """Tell meanwhile how much is there. A look takes the longer the more there is, and the next one waits for that."""
    ended = threading.Event()

    def measure() -> None:
        pause = 1.0
        while not ended.wait(pause):
            began = time.monotonic()
            progress.at(0, holding.bytes)
            pause = max(1.0, 20 * (time.monotonic() - began))

    thread = threading.Thread(target=measure, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
