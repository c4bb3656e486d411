# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel rsyncs that pull shards from one queue, with strict exit codes. Private to the collection."""

from __future__ import annotations

import errno
import os
import queue
import random
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, TypeVar, cast

from ansible_collections.pgfleet.standby.plugins.module_utils import _tree
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_files import rsync_argv, write_names
from ansible_collections.pgfleet.standby.plugins.module_utils._command import environment
from ansible_collections.pgfleet.standby.plugins.module_utils._connection import Connection
from ansible_collections.pgfleet.standby.plugins.module_utils._diagnosis import Diagnosis, first_line, of_rsync
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._silence import Silence
from ansible_collections.pgfleet.standby.plugins.module_utils._transport import (
    Sample,
    Tally,
    chosen_by,
    compression_options,
    names_in,
    progress_of,
    tally_of,
)

__all__ = ["Transfer", "Wire"]

T = TypeVar("T")

_ATTEMPTS = 8
_LOOK_SECONDS = 0.5
_OUTPUT_BYTES = 64 << 10
_MARK = "differs:"
_LINE_END = re.compile(r"[\r\n]+")
# PostgreSQL writes pages; blocks of another size would make two of one changed page, or find a page within a block.
_DELTA = ("--no-whole-file", "--block-size=8192")


@dataclass(frozen=True)
class Wire:
    """How the bytes travel. ``bwlimit`` is KiB/s for all workers together, ``io_timeout`` seconds of silence."""

    compress: str = "none"
    bwlimit: int | None = None
    io_timeout: int = 300
    remote_rsync: str = "rsync"


