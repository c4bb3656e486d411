# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that work side by side, each with a connection of its own, until the first failure.

Private to the collection.
"""

from __future__ import annotations

import errno
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ansible_collections.pgfleet.standby.plugins.module_utils._backup import local_tree as _local_tree
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.connection import Connection
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import ProgramGroup
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress

__all__ = ["ATTEMPTS", "LOOK_SECONDS", "Workers", "remaining"]

T = TypeVar("T")

ATTEMPTS = 8

LOOK_SECONDS = 0.5

# How long a copy that is interrupted waits for the programs that it has told to end, in seconds.
_END_SECONDS = 10


@dataclass
class Workers:
    """One worker for every connection.

    ``lock_fd`` is for programs that write here: if this process is killed, the lock is not free before the last of
    them has ended. ``finished`` is told of files that have arrived.
    """

    connections: Sequence[Connection]
    lock_fd: int
    progress: Progress
    finished: Callable[[Shard], None] = lambda shard: None
    literal: int = 0
    received: int = 0
    _running: set[ProgramGroup] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _failure: StandbyError | None = None

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
                    worker.join(LOOK_SECONDS)
        except BaseException:
            self.stop(StandbyError(Refusal("interrupted", "The copy was interrupted.", "run again, it resumes")))
            # The caller may start a server when the copy has ended: none of its programs may write then.
            # A thread whose join was interrupted passes for ended (Python 3.10 to 3.12), so the programs are counted.
            deadline = time.monotonic() + _END_SECONDS
            while self._running and time.monotonic() < deadline:
                time.sleep(0.02)
            raise
        self.require_no_failure()

    def stop(self, failure: StandbyError) -> None:
        """Remember the first failure and end every program."""
        with self._guard:
            if self._failure is None:
                self._failure = failure
            for program in self._running:
                program.terminate()

    def require_no_failure(self) -> None:
        """Raises the first StandbyError: an attempt may have been ended because another worker failed."""
        if self._failure is not None:
            raise self._failure

    def pause(self, worker: int, attempt: int) -> None:
        """Wait before an attempt is repeated."""
        self.progress.retried(worker)
        # Workers, and hosts, that were cut off at once come back one by one.
        time.sleep(min(30, 2**attempt) * random.uniform(0.5, 1))  # noqa: S311 - no secret

    @contextmanager
    def started(self, argv: Sequence[str], **how: Any) -> Iterator[ProgramGroup]:
        """A program that ``stop`` ends. Raises StandbyError when the work has ended already."""
        with self._guard:
            self.require_no_failure()
            program = ProgramGroup(argv, **how)
            self._running.add(program)
        try:
            with program:
                yield program
        finally:
            with self._guard:
                self._running.discard(program)


def remaining(shard: Shard) -> Shard:
    """What an attempt at files that were not there has left to do. The next attempt goes on with a file half sent."""
    left = [position for position in shard.positions if not _local_tree.is_complete(shard.root, position)]
    return Shard(shard.root, left, basis=True)


def _of_our_own(failure: Exception) -> StandbyError:
    """The failure of a write of our own, such as a list of names: it says the same of a disk as one of rsync."""
    number = failure.errno if isinstance(failure, OSError) else None
    full = number in (errno.ENOSPC, errno.EDQUOT)
    if not full and number not in (errno.EIO, errno.EROFS):
        return StandbyError(
            Refusal(
                "copy_failed",
                f"The copy failed: {failure}. The directory cannot be started; a new run resumes.",
                "run again; if it fails at the same place, report it",
            )
        )
    return StandbyError(
        Refusal(
            "disk_full" if full else "disk_error",
            f"The copy failed: {failure}. The directory cannot be started; a new run resumes.",
            "check free space and inodes (df, df -i), and the file system",
        )
    )
