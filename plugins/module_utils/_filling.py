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

from ansible_collections.pgfleet.standby.plugins.module_utils import _tree
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import (
    Job,
    Outcome,
    count_files,
    describe,
    look,
    may_copy,
    require_place,
    require_stopped,
    roots_of,
    to_keep,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone_state import boot_id
from ansible_collections.pgfleet.standby.plugins.module_utils._commit import commit, finish
from ansible_collections.pgfleet.standby.plugins.module_utils._contents import (
    MANIFEST,
    Contents,
    contents_of,
    fetch_contents,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._datadir import private_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._inventory import Root
from ansible_collections.pgfleet.standby.plugins.module_utils._keep import observe
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._nested import NESTED, Nested
from ansible_collections.pgfleet.standby.plugins.module_utils._progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._shards import shards
from ansible_collections.pgfleet.standby.plugins.module_utils._syncing import Syncing
from ansible_collections.pgfleet.standby.plugins.module_utils._takeover import (
    Takeover,
    complete_record,
    writing_alone,
)

__all__ = ["Filler", "fill", "preview_fill"]

_LEAVE_SECONDS = 60.0
_LOOK_SECONDS = 0.2


class Filler:
    """A program that fills nested directories with what a backup is, or what it makes of it."""

    def require(self, job: Job) -> None:
        """What can refuse before the first change. Changes nothing. Raises StandbyError."""
        raise NotImplementedError

    def roots(self, job: Job) -> tuple[Root, ...] | None:
        """The trees that it is known to bring; None where that is to be seen when it has. Raises StandbyError."""
        raise NotImplementedError

    def fill(self, job: Job, nested: Nested, lock: int) -> tuple[str, ...]:
        """Fill them with what belongs to the backup and nothing else; what the program warned of.

        Programs that it starts inherit the file descriptor ``lock``. Raises StandbyError.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class _Plan:
    """What has been found out before the first change. ``roots`` and ``contents`` are None where that comes later."""

    roots: tuple[Root, ...] | None
    contents: Contents | None
    bytes: int


def preview_fill(job: Job, filler: Filler) -> Outcome:
    """What it would do; refuses as it would."""
    require_place(job)
    found = look(job)
    if found.running:
        filler.require(job)  # whoever is about to stop it wants to know before
    action = may_copy(job, found)
    if action is None:
        return Outcome("none", before=describe(found))
    filler.require(job)
    _require_no_mount_point_inside(job)
    roots = filler.roots(job)
    size = _size(job, roots)
    keeping = to_keep(job, found)
    kept = keeping.kept if keeping else ()
    files = count_files(roots) if roots else 0
    return Outcome(_action(action), files, size, size, before=describe(found), kept_old=kept)


def fill(job: Job, filler: Filler, progress: Progress) -> Outcome:
    """Fill, verify and commit. The working directory is taken for what is needed meanwhile.

    Raises StandbyError; then nothing was changed, or the directory cannot be started and a new run begins anew, or
    goes on if the program had come to its end.
    """
    began = time.monotonic()
    require_place(job)
    with writing_alone(job, progress) as lock:
        found = look(job)
        action = may_copy(job, found)
        if action is None:
            complete_record(job, found)
            return Outcome("none", seconds=time.monotonic() - began, before=describe(found))
        filler.require(job)
        _require_no_mount_point_inside(job)
        roots = filler.roots(job)
        planned = _Plan(roots, fetch_contents(job, roots) if roots else None, _size(job, roots))
        require_stopped(look(job))  # what was asked of other hosts took its time, in which one may have been started
        outcome = _Filling(job, filler, planned, progress).run(action, found, lock.fd)
    return replace(outcome, seconds=time.monotonic() - began)


def _size(job: Job, roots: tuple[Root, ...] | None) -> int:
    return job.backup.size or 0 if roots is None else sum(root.bytes for root in roots)


def _action(action: str) -> str:
    """Over a cluster, too, everything is brought anew."""
    return "replace" if action == "delta" else action


def _require_no_mount_point_inside(job: Job) -> None:
    """Nothing can be renamed over one. Raises StandbyError."""
    top = os.path.realpath(job.data_directory)
    inside = [point for point in observe(top, ())[0][0].mount_points if point != top]
    if inside:
        raise StandbyError(
            f"{', '.join(inside)} is a mount point inside of {job.data_directory}, over which nothing can be renamed."
            f" Nothing was changed. Next: use method rsync, or waldir for the WAL, instead of {job.method}.",
            "mount_point_inside",
        )


class _Filling:
    """The part that changes things."""

    def __init__(self, job: Job, filler: Filler, planned: _Plan, progress: Progress) -> None:
        self.job = job
        self.filler = filler
        self.plan = planned
        self.progress = progress
        self.takeover = Takeover(job, [job.data_directory, *job.places_outside])
        self.nested = Nested(job.data_directory, job.targets, uuid.uuid4().hex)
        # What has been filled is a name for this backup in these places.
        self.name = hashlib.sha256(json.dumps(job.identity, sort_keys=True).encode()).hexdigest()

    def run(self, action: str, found: DataDir, lock: int) -> Outcome:
        job, state = self.job, found.clone or {}
        # Without a crash since: what was not synced may be gone.
        same = (state.get("digest"), state.get("boot_id")) == (self.name, boot_id())
        filled = action == "resume" and same and self.nested.whole
        self.takeover.begin(action, found, self.name if filled else None)
        with Syncing(self.takeover.places) as syncing:
            said = () if filled else self._fill(lock)
            self.nested.lift()
            roots = self._tidy()
            contents = self._verify(roots)
            finish(job)
            self.progress.enter("syncing")
            syncing.complete()
        self.progress.enter("committing")
        commit(job, self.nested.staging, contents, lambda phase: self.takeover.record(phase, self.name))
        size = sum(root.bytes for root in roots)
        return Outcome(
            "clone" if action == "resume" and not filled else _action(action),
            count_files(roots),
            size,
            0 if filled else size,
            verified="manifest" if contents else "none" if self.plan.roots is None else "size",
            left_behind=self.takeover.left_behind,
            before=describe(found),
            kept_old=self.takeover.kept_old,
            said=said,
        )

    def _fill(self, lock: int) -> tuple[str, ...]:
        self._wait_for_others()
        for place in self.takeover.places:
            private_directory(place)
            _tree.empty(place)
        self.nested.make()
        self.progress.enter("copying", self.plan.bytes)
        with _measured(self.nested, self.progress):
            said = self.filler.fill(self.job, self.nested, lock)
        self.nested.hold()
        self.takeover.record("copying", self.name)
        return said

    def _wait_for_others(self) -> None:
        """What an earlier attempt started elsewhere has lost whom it works for, and ends soon. Raises StandbyError."""
        until = time.monotonic() + _LEAVE_SECONDS
        while self.nested.writers():
            self.progress.enter("waiting")
            if time.monotonic() > until:
                raise StandbyError(
                    f"Processes of an earlier attempt still write below {self.nested.staging}: pid"
                    f" {', '.join(map(str, self.nested.writers()))}. The directory cannot be started."
                    " Next: end them, then run again.",
                    "clone_running",
                )
            time.sleep(_LOOK_SECONDS)

    def _tidy(self) -> tuple[Root, ...]:
        """Leave what belongs to a clone and nothing else."""
        roots = self.plan.roots or roots_of(self.job, self.nested.entries())
        for root in roots:
            private_directory(root.target, root.directory_mode)
            _tree.remove(root, (path for path in _tree.survey(root).strangers if path != NESTED))
            _tree.make_directories(root)
        return roots

    def _verify(self, roots: tuple[Root, ...]) -> Contents | None:
        """Names and sizes, and the contents where there is a manifest. Raises StandbyError."""
        self.progress.enter("verifying")
        contents = self.plan.contents
        if contents is None and self.job.verify == "manifest" and MANIFEST in roots[0].files.paths:
            contents = contents_of(self.job, roots, os.path.join(self.job.data_directory, MANIFEST))
        differences = [f"{root.target}/{line}" for root in roots for line in _differences(root)]
        if contents is not None:
            for root in roots:
                for shard in shards(root, range(len(root.files))):
                    contents.check(shard)
            wrong = contents.differing()
            contents.close()
            differences += [f"{root.target}/{root.files.paths[n]}: not the contents of the backup" for root, n in wrong]
        if differences:
            raise StandbyError(
                f"What {self.job.method} has brought differs from the backup in {len(differences)} places:"
                f" {'; '.join(differences[:5])}. The directory cannot be started."
                " Next: run again with method rsync, which sends what differs; or choose another backup_id.",
                "verification_failed",
                differences=differences[:100],
            )
        return contents


def _differences(root: Root) -> list[str]:
    return [line for line in _tree.difference(root) if not line.startswith(f"{NESTED}: ")]


@contextlib.contextmanager
def _measured(nested: Nested, progress: Progress) -> Iterator[None]:
    """Tell meanwhile how much is there. A look takes the longer the more there is, and the next one waits for that."""
    ended = threading.Event()

    def measure() -> None:
        pause = 1.0
        while not ended.wait(pause):
            began = time.monotonic()
            progress.at(0, nested.bytes)
            pause = max(1.0, 20 * (time.monotonic() - began))

    thread = threading.Thread(target=measure, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
