# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One ssh connection for each worker, opened once and used for all that the worker does. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import random
import select
import threading
import time
from dataclasses import replace
from typing import IO

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import PIPE, ProgramGroup
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["Connection"]

_ATTEMPTS = 6

_HANDSHAKE_SECONDS = 120

# How long a connection may take to end by itself, and how long after it was asked to.
_LEAVE_SECONDS, _END_SECONDS = 0.5, 10.0

_GREETING = b"connected\n"

# At 150 MB/s this takes 14 ms, which a clock and a scheduler can tell from nothing.
_ECHO = 2 << 20

_FIRST_ECHO = 64 << 10

# sshd drops a share of the connections that have not logged in yet (sshd_config(5), MaxStartups). So this process opens
# one connection at a time.
_GATE = threading.Lock()


class Connection:
    """A connection that later programs share, by a socket named ``name`` in the working directory.

    The Barman host runs ``cat``: what we write comes back, which proves that we are logged in and that nothing else
    prints there. The connection ends with this process, however that ends, but not before the last program that shares
    the connection.
    The name is relative because a socket's path is short and ssh expands ``%`` in it.
    """

    def __init__(self, barman_host: BarmanHost, name: str) -> None:
        self._origin = barman_host
        self._name = name
        self._ssh: ProgramGroup | None = None
        self._was_open = False
        shared = ("-o", "ControlMaster=no", "-o", f"ControlPath={name}")
        self.barman_host = replace(barman_host, ssh_options=(*shared, *barman_host.ssh_options))

    def open(self) -> None:
        """Connect, unless we are connected. Raises StandbyError if some attempts have failed."""
        for attempt in range(1, _ATTEMPTS + 1):
            if self._ssh is not None and self._ssh.is_running():
                return
            self.close()
            with _GATE:
                failure = self._connect()
            if failure is None:
                self._was_open = True
                return
            if attempt == _ATTEMPTS or not self._may_retry(failure):
                raise failure
            # Of many hosts that were turned away at once, each comes back at a moment of its own.
            time.sleep(min(20, 2**attempt) * random.uniform(0.5, 1))  # noqa: S311 - no secret

    def rate(self) -> float:
        """Bytes per second that the connection carries there and back, by a short echo; 0 if the connection breaks.

        A look, not a measurement. A little goes before, because the first bytes of a connection wait for its window.
        """
        self._echo(_FIRST_ECHO)
        return self._echo(_ECHO)

    def _echo(self, size: int) -> float:
        if self._ssh is None:
            return 0
        stdin, stdout = self._ssh.stdin, self._ssh.stdout
        data = os.urandom(size)  # nothing compresses it on the way
        writer = threading.Thread(target=_write, args=(stdin, data), daemon=True)
        began = time.monotonic()
        writer.start()
        left = size
        while left:
            ready, _write_ready, _error = select.select([stdout], [], [], _HANDSHAKE_SECONDS)
            more = stdout.read1(left) if ready else b""  # type: ignore[attr-defined]
            if not more:
                return 0
            left -= len(more)
        return size / (time.monotonic() - began)

    def close(self) -> None:
        """End the connection; a program that still uses it is not cut off."""
        if self._ssh is None:
            return
        with self._ssh as ssh:
            with contextlib.suppress(OSError):
                ssh.stdin.close()
            if ssh.wait(_LEAVE_SECONDS) is None:
                ssh.end(_END_SECONDS)
        self._ssh = None

    def _may_retry(self, failure: StandbyError) -> bool:
        """A host that has never answered is reported at once. A host that has answered before may be starting again."""
        dropped = failure.code == "ssh_dropped"
        return dropped or (self._was_open and failure.code in ("ssh_refused", "ssh_timeout", "ssh_failed"))

    def _connect(self) -> StandbyError | None:
        own = ("-o", "ControlMaster=yes", "-o", f"ControlPath={self._name}", "-o", "ControlPersist=no")
        shell = replace(self._origin, ssh_options=(*own, *self._origin.ssh_options)).shell()
        self._ssh = ssh = ProgramGroup(shell.argv(["cat"]), stdin=PIPE, stdout=PIPE, stderr=PIPE)
        answer = self._answer(ssh)
        if answer == _GREETING:
            return None
        ssh.kill()  # with a proxy that it started, which would hold stderr open
        stderr = ssh.stderr.read(64 << 10).decode("utf-8", "replace")
        if answer:
            return StandbyError(
                Refusal(
                    "ssh_stdout_polluted",
                    f"Something on {shell.where} prints on login ({answer[:100].decode('utf-8', 'replace')!r}),"
                    " which garbles rsync's protocol.",
                    "silence the login scripts of the user on the Barman host",
                )
            )
        return shell.failure(ssh.exit_code(), stderr)

    @staticmethod
    def _answer(ssh: ProgramGroup) -> bytes:
        """The first line from the Barman host, empty if there is none."""
        stdout = ssh.stdout
        with contextlib.suppress(BrokenPipeError):
            ssh.stdin.write(_GREETING)
            ssh.stdin.flush()
        deadline = time.monotonic() + _HANDSHAKE_SECONDS
        answer = b""
        while not answer.endswith(b"\n") and time.monotonic() < deadline:
            ready, _write, _error = select.select([stdout], [], [], 1)
            if ready:
                more = stdout.read1(4096)  # type: ignore[attr-defined]
                if not more:
                    break
                answer += more
        return answer


def _write(stream: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):  # whoever reads the echo sees that it ends
        stream.write(data)
        stream.flush()
