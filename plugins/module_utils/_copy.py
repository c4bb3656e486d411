# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a backup's files into a data directory, so that it can be started only when it is complete.

The order is the safety: the record of the copy first, then, where there is a cluster already, it is renamed
aside, or its ``global/pg_control`` goes; files, verification, links, the standby signal and harmless settings, a sync
of every file system, and ``global/pg_control``, without which no server starts, last of all.
Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils import _tree
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_files import fetch
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import (
    Job,
    Outcome,
    count_files,
    describe,
    kept_before,
    look,
    may_copy,
    plan,
    require_place,
    require_stopped,
    to_keep,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone_state import Lock, boot_id, now, save_state
from ansible_collections.pgfleet.standby.plugins.module_utils._commit import commit, finish
from ansible_collections.pgfleet.standby.plugins.module_utils._connection import Connection
from ansible_collections.pgfleet.standby.plugins.module_utils._contents import (
    MANIFEST,
    Contents,
    read_promises,
    verifier_for,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._datadir import (
    fsync_directory,
    inspect,
    linked_directories,
    private_directory,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._inventory import CONTROL, Root, digest
from ansible_collections.pgfleet.standby.plugins.module_utils._keep import Keeping, keep, recorded_keeping
from ansible_collections.pgfleet.standby.plugins.module_utils._missing import missing_files_explained
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._probe import Far, cipher_options, probe
from ansible_collections.pgfleet.standby.plugins.module_utils._progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._shards import Shard, largest_first, shards, take_samples
from ansible_collections.pgfleet.standby.plugins.module_utils._syncing import Syncing
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import Transfer, Wire
from ansible_collections.pgfleet.standby.plugins.module_utils._transport import to_try

__all__ = ["copy"]


@dataclass(frozen=True)
class _Plan:
    """What has been found out before the first change."""

    roots: tuple[Root, ...]
    name: str
    far: Far
    contents: Contents | None

    @property
    def bytes(self) -> int:
        return sum(root.bytes for root in self.roots)


def copy(job: Job, progress: Progress) -> Outcome:
    """Copy, verify and commit. The working directory is taken for what is needed meanwhile.

    Raises StandbyError; then nothing was changed, or the directory cannot be started and a new run resumes.
    """
    began = time.monotonic()
    require_place(job)
    with _writing_alone(job, progress) as lock:
        found = look(job)
        action = may_copy(job, found)
        if action is None:
            _complete_record(job, found)
            return Outcome("none", seconds=time.monotonic() - began, before=describe(found))
        with _connected(job) as connections, missing_files_explained(job.source, job.backup):
            job = replace(job, source=connections[0].source)
            planned = _prepare(job)
            require_stopped(look(job))  # a large backup's listing takes its time, in which one may have been started
            wire = Wire(planned.far.compressions[0], job.bwlimit, job.io_timeout, planned.far.rsync)
            transfer = Transfer(connections, lock.fd, progress, wire)
            try:
                outcome = _Copy(job, planned, transfer, progress).run(action, found)
            finally:
                if planned.contents is not None:
                    planned.contents.close()
    return replace(outcome, seconds=time.monotonic() - began, retries=progress.retries)


@contextlib.contextmanager
def _connected(job: Job) -> Iterator[list[Connection]]:
    source = replace(job.source, ssh_options=(*job.source.ssh_options, *cipher_options(job.source)))
    connections = [Connection(source, f"ssh-{number}") for number in range(job.jobs)]
    try:
        connections[0].open()
        yield connections
    finally:
        for connection in connections:
            connection.close()


@contextlib.contextmanager
def _writing_alone(job: Job, progress: Progress) -> Iterator[Lock]:
    """The rsyncs of a copy that was killed end by themselves; nobody else writes before they have."""
    lock = Lock(os.path.join(job.state_directory, "lock"), {"pid": os.getpid(), "since": now()})
    if not lock.take():
        progress.enter("waiting")
        if not lock.take(job.lock_timeout):
            raise StandbyError(
                f"Processes of an earlier copy still write into {job.data_directory} after"
                f" {job.lock_timeout:g} seconds. Next: look for rsync among the processes and end it.",
                "clone_running",
            )
    try:
        yield lock
    finally:
        lock.release()


def _prepare(job: Job) -> _Plan:
    """Everything that can refuse, before anything changes. Raises StandbyError."""
    far = probe(job.source, job.compress)
    roots = plan(job)
    return _Plan(roots, digest(roots), far, _contents(job, roots))


def _contents(job: Job, roots: tuple[Root, ...]) -> Contents | None:
    if job.verify != "manifest" or MANIFEST not in roots[0].files.paths:
        return None
    private_directory("manifest")
    fetch(job.source, roots[0].source, [MANIFEST], "manifest")
    promises = read_promises(job.backup.backup_id, roots, os.path.join("manifest", MANIFEST))
    verifier = verifier_for(job.bindir, promises, os.getcwd())
    if verifier is None:
        raise StandbyError(
            f"The checksums of the backup's manifest ({', '.join(sorted(promises.algorithms))}) cannot be computed"
            f" here: there is no pg_verifybackup in {job.bindir}. Nothing was changed."
            " Next: install it, or choose verify=size or verify=checksum.",
            "verifier_missing",
        )
    return Contents(verifier, promises, max(1, job.jobs // 2))


def _complete_record(job: Job, found: DataDir) -> None:
    """A run that was killed between the last rename and its record."""
    state = found.clone or {}
    if state.get("phase") == "committing":
        noted = {name: state.get(name, []) for name in ("left_behind", "kept_old")}
        _record(job, "committed", state.get("digest"), **noted)


def _record(job: Job, phase: str, name: str | None, left_behind: Iterable[str] = (), **more: Any) -> None:
    """Write down where the copy stands."""
    save_state(
        job.state_directory,
        phase=phase,
        digest=name,
        system_identifier=job.backup.system_identifier,
        boot_id=boot_id(),
        left_behind=list(left_behind),
        at=now(),
        **more,
        **job.identity,
    )


class _Copy:
    """The part that changes things."""

    def __init__(self, job: Job, planned: _Plan, transfer: Transfer, progress: Progress) -> None:
        self.job = job
        self.plan = planned
        self.transfer = transfer
        self.progress = progress
        self.places = [*(root.target for root in planned.roots), *([job.waldir] if job.waldir else [])]
        self.left_behind: tuple[str, ...] = ()
        self.kept_old: tuple[str, ...] = ()

    def run(self, action: str, found: DataDir) -> Outcome:
        job, planned = self.job, self.plan
        state = found.clone or {}
        keeping = recorded_keeping(state) if action == "resume" else to_keep(job, found)
        self._note_left_behind(state)
        self.kept_old = keeping.kept if keeping else kept_before(found)
        same = action == "resume" and state.get("digest") == planned.name
        trusted = same and state.get("boot_id") == boot_id()
        if keeping:
            self._keep(keeping)
        self._make_unstartable(action, trusted)
        queue = self._queue(trusted)
        with Syncing(self.places) as syncing:
            self._transfer(queue)
            self._verify()
            finish(job)
            self.progress.enter("syncing")
            syncing.complete()
        self.progress.enter("committing")
        self.transfer.connections[0].open()  # it may have broken while nothing was sent
        commit(job, planned.contents, lambda phase: self._record(phase, planned.name))
        return Outcome(
            "clone" if action == "resume" and not same else action,
            count_files(planned.roots),
            planned.bytes,
            self.transfer.literal,
            self.transfer.received,
            compress=self.transfer.wire.compress if queue else None,
            verified="manifest" if planned.contents else "checksum" if job.verify == "checksum" else "size",
            left_behind=self.left_behind,
            before=describe(found),
            kept_old=self.kept_old,
        )

    def _note_left_behind(self, state: dict[str, Any]) -> None:
        """The links that tell of them go with the first run; what it noted counts for those that resume it.

        An unfinished copy of other places leaves those, too.
        """
        places = linked_directories(self.job.data_directory)
        if state.get("phase") in ("keeping", "copying"):
            noted = [*state.get("left_behind", ()), *filter(os.path.isdir, state.get("targets", ()))]
            places.update(map(os.path.realpath, noted))
        inside = os.path.join(os.path.realpath(self.job.data_directory), "")
        left = places - set(map(os.path.realpath, self.places))
        self.left_behind = tuple(sorted(path for path in left if not path.startswith(inside)))

    def _record(self, phase: str, name: str | None, **more: Any) -> None:
        _record(self.job, phase, name, left_behind=self.left_behind, kept_old=list(self.kept_old), **more)

    def _keep(self, keeping: Keeping) -> None:
        """With the data directory, which is the first, the old cluster goes out of every starter's reach."""
        # A run that was interrupted may have renamed a part, and somebody have started that since.
        require_stopped(inspect(keeping.kept[0], self.job.state_directory))
        self._record("keeping", None, **keeping.record)
        keep(keeping)

    def _make_unstartable(self, action: str, trusted: bool) -> None:
        """From here on no server starts on the directory until the copy is committed.

        pg_control goes before anybody gets the right modes: a wrong one is what keeps a server from starting on a
        directory that pg_rewind has left half way.
        """
        self._record("copying", self.plan.name if trusted else None)
        if action in ("delta", "replace"):
            self._remove_control()
        for root in self.plan.roots:
            private_directory(root.target, root.directory_mode)
        if action == "replace":
            for root in self.plan.roots:
                _tree.clear(root)

    def _remove_control(self) -> None:
        control = os.path.join(self.job.data_directory, CONTROL)
        directory = os.path.dirname(control)
        # What a link leads to is not ours to change; without the link there is no pg_control here either.
        gone = directory if os.path.islink(directory) else control
        if os.path.lexists(gone):
            os.unlink(gone)
            fsync_directory(os.path.dirname(gone))

    def _queue(self, trusted: bool) -> list[Shard]:
        """What has to be sent, the largest first, after directories are made and strangers are gone.

        Size and time tell that a file is complete only of files that we wrote since the last boot: a server
        changes pages in place, and what was not synced may be lost in a crash that the file's size survived.
        All others get another time, which they lose when they have been compared, and only then the record has
        the name by which the next run knows the files for ours.
        """
        missing: list[Shard] = []
        doubtful: list[Shard] = []
        complete: list[Shard] = []
        for root in self.plan.roots:
            survey = _tree.survey(root)
            _tree.remove(root, survey.strangers)
            _tree.make_directories(root)
            missing += shards(root, survey.marked(_tree.MISSING))
            if trusted:
                doubtful += shards(root, survey.marked(_tree.OTHER), basis=True)
                complete += shards(root, survey.marked(_tree.COMPLETE))
            else:
                doubtful += shards(root, survey.marked(_tree.OTHER, _tree.COMPLETE), basis=True)
                _tree.doubt(root, survey.marked(_tree.COMPLETE))
        if self.job.waldir is not None and os.path.isdir(self.job.waldir):
            _tree.empty(self.job.waldir)
        if not trusted:
            self._record("copying", self.plan.name)
        queue = largest_first([*missing, *self._without_matching(doubtful)])
        if self.plan.contents is not None:
            for shard in complete:  # the run that wrote them may have ended before it compared them
                self.plan.contents.check(shard)
        return queue

    def _without_matching(self, doubtful: list[Shard]) -> list[Shard]:
        """Less the files that the manifest shows to be right already, which costs the Barman host nothing."""
        if self.plan.contents is None or not doubtful:
            return doubtful
        self.progress.enter("comparing")
        right = self.plan.contents.matching(doubtful)
        for shard in doubtful:
            _tree.adopt(shard.root, (n for n in shard.positions if (shard.root.oid, n) in right))
        left = [Shard(s.root, [n for n in s.positions if (s.root.oid, n) not in right], basis=True) for s in doubtful]
        return [shard for shard in left if len(shard)]

    def _transfer(self, queue: list[Shard]) -> None:
        self.progress.enter("copying", sum(shard.bytes for shard in queue))
        if self.plan.contents is not None:
            self.transfer.finished = self.plan.contents.check
        choices = self.plan.far.compressions
        if len(choices) == 1:
            self.transfer.run(queue)
            return
        choices = to_try(choices, self.transfer.connections[0].rate())
        samples, rest = take_samples(queue, len(choices))
        if samples:
            self.transfer.run_with_samples(choices, samples, rest)
        else:
            self.transfer.run(queue)

    def _verify(self) -> None:
        """Names and sizes always; contents as the job wants it. What differs is sent once more. Raises StandbyError."""
        self.progress.enter("verifying", self.plan.bytes if self.job.verify == "checksum" else 0)
        wrong = self._differing_contents()
        if wrong:
            again = [shard for root, positions in wrong for shard in shards(root, positions)]
            self.transfer.run(again)
            still = [f"{root.target}/{root.files.paths[n]}" for root, ns in self._differing_contents(again) for n in ns]
            if still:
                raise StandbyError(
                    f"The contents of {len(still)} files are not those of the backup, after they were sent twice:"
                    f" {', '.join(still[:5])}. The backup is damaged, or a disk or memory here is. The directory cannot"
                    " be started. Next: choose another backup_id, and look at this one with `barman verify-backup`.",
                    "manifest_mismatch" if self.plan.contents else "verification_failed",
                    differences=still[:100],
                )
        differences = [f"{root.target}/{line}" for root in self.plan.roots for line in _tree.difference(root)]
        if differences:
            raise StandbyError(
                f"The copy differs from the backup in {len(differences)} places: {'; '.join(differences[:5])}."
                " The directory cannot be started. Next: check that nothing else writes there, then run again.",
                "verification_failed",
                differences=differences[:100],
            )

    def _differing_contents(self, of: list[Shard] | None = None) -> list[tuple[Root, list[int]]]:
        """The files whose contents are wrong, by tree."""
        found: list[tuple[Root, int]] = []
        if self.plan.contents is not None:
            found = self.plan.contents.differing()
        elif self.job.verify == "checksum":
            everything = [shard for root in self.plan.roots for shard in shards(root, range(len(root.files)))]

            def compare(worker: int, shard: Shard) -> None:
                names = set(self.transfer.differing(worker, shard))
                found.extend((shard.root, n) for n in shard.positions if shard.root.files.paths[n] in names)

            self.transfer.each(everything if of is None else of, compare)
        return [
            (root, positions)
            for root in self.plan.roots
            for positions in [sorted(n for tree, n in found if tree.oid == root.oid)]
            if positions
        ]