@dataclass
class Transfer:
    """One parallel pull, with a worker for every connection.

    ``lock_fd`` is inherited by every rsync: should this process be killed, the lock is not free
    before the last rsync that still writes has ended. ``finished`` is told of every shard that has arrived.
    """

    connections: Sequence[Connection]
    lock_fd: int
    progress: Progress
    wire: Wire = field(default_factory=Wire)
    finished: Callable[[Shard], None] = lambda shard: None
    literal: int = 0
    received: int = 0
    _processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _failure: StandbyError | None = None

    def run(self, shards: Iterable[Shard]) -> None:
        """Copy every shard. Raises the first StandbyError after all workers have stopped."""
        self.each(list(shards), lambda worker, shard: self._copy(worker, shard, self.wire.compress))

    def run_with_samples(self, choices: Sequence[str], samples: Sequence[Shard], shards: Iterable[Shard]) -> None:
        """Copy every shard, each of the samples by one of the compressions first, and go on with the one that pays.

        One worker takes the samples, one after the other; the others begin with the rest meanwhile.
        Raises StandbyError like ``run``.
        """

        def measure(worker: int) -> None:
            measured = {name: self._measure(worker, name, shard) for name, shard in zip(choices, samples)}
            self.wire = replace(self.wire, compress=chosen_by(choices, measured))

        def copying(shard: Shard) -> Callable[[int], object]:
            return lambda worker: self._copy(worker, shard, self.wire.compress)

        work: list[Callable[[int], object]] = [measure, *map(copying, shards)]
        self.each(work, lambda worker, task: task(worker))

    def each(self, items: Sequence[T], work: Callable[[int, T], object]) -> None:
        """Do some work for every item, with as many workers as there are connections.

        Raises the first StandbyError after all workers have stopped.
        """
        todo: queue.SimpleQueue[T] = queue.SimpleQueue()
        for item in items:
            todo.put(item)

        def pull(worker: int) -> None:
            try:
                while self._failure is None:
                    work(worker, todo.get_nowait())
            except queue.Empty:
                return
            except StandbyError as failure:
                self.stop(failure)
            except Exception as failure:
                self.stop(_of_our_own(failure))

        count = min(len(self.connections), len(items))
        workers = [threading.Thread(target=pull, args=(worker,), daemon=True) for worker in range(count)]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():
                    # A signal that comes just before a wait without end would be seen only after it.
                    worker.join(_LOOK_SECONDS)
        except BaseException:
            self.stop(StandbyError("The copy was interrupted. Next: run again, it resumes.", "interrupted"))
            raise
        if self._failure is not None:
            raise self._failure

    def stop(self, failure: StandbyError) -> None:
        """Remember the first failure and end every rsync."""
        with self._guard:
            if self._failure is None:
                self._failure = failure
            for process in self._processes:
                try:
                    os.killpg(process.pid, signal.SIGTERM)
                except ProcessLookupError:
                    continue

    def differing(self, worker: int, shard: Shard) -> list[str]:
        """The files of a shard whose contents are not those of the backup, by rsync's checksums at both ends."""
        output = self._attempts(worker, shard, ("--checksum", "--dry-run", f"--out-format={_MARK}%n"))
        self.progress.add(worker, shard.bytes)
        return names_in(output, _MARK)

    def _measure(self, worker: int, compress: str, shard: Shard) -> Sample:
        self.connections[worker].open()
        began = time.monotonic()
        tally = self._copy(worker, shard, compress)
        return Sample(shard.bytes, tally.received, time.monotonic() - began)

    def _copy(self, worker: int, shard: Shard, compress: str) -> Tally:
        output = self._attempts(worker, shard, ("--inplace", "--ignore-times", *compression_options(compress)))
        tally = tally_of(output)
        with self._guard:
            self.literal += tally.literal
            self.received += tally.received
        self.progress.add(worker, shard.bytes)
        self.finished(shard)
        return tally

    def _attempts(self, worker: int, shard: Shard, how: Sequence[str]) -> str:
        """The output of rsync's success. Raises StandbyError when trying again does not help either."""
        left = shard
        for attempt in range(1, _ATTEMPTS + 1):
            self.connections[worker].open()
            argv = self._argv(worker, left, how)
            rc, output, stderr = self._rsync(worker, argv)
            if rc == 0:
                return output
            if self._failure is not None:  # ended because another worker failed
                raise self._failure
            reason = of_rsync(rc, stderr)
            if not reason.retry or attempt == _ATTEMPTS:
                raise self._given_up(shard, attempt, argv, rc, stderr, reason)
            self.progress.retried(worker)
            # Workers, and hosts, that were cut off at once come back one by one.
            time.sleep(min(30, 2**attempt) * random.uniform(0.5, 1))  # noqa: S311 - no secret
            left = shard if shard.basis else _remaining(shard)
        raise AssertionError("unreachable")

    def _given_up(
        self, shard: Shard, attempt: int, argv: Sequence[str], rc: int, stderr: str, reason: Diagnosis
    ) -> StandbyError:
        source = self.connections[0].source
        return StandbyError(
            f"Copying {len(shard)} files from {source.destination}:{shard.root.source} to {shard.root.target}"
            f" failed at attempt {attempt}: {reason.meaning} ({first_line(stderr) or f'exit code {rc}'})."
            f" The directory cannot be started; a new run resumes. Next: {reason.next_step}.",
            reason.code,
            rc=rc,
            stderr=stderr,
            cmd=list(argv),
        )

    def _argv(self, worker: int, shard: Shard, how: Sequence[str]) -> list[str]:
        names = f"names-{worker}"
        write_names(names, shard.paths)
        modes = f"--chmod=D{shard.root.directory_mode:04o},F{shard.root.file_mode:04o}"
        # The progress of many small files would cost more than it tells if each were written at once.
        buffer = "--outbuf=Line" if len(shard) == 1 else "--outbuf=Block"
        told = ("--no-human-readable", "--info=progress2,stats2", buffer)
        extra = [*how, *(_DELTA if shard.basis else ("--whole-file",)), *told, modes, f"--files-from={names}"]
        extra.append(f"--timeout={self.wire.io_timeout}")
        if self.wire.remote_rsync != "rsync":
            extra.append(f"--rsync-path={self.wire.remote_rsync}")
        if self.wire.bwlimit:
            extra.append(f"--bwlimit={max(1, self.wire.bwlimit // len(self.connections))}")
        return rsync_argv(self.connections[worker].source, shard.root.source, shard.root.target, extra)

    def _rsync(self, worker: int, argv: Sequence[str]) -> tuple[int, str, str]:
        """Exit code, output without progress, and standard error."""
        with open(os.memfd_create("errors"), "w+b") as errors:  # on a full disk rsync could not say that it is full
            with self._guard:
                if self._failure is not None:
                    return 20, "", ""
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=environment(),
                    start_new_session=True,
                    pass_fds=(self.lock_fd,),
                )
                self._processes.add(process)
            try:
                output = self._follow(worker, process)
                rc = process.wait()
            finally:
                with self._guard:
                    self._processes.discard(process)
            errors.seek(0)
            return rc, output, errors.read(_OUTPUT_BYTES).decode("utf-8", "replace")

    def _follow(self, worker: int, process: subprocess.Popen[bytes]) -> str:
        """Note the progress in rsync's output while it runs; returns the rest of the output."""
        said: list[str] = []
        rest = ""
        with cast(IO[bytes], process.stdout) as stdout:
            for portion in self._portions(process, stdout.fileno()):
                *lines, rest = _LINE_END.split(rest + portion.decode("utf-8", "surrogateescape"))
                counts = [progress_of(line) for line in lines]
                said += [line for line, count in zip(lines, counts) if count is None]
                known = [count for count in counts if count is not None]
                if known:
                    self.progress.at(worker, known[-1])
        return "\n".join([*said, rest])

    def _portions(self, process: subprocess.Popen[bytes], stdout: int) -> Iterator[bytes]:
        """What rsync prints, as it comes. An rsync that has been silent for too long is ended, and tried again."""
        silence = Silence(process.pid, self.wire.io_timeout)
        while True:
            ready, _write, _error = select.select([stdout], [], [], _LOOK_SECONDS)
            if ready:
                portion = os.read(stdout, _OUTPUT_BYTES)
                if not portion:
                    return
                yield portion
            elif silence.is_too_long():
                os.killpg(process.pid, signal.SIGKILL)
                return


def _remaining(shard: Shard) -> Shard:
    """What an attempt at files that were not there has left to do; a file that it had begun is gone on with."""
    left = [position for position in shard.positions if not _tree.is_complete(shard.root, position)]
    return Shard(shard.root, left, basis=True)


def _of_our_own(failure: Exception) -> StandbyError:
    """What we cannot write ourselves, such as a list of names, says the same of a disk as what rsync cannot."""
    number = failure.errno if isinstance(failure, OSError) else None
    full = number in (errno.ENOSPC, errno.EDQUOT)
    if not full and number not in (errno.EIO, errno.EROFS):
        return StandbyError(f"The copy failed: {failure}.", "copy_failed")
    return StandbyError(
        f"The copy failed: {failure}. The directory cannot be started; a new run resumes."
        " Next: check free space and inodes (df, df -i), and the file system.",
        "disk_full" if full else "disk_error",
    )
