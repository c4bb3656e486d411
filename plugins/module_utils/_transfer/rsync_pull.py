# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel rsyncs that pull shards from one queue, with strict exit codes. Private to the collection."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.remote_files import fetch
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import (
    Shard,
    are_worth_measuring,
    take_samples,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import (
    Diagnosis,
    rsync_failure,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import PIPE, ProgramGroup
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.rsync import write_names
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.stall import Stall
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.compression import (
    Sample,
    chosen_by,
    compression_options,
    to_try,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.rsync_output import (
    Tally,
    names_in,
    progress_of,
    tally_of,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.workers import (
    ATTEMPTS,
    LOOK_SECONDS,
    Workers,
    remaining,
)

__all__ = ["RsyncPull", "Wire"]

_OUTPUT_BYTES = 64 << 10

_MARK = "differs:"

_LINE_END = re.compile(r"[\r\n]+")

# PostgreSQL writes pages; blocks of another size would make two of one changed page, or find a page within a block.
_DELTA = ("--no-whole-file", "--block-size=8192")


@dataclass(frozen=True)
class Wire:
    """How the bytes travel. ``bwlimit`` is KiB/s for all workers together, ``io_timeout`` seconds of silence.

    ``choices`` are the compressions of which ``compress`` is the one to begin with.
    """

    compress: str = "none"
    bwlimit: int | None = None
    io_timeout: int = 300
    remote_rsync: str = "rsync"
    choices: tuple[str, ...] = ()


@dataclass
class RsyncPull(Workers):
    """One parallel pull by rsync. Every rsync inherits the lock: rsync goes on writing if this process is killed."""

    wire: Wire = field(default_factory=Wire)

    @property
    def compress(self) -> str:
        """The compression on the wire."""
        return self.wire.compress

    def pull(self, shards: Sequence[Shard]) -> None:
        """Copy every shard, by the compression that pays if there is a choice. Raises StandbyError."""
        choices = self.wire.choices
        if len(choices) > 1 and are_worth_measuring(shards):
            choices = to_try(choices, self.connections[0].rate())
            samples, rest = take_samples(shards, len(choices))
            if samples:
                self.run_with_samples(choices, samples, rest)
                return
        self.run(shards)

    def fetch_control(self, root: Root, staging: str) -> None:
        """Bring the backup's pg_control into a directory. Raises StandbyError."""
        fetch(self.connections[0].barman_host, root.source, [CONTROL], staging)

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

    def differing(self, worker: int, shard: Shard) -> list[str]:
        """The files of a shard whose contents are not those of the backup, by rsync's checksums at both ends."""
        output, _left = self._attempts(worker, shard, ("--checksum", "--dry-run", f"--out-format={_MARK}%n"))
        self.progress.add(worker, shard.bytes)
        return names_in(output, _MARK)

    def _measure(self, worker: int, compress: str, shard: Shard) -> Sample:
        self.connections[worker].open()
        began = time.monotonic()
        tally = self._copy(worker, shard, compress)
        return Sample(shard.bytes, tally.received, time.monotonic() - began)

    def _copy(self, worker: int, shard: Shard, compress: str) -> Tally:
        output, left = self._attempts(worker, shard, ("--inplace", "--ignore-times", *compression_options(compress)))
        tally = tally_of(output)
        with self._guard:
            # An rsync that breaks off counts nothing; what it has left complete was sent.
            self.literal += shard.bytes - left.bytes + tally.literal
            self.received += tally.received
        self.progress.add(worker, shard.bytes)
        self.finished(shard)
        return tally

    def _attempts(self, worker: int, shard: Shard, how: Sequence[str]) -> tuple[str, Shard]:
        """The output of rsync's success, and what earlier attempts had left to it.

        Raises StandbyError when trying again does not help either.
        """
        left = shard
        for attempt in range(1, ATTEMPTS + 1):
            self.connections[worker].open()
            argv = self._argv(worker, left, how)
            rc, output, stderr = self._rsync(worker, argv)
            if rc == 0:
                return output, left
            self.require_no_failure()
            reason = rsync_failure(rc, stderr)
            if not reason.retry or attempt == ATTEMPTS:
                raise self._given_up(shard, attempt, argv, rc, stderr, reason)
            self.pause(worker, attempt)
            left = shard if shard.basis else remaining(shard)
        raise AssertionError("unreachable")

    def _given_up(
        self, shard: Shard, attempt: int, argv: Sequence[str], rc: int, stderr: str, reason: Diagnosis
    ) -> StandbyError:
        where = self.connections[0].barman_host.where
        return StandbyError(
            Refusal(
                reason.code,
                f"Copying {len(shard)} files from {where}:{shard.root.source} to {shard.root.target}"
                f" failed at attempt {attempt}: {reason.meaning} ({said_by('rsync', stderr) or f'exit code {rc}'})."
                " The directory cannot be started; a new run resumes.",
                reason.next_step,
            ),
            rc=rc,
            stderr=stderr,
            cmd=list(argv),
        )

    def _argv(self, worker: int, shard: Shard, how: Sequence[str]) -> list[str]:
        names = f"names-{worker}"
        write_names(names, shard.paths)
        modes = f"--chmod=D{shard.root.directory_mode:04o},{shard.root.file_rights}"
        # The progress of many small files would cost more than it tells if each were written at once.
        buffer = "--outbuf=Line" if len(shard) == 1 else "--outbuf=Block"
        told = ("--no-human-readable", "--info=progress2,stats2", buffer)
        extra = [*how, *(_DELTA if shard.basis else ("--whole-file",)), *told, modes, f"--files-from={names}"]
        extra.append(f"--timeout={self.wire.io_timeout}")
        if self.wire.remote_rsync != "rsync":
            extra.append(f"--rsync-path={self.wire.remote_rsync}")
        if self.wire.bwlimit:
            extra.append(f"--bwlimit={max(1, self.wire.bwlimit // len(self.connections))}")
        return self.connections[worker].barman_host.rsync(shard.root.source, shard.root.target, extra)

    def _rsync(self, worker: int, argv: Sequence[str]) -> tuple[int, str, str]:
        """Exit code, output without progress, and standard error."""
        with open(os.memfd_create("errors"), "w+b") as errors:  # on a full disk rsync could not say that it is full
            streams = {"stdout": PIPE, "stderr": errors.fileno()}
            with self.started(argv, inherited=(self.lock_fd,), **streams) as rsync:
                output = self._follow(worker, rsync)
                rc = rsync.exit_code()
            errors.seek(0)
            return rc, output, errors.read(_OUTPUT_BYTES).decode("utf-8", "replace")

    def _follow(self, worker: int, rsync: ProgramGroup) -> str:
        """Note the progress in rsync's output while it runs; returns the rest of the output."""
        said: list[str] = []
        rest = ""
        for portion in self._portions(rsync):
            *lines, rest = _LINE_END.split(rest + portion.decode("utf-8", "surrogateescape"))
            counts = [progress_of(line) for line in lines]
            said += [line for line, count in zip(lines, counts) if count is None]
            known = [count for count in counts if count is not None]
            if known:
                self.progress.at(worker, known[-1])
        return "\n".join([*said, rest])

    def _portions(self, rsync: ProgramGroup) -> Iterator[bytes]:
        """What rsync prints, as it comes. An rsync that has been silent for too long is ended, and tried again."""
        silence = Stall(rsync.number, self.wire.io_timeout)
        stdout = rsync.stdout.fileno()
        while True:
            ready, _write, _error = select.select([stdout], [], [], LOOK_SECONDS)
            if ready:
                portion = os.read(stdout, _OUTPUT_BYTES)
                if not portion:
                    return
                yield portion
            elif silence.is_too_long():
                rsync.kill()
                return
