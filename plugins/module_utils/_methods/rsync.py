# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a backup's files into a data directory, so that it can be started only when it is complete.

After ``CloneRun.begin`` there is no ``global/pg_control``, without which no server starts. Then come files,
verification, links, the standby signal and harmless settings, a sync of every file system, and that file last of all.
Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Union, cast

from ansible_collections.pgfleet.standby.plugins.module_utils import _files
from ansible_collections.pgfleet.standby.plugins.module_utils._backup import local_tree as _local_tree
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.deleted import explain_missing_files
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Root, digest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard, largest_first, shards
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.begin import CloneRun, exclusively
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.commit import commit, empty_staging, finish
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job, Result, TransferOptions
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import inspect_target
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.roots import count_files, plan
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.verification import (
    Verification,
    fetch_verification,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.connection import Connection
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import private_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import require_stopped
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import boot_id
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.sync import FileSystems, Syncing
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.capabilities import (
    RemoteCapabilities,
    cipher_options,
    probe,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.rsync_pull import RsyncPull, Wire
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.tar_pull import TarPull, Throttle

__all__ = [
    "copy",
]


@dataclass(frozen=True)
class _Plan:
    """What has been found out before the first change."""

    roots: tuple[Root, ...]
    name: str
    remote: RemoteCapabilities
    verification: Verification | None

    @property
    def bytes(self) -> int:
        return sum(root.bytes for root in self.roots)


def copy(job: Job, progress: Progress) -> Result:
    """Copy, verify and commit. The working directory is taken for what is needed meanwhile.

    Raises StandbyError; then nothing was changed, or the directory cannot be started and a new run resumes.
    """
    return exclusively(job, progress, partial(_pull, job, progress))


def _pull(job: Job, progress: Progress, clone_run: CloneRun, lock: int) -> Result:
    with _connected(job) as connections:
        job = replace(job, barman_host=connections[0].barman_host)
        planned = _prepare(job)
        # The listing of a large backup takes its time, in which a server may have been started.
        require_stopped(inspect_target(job.target))
        held = os.path.join(job.target.state_directory, _HELD + planned.name)
        transfer = _transport_of(job.transfer, planned.roots, planned.remote, connections, lock, progress, held)
        packed = planned.roots[0].archive is not None
        explained = explain_missing_files(job.barman_host, job.backup, packed=packed)
        with planned.verification or contextlib.nullcontext(), explained:
            return _Copy(job, planned, transfer, progress, clone_run).run()


@contextlib.contextmanager
def _connected(job: Job) -> Iterator[list[Connection]]:
    host = job.barman_host
    with_cipher = replace(host, ssh_options=(*host.ssh_options, *cipher_options(host)))
    connections = [Connection(with_cipher, f"ssh-{number}") for number in range(job.transfer.jobs)]
    try:
        connections[0].open()
        yield connections
    finally:
        for connection in connections:
            connection.close()


def _prepare(job: Job) -> _Plan:
    """Everything that can refuse, before anything changes. Raises StandbyError."""
    remote = probe(job.barman_host, job.transfer.compress)
    roots = plan(job.barman_host, job.backup, job.target)
    return _Plan(roots, digest(roots), remote, fetch_verification(job.barman_host, job.manifest_check, roots))


class _Copy:
    """The part that changes things."""

    def __init__(self, job: Job, planned: _Plan, transfer: _Transport, progress: Progress, clone_run: CloneRun) -> None:
        self.job = job
        self.plan = planned
        self.transfer = transfer
        self.progress = progress
        self.clone_run = clone_run

    def run(self) -> Result:
        planned = self.plan
        action, state = self.clone_run.permit.action, self.clone_run.permit.pgdata.clone or {}
        same = action == "resume" and state.get("digest") == planned.name
        trusted = same and state.get("boot_id") == boot_id()
        with FileSystems(self.clone_run.places) as disks:
            self.clone_run.begin(planned.name if trusted else None)
            failed = partial(self.clone_run.distrust, planned.name)
            with self.clone_run.distrust_on_disk_error(planned.name), Syncing(disks, failed) as syncing:
                queue = self._prepared(action, trusted)
                self._transfer(queue)
                self._verify()
                finish(self.job.target, cast(int, self.job.backup.major), self.job.settings)
                self.progress.enter("syncing")
                durable = syncing.complete()
        self._commit()
        by_size = planned.verification.by_size(planned.roots) if planned.verification is not None else ()
        return self.clone_run.result(
            "clone" if action == "resume" and not same else action,
            count_files(planned.roots),
            planned.bytes,
            self.transfer.literal,
            received=self.transfer.received,
            compress=self.transfer.compress if queue else None,
            verified=self._verified(by_size),
            by_size=by_size,
            durable=durable,
        )

    def _verified(self, by_size: tuple[str, ...]) -> str:
        """How all files were compared, which is how the least of them were."""
        if self.plan.verification is not None:
            return "size" if by_size else "manifest"
        return "checksum" if self.job.verify == "checksum" else "size"

    def _prepared(self, action: str, trusted: bool) -> list[Shard]:
        """The directories made, what is in the way gone, and what has to be sent."""
        _forget_controls(self.job.target.state_directory, but=self.plan.name)
        for root in self.plan.roots:
            private_directory(root.target, root.directory_mode)
        if action == "replace":
            for root in self.plan.roots:
                _local_tree.clear(root)
        return self._queue(trusted)

    def _commit(self) -> None:
        job, planned = self.job, self.plan
        self.progress.enter("committing")
        self.transfer.connections[0].open()  # it may have broken while nothing was sent
        staging = empty_staging()
        self.transfer.fetch_control(planned.roots[0], staging)
        commit(
            job.backup,
            job.target.data_directory,
            staging,
            planned.verification,
            lambda phase: self.clone_run.record(phase, planned.name),
        )
        _forget_controls(job.target.state_directory)

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
            survey = _local_tree.survey(root)
            _local_tree.remove(root, survey.strangers)
            _local_tree.make_directories(root)
            missing += shards(root, survey.marked(_local_tree.MISSING))
            if trusted:
                doubtful += shards(root, survey.marked(_local_tree.OTHER), basis=True)
                complete += shards(root, survey.marked(_local_tree.COMPLETE))
            else:
                doubtful += shards(root, survey.marked(_local_tree.OTHER, _local_tree.COMPLETE), basis=True)
                _local_tree.mark_unverified(root, survey.marked(_local_tree.COMPLETE))
        if self.job.target.waldir is not None and os.path.isdir(self.job.target.waldir):
            _files.empty(self.job.target.waldir)
        if not trusted:
            self.clone_run.record("copying", self.plan.name)
        queue = largest_first([*missing, *self._without_matching(doubtful)])
        if self.plan.verification is not None:
            for shard in complete:  # the run that wrote them may have ended before it compared them
                self.plan.verification.check(shard)
        return queue

    def _without_matching(self, doubtful: list[Shard]) -> list[Shard]:
        """Less the files that the manifest shows to be right already, which costs the Barman host nothing."""
        if self.plan.verification is None or not doubtful:
            return doubtful
        self.progress.enter("comparing")
        right = self.plan.verification.matching(doubtful)
        for shard in doubtful:
            _local_tree.mark_verified(shard.root, (n for n in shard.positions if (shard.root.oid, n) in right))
        left = [Shard(s.root, [n for n in s.positions if (s.root.oid, n) not in right], basis=True) for s in doubtful]
        return [shard for shard in left if len(shard)]

    def _transfer(self, queue: list[Shard]) -> None:
        self.progress.enter("copying", sum(shard.bytes for shard in queue))
        if self.plan.verification is not None:
            self.transfer.finished = self.plan.verification.check
        self.transfer.pull(queue)

    def _verify(self) -> None:
        """Names and sizes always; contents as the job wants it. What differs is sent once more. Raises StandbyError."""
        self.progress.enter("verifying", self.plan.bytes if self.job.verify == "checksum" else 0)
        wrong = self._differing_contents()
        if wrong:
            again = [shard for root, positions in wrong for shard in shards(root, positions)]
            self.transfer.pull(again)
            still = [f"{root.target}/{root.files.paths[n]}" for root, ns in self._differing_contents(again) for n in ns]
            if still:
                raise StandbyError(
                    Refusal(
                        "manifest_mismatch" if self.plan.verification else "verification_failed",
                        f"The contents of {len(still)} files are not those of the backup, after they were sent twice:"
                        f" {', '.join(still[:5])}. The backup is damaged, or a disk or memory here is. The directory"
                        " cannot"
                        " be started.",
                        "choose another backup_id, and look at this one with `barman verify-backup`",
                    ),
                    differences=still[:100],
                )
        differences = [f"{root.target}/{line}" for root in self.plan.roots for line in _local_tree.difference(root)]
        if differences:
            raise StandbyError(
                Refusal(
                    "verification_failed",
                    f"The copy differs from the backup in {len(differences)} places: {'; '.join(differences[:5])}."
                    " The directory cannot be started.",
                    "check that nothing else writes there, then run again",
                ),
                differences=differences[:100],
            )

    def _differing_contents(self, of: list[Shard] | None = None) -> list[tuple[Root, list[int]]]:
        """The files whose contents are wrong, by tree."""
        found: list[tuple[Root, int]] = []
        if self.plan.verification is not None:
            found = self.plan.verification.differing()
        elif self.job.verify == "checksum" and isinstance(self.transfer, RsyncPull):
            differing = self.transfer.differing
            everything = [shard for root in self.plan.roots for shard in shards(root, range(len(root.files)))]

            def compare(worker: int, shard: Shard) -> None:
                names = set(differing(worker, shard))
                found.extend((shard.root, n) for n in shard.positions if shard.root.files.paths[n] in names)

            self.transfer.each(everything if of is None else of, compare)
        return [
            (root, positions)
            for root in self.plan.roots
            for positions in [sorted(n for tree, n in found if tree.oid == root.oid)]
            if positions
        ]


_Transport = Union[RsyncPull, TarPull]

# pg_control that has come out of a tar and waits for its time. The rest of the name tells of which copy it is.
_HELD = "pg_control."


def _transport_of(
    options: TransferOptions,
    roots: Sequence[Root],
    remote: RemoteCapabilities,
    connections: Sequence[Connection],
    lock_fd: int,
    progress: Progress,
    held_control: str,
) -> _Transport:
    """What brings these trees; ``held_control`` is where that keeps the pg_control of a tar until it is asked for."""
    if roots[0].archive is None:
        wire = Wire(remote.compressions[0], options.bwlimit, options.io_timeout, remote.rsync, remote.compressions)
        return RsyncPull(connections, lock_fd, progress, wire=wire)
    return TarPull(
        connections,
        lock_fd,
        progress,
        base=roots[0],
        control=held_control,
        nice_prefix=remote.nice_prefix,
        io_timeout=options.io_timeout,
        throttle=Throttle(options.bwlimit * 1024 if options.bwlimit else None),
    )


def _forget_controls(state_directory: str, but: str = "") -> None:
    """Remove what copies have kept of pg_control, except that of the copy with this digest."""
    for name in os.listdir(state_directory):
        if name.startswith(_HELD) and name != _HELD + but:
            os.unlink(os.path.join(state_directory, name))
