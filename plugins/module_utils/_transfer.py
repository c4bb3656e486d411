# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel rsyncs that pull shards from one queue, with strict exit codes. Private to the collection."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._barman_files import Source, rsync_argv
from ansible_collections.pgfleet.standby.plugins.module_utils._command import environment
from ansible_collections.pgfleet.standby.plugins.module_utils._diagnosis import first_line, of_rsync
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Entry
from ansible_collections.pgfleet.standby.plugins.module_utils._transport import Calibration, compression_options

__all__ = ["Shard", "Transfer"]

_ATTEMPTS = 5
_STDERR_BYTES = 64 << 10


@dataclass(frozen=True)
class Shard:
    """Files of one tree for one rsync. ``compare`` is how rsync decides whether to send a file that is there."""

    source: str
    target: str
    files: tuple[Entry, ...]
    compare: str = "--ignore-times"

    @property
    def bytes(self) -> int:
        """The sum of the file sizes."""
        return sum(entry.size for entry in self.files)


@dataclass
class Transfer:
    """One parallel pull.

    ``lock_fd`` is inherited by every rsync: should this process be killed, the lock is not free
    before the last rsync that still writes has ended. ``bwlimit`` is KiB/s for all workers together.
    """

    source: Source
    jobs: int
    lock_fd: int
    calibration: Calibration
    bwlimit: int | None = None
    retries: int = 0
    _processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _failure: StandbyError | None = None

    def run(self, shards: Iterable[Shard]) -> None:
        """Copy every shard. Raises the first StandbyError after all workers have stopped."""
        todo: queue.SimpleQueue[Shard] = queue.SimpleQueue()
        count = 0
        for shard in shards:
            todo.put(shard)
            count += 1
        workers = [
            threading.Thread(target=self._work, args=(todo,), daemon=True) for _number in range(min(self.jobs, count))
        ]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                worker.join()
        except BaseException:
            self._stop(StandbyError("The copy was interrupted. Next: run again, it resumes.", "interrupted"))
            raise
        if self._failure is not None:
            raise self._failure

    def _work(self, todo: queue.SimpleQueue[Shard]) -> None:
        while self._failure is None:
            try:
                shard = todo.get_nowait()
            except queue.Empty:
                return
            try:
                self._copy(shard)
            except StandbyError as failed:
                self._stop(failed)
            except Exception as failed:  # a bug here must fail the copy, never pass for a finished worker
                self._stop(StandbyError(f"The copy failed: {failed!r}.", "copy_failed"))

    def _copy(self, shard: Shard) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            compression = self._choose(shard)
            started = time.monotonic()
            rc, stderr = self._rsync(shard, compression)
            if rc == 0:
                with self._guard:
                    self.calibration.record(compression, shard.bytes, time.monotonic() - started)
            if rc == 0 or self._failure is not None:
                return
            reason = of_rsync(rc, stderr)
            if not reason.retry or attempt == _ATTEMPTS:
                raise StandbyError(
                    f"Copying {len(shard.files)} files from {self.source.destination}:{shard.source} to {shard.target}"
                    f" failed at attempt {attempt}: {reason.meaning} ({first_line(stderr) or f'exit code {rc}'})."
                    f" Next: {reason.next_step}. The directory cannot be started; a new run resumes.",
                    reason.code,
                    rc=rc,
                    stderr=stderr,
                    cmd=self._argv(shard, compression),
                )
            with self._guard:
                self.retries += 1
            time.sleep(min(30, 2**attempt))

    def _choose(self, shard: Shard) -> str:
        with self._guard:
            return self.calibration.next(shard.bytes)

    def _argv(self, shard: Shard, compression: str) -> Sequence[str]:
        extra = [shard.compare, *compression_options(compression)]
        if self.bwlimit:
            extra.append(f"--bwlimit={max(1, self.bwlimit // self.jobs)}")
        return rsync_argv(self.source, shard.source, shard.target, extra)

    def _rsync(self, shard: Shard, compression: str) -> tuple[int, str]:
        names = b"".join(b"./" + os.fsencode(entry.path) + b"\0" for entry in shard.files)
        with self._guard:
            if self._failure is not None:
                return 20, ""
            process = subprocess.Popen(
                self._argv(shard, compression),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment(),
                start_new_session=True,
                pass_fds=(self.lock_fd,),
            )
            self._processes.add(process)
        try:
            _out, stderr = process.communicate(names)
        finally:
            with self._guard:
                self._processes.discard(process)
        return process.returncode, stderr[:_STDERR_BYTES].decode("utf-8", "replace")

    def _stop(self, failure: StandbyError) -> None:
        """Remember the first failure and end every rsync with its ssh."""
        with self._guard:
            if self._failure is None:
                self._failure = failure
            for process in self._processes:
                try:
                    os.killpg(process.pid, signal.SIGTERM)
                except ProcessLookupError:
                    continue
