# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tar on its way from the Barman host, by ssh and the program that decompresses here. Private to the collection."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Archive
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import (
    CONNECTION_ENDED,
    Diagnosis,
    tar_failure,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import NOTHING, PIPE, ProgramGroup
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal

__all__ = ["TarStream"]

_PORTION = 256 << 10

_ERROR_BYTES = 64 << 10

_DAMAGED = Diagnosis(Refusal("archive_damaged", "it breaks off", "choose another backup_id"))


class TarStream:
    """The bytes of a tar. Leave it as a context: then nothing of it runs on.

    ``arrived`` is told of bytes from the link before they are passed on, and may hold them back. A link that is silent
    for ``io_timeout`` seconds counts as broken. ``started`` starts a program and is left when that has ended.
    """

    def __init__(
        self,
        barman_host: BarmanHost,
        archive: Archive,
        nice_prefix: Sequence[str] = (),
        io_timeout: float = 300,
        arrived: Callable[[int], None] = lambda count: None,
        started: Callable[..., AbstractContextManager[ProgramGroup]] = ProgramGroup,
    ) -> None:
        self._archive = archive
        self.argv = barman_host.shell().argv([*nice_prefix, *archive.there])
        self._io_timeout = io_timeout
        self._arrived = arrived
        self._started = started
        self._stack = ExitStack()
        self._running: list[ProgramGroup] = []
        self._errors: list[int] = []
        self._feeder: threading.Thread | None = None
        self._came = 0
        self._silent = False
        self._cut = False  # the far end was still sending when the program here had enough

    def __enter__(self) -> TarStream:
        try:
            self._start(self.argv, NOTHING)
            if self._archive.here:
                self._start(self._archive.here, PIPE)
                self._feeder = threading.Thread(target=self._feed, daemon=True)
                self._feeder.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_failure: object) -> None:
        self._kill()
        if self._feeder is not None:
            self._feeder.join()
        self._stack.close()

    def chunks(self) -> Iterator[bytes]:
        """The tar, in portions as they come, until the last program ends."""
        if self._feeder is None:
            yield from self._arriving()
            return
        stdout = self._running[1].stdout.fileno()
        yield from iter(lambda: os.read(stdout, _PORTION), b"")

    def failure(self) -> Diagnosis | None:
        """Why the tar ended too early or not well; None when every program says that it is well. Waits for them."""
        if self._feeder is not None:
            self._running[1].exit_code()
            self._feeder.join()
        if self._silent:
            return Diagnosis(Refusal("ssh_timeout", "it sent nothing for too long", "check the network"), retry=True)
        if not self._cut:
            rc = self._running[0].exit_code()
            if rc != 0:
                return tar_failure(rc, self.stderr, self._archive.unpacked_there)
            # An ssh that shares a connection hears how the program there ended before all that it wrote has come:
            # should the connection be killed in between, it exits with 0 (seen with OpenSSH 9.2).
            if not self._archive.unpacked_there and self._came < self._archive.bytes:
                return CONNECTION_ENDED
        if self._feeder is not None and self._running[1].exit_code() != 0:
            return tar_failure(1, self.stderr, True)
        return None

    def broken_off(self) -> Diagnosis:
        """Why a tar came without its end. Waits for the programs."""
        return self.failure() or (CONNECTION_ENDED if self._archive.unpacked_there else _DAMAGED)

    @property
    def stderr(self) -> str:
        """What the programs have said."""
        return "".join(os.pread(it, _ERROR_BYTES, 0).decode("utf-8", "replace") for it in self._errors)

    @property
    def first_words(self) -> str:
        """The first line of that, for a message."""
        return said_by("cat", self.stderr)

    def _start(self, argv: Sequence[str], stdin: int) -> None:
        errors = os.memfd_create("errors")  # on a full disk it could not say that it is full
        self._stack.callback(os.close, errors)
        self._errors.append(errors)
        program = self._started(argv, stdin=stdin, stdout=PIPE, stderr=errors)
        self._running.append(self._stack.enter_context(program))

    def _arriving(self) -> Iterator[bytes]:
        stdout = self._running[0].stdout.fileno()
        while True:
            ready, _write, _error = select.select([stdout], [], [], self._io_timeout)
            if not ready:
                self._silent = True
                self._kill()
                return
            portion = os.read(stdout, _PORTION)
            if not portion:
                return
            self._came += len(portion)
            self._arrived(len(portion))
            yield portion

    def _feed(self) -> None:
        stdin = self._running[1].stdin
        try:
            for portion in self._arriving():
                stdin.write(portion)
                stdin.flush()
        except OSError:
            self._cut = True
        with suppress(OSError):
            stdin.close()

    def _kill(self) -> None:
        for program in self._running:
            program.kill()
