# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel pulls of tars that are unpacked straight into place. Private to the collection."""

from __future__ import annotations

import os
import shutil
import threading
import time
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL, Archive, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.tar_stream import TarStream
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import Diagnosis
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.tar import Stream
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.tar_extract import unpack
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.workers import ATTEMPTS, Workers, remaining

__all__ = ["TarPull", "Throttle"]

# So many files, or bytes, are handed on to be compared while the rest of a tar still comes.
_PORTION_FILES = 1000

_PORTION_BYTES = 256 << 20


class Throttle:
    """Holds workers back, so that all of them together do not pass so many bytes per second."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._guard = threading.Lock()
        self._free = time.monotonic()

    def spend(self, count: int) -> None:
        """Wait for the time that so many bytes take."""
        if self._rate is None:
            return
        with self._guard:
            now = time.monotonic()
            self._free = max(self._free, now) + count / self._rate
            wait = self._free - now
        time.sleep(wait)


@dataclass
class TarPull(Workers):
    """One parallel pull of tars, one after the other for each worker.

    ``base`` is the data directory. Its pg_control is kept in the file ``control`` until it is asked for, also for a
    run that resumes this one. ``nice_prefix`` goes before the commands on the Barman host. A copy does not resume
    within a tar: a tar of which a file is missing is sent again whole, and only what is missing is written.
    """

    base: Root | None = None
    control: str = ""
    nice_prefix: tuple[str, ...] = ()
    io_timeout: int = 300
    throttle: Throttle = field(default_factory=lambda: Throttle(None))

    @property
    def compress(self) -> str:
        """The compression of the tars."""
        archive = self.base.archive if self.base is not None else None
        return (archive.program if archive is not None else None) or "none"

    def pull(self, shards: Iterable[Shard]) -> None:
        """Unpack the tar of every tree of which there are shards, and that of pg_control. Raises StandbyError."""
        wanted: dict[int | None, Shard] = {}
        if self.base is not None and not os.path.exists(self.control):
            wanted[None] = Shard(self.base, array("I"))
        for shard in shards:
            before = wanted.get(shard.root.oid)
            positions = [*(before.positions if before is not None else ()), *shard.positions]
            wanted[shard.root.oid] = Shard(shard.root, array("I", positions))
        largest_first = sorted(wanted.values(), key=lambda it: it.root.archive.bytes if it.root.archive else 0)
        self.each(largest_first[::-1], self._unpack)

    def fetch_control(self, root: Root, staging: str) -> None:
        """Bring the backup's pg_control into a directory."""
        shutil.copyfile(self.control, os.path.join(staging, CONTROL))

    def _unpack(self, worker: int, shard: Shard) -> None:
        archive, left = shard.root.archive, shard
        if archive is None:
            raise AssertionError(shard.root.source)
        arrived = _Arrived(self, worker, shard.root)
        for attempt in range(1, ATTEMPTS + 1):
            self.connections[worker].open()
            broken = self._attempt(worker, archive, left, arrived)
            if broken is None:
                arrived.hand_on()
                self.progress.add(worker, shard.bytes)
                return
            reason, said, argv = broken
            if not reason.retry or attempt == ATTEMPTS:
                raise self._given_up(archive, shard.root, attempt, reason, said, argv)
            self.pause(worker, attempt)
            left = remaining(shard)

    def _attempt(
        self, worker: int, archive: Archive, shard: Shard, arrived: _Arrived
    ) -> tuple[Diagnosis, str, list[str]] | None:
        """Why the tar did not arrive whole, what the programs said and the command; None when it did."""
        barman_host = self.connections[worker].barman_host
        arrived.begin()
        with TarStream(
            barman_host, archive, self.nice_prefix, self.io_timeout, arrived.on_the_wire, self.started
        ) as tar_stream:
            try:
                unpack(Stream(tar_stream.chunks()), shard, self.control, arrived.written, arrived.done)
                reason = tar_stream.failure()
            except EOFError:
                reason = tar_stream.broken_off()
            said = tar_stream.first_words
        self.require_no_failure()
        return None if reason is None else (reason, said, tar_stream.argv)

    def _given_up(
        self, archive: Archive, root: Root, attempt: int, reason: Diagnosis, said: str, argv: list[str]
    ) -> StandbyError:
        return StandbyError(
            Refusal(
                reason.code,
                f"Unpacking {archive.path} from {self.connections[0].barman_host.where} into {root.target} failed at"
                f" attempt {attempt}: {reason.meaning} ({said or 'nothing was said'})."
                " The directory cannot be started; a new run resumes.",
                reason.next_step,
            ),
            cmd=argv,
        )


class _Arrived:
    """What has come of one tar: counted, and handed on in portions to be compared."""

    def __init__(self, workers: TarPull, worker: int, root: Root) -> None:
        self._workers = workers
        self._worker = worker
        self._root = root
        self._count = 0
        self._portion = array("I")
        self._bytes = 0

    def begin(self) -> None:
        """Another attempt."""
        self._count = 0

    def on_the_wire(self, count: int) -> None:
        """So many bytes have come over the link."""
        self._workers.throttle.spend(count)
        with self._workers._guard:
            self._workers.received += count

    def written(self, count: int) -> None:
        """So many bytes of files are in their place."""
        self._count += count
        self._workers.progress.at(self._worker, self._count)
        with self._workers._guard:
            self._workers.literal += count

    def done(self, position: int) -> None:
        """A file is complete."""
        self._portion.append(position)
        self._bytes += self._root.files.sizes[position]
        if len(self._portion) >= _PORTION_FILES or self._bytes >= _PORTION_BYTES:
            self.hand_on()

    def hand_on(self) -> None:
        """Have what is complete compared."""
        if self._portion:
            self._workers.finished(Shard(self._root, self._portion))
            self._portion, self._bytes = array("I"), 0
