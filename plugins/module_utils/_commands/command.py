# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shells: run a program on this host, or by ssh on another. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import ssh_failure
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import (
    NO_PROGRAM,
    PIPE,
    ProgramGroup,
    run,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.quoting import remote_command
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["Completed", "LocalShell", "Shell", "SshShell", "ssh_argv", "ssh_destination"]

_PORTION = 1 << 20

_STDERR_BYTES = 64 << 10

# ssh's options that take a value (ssh(1), SYNOPSIS).
_SSH_WITH_VALUE = "BbcDEeFIiJLlmOopPQRSWw"

# Ends a program, with all that the program has started, if nothing comes in any more: at the end of the input, or after
# a minute without a sign of life from this host. A session of its own makes them one group for the signal.
_TIED = """\
exec 3<&0
setsid "$@" </dev/null 3<&- &
program=$!
(
    while [ "$(timeout 60 head -c 1 <&3)" ]; do :; done
    kill -s TERM -- "-$program"
    sleep 5
    kill -s KILL -- "-$program"
) >/dev/null 2>&1 &
watch=$!
wait "$program"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
"""

_BEAT, _GRACE = 1.0, 10.0


class Completed(NamedTuple):
    """A finished program. Bytes that are not UTF-8 survive as surrogates."""

    argv: tuple[str, ...]
    rc: int
    out: str
    err: str


def _run(argv: Sequence[str], timeout: float, inherited: Sequence[int] = ()) -> Completed:
    try:
        return Completed(tuple(argv), *run(argv, timeout, inherited))
    except NO_PROGRAM:
        return Completed(tuple(argv), 127, "", f"{argv[0]}: command not found")
    except TimeoutError as expired:
        raise _overdue(argv, timeout) from expired


def _overdue(argv: Sequence[str], timeout: float) -> StandbyError:
    return StandbyError(
        Refusal(
            "command_timeout",
            f"{argv[0]} did not finish within {timeout:g} seconds. It was ended; nothing else was tried.",
            "run the same command by hand and see what it waits for",
        ),
        cmd=list(argv),
    )


class Shell:
    """A host to run programs on. ``where`` is the name of the host in messages."""

    where: str

    def run(self, argv: Sequence[str], timeout: float = 60) -> Completed:
        """Run an argument list; any exit code is the caller's to judge. Raises StandbyError on a time-out."""
        raise NotImplementedError


class LocalShell(Shell):
    """This host. Its programs keep the descriptors ``inherited`` open, such as a lock, for as long as they run."""

    def __init__(self, where: str = "this host", inherited: Sequence[int] = ()) -> None:
        self.where = where
        self.inherited = tuple(inherited)

    def run(self, argv: Sequence[str], timeout: float = 60) -> Completed:
        return _run(argv, timeout, self.inherited)


def ssh_argv(options: Sequence[str]) -> list[str]:
    """The ssh command up to the destination.

    ssh takes the first value that is given for an option. So the user's options cannot switch off host key checking or
    bring back password prompts, while the user may replace the time-outs, which come last.
    """
    _require_options(options)
    fixed = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    defaults = ["-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]
    return ["ssh", "-T", "-x", *fixed, *options, *defaults]


def _require_options(options: Sequence[str]) -> None:
    """A bare word would become ssh's destination. Raises StandbyError."""
    waits_for_value = False
    for word in options:
        if not waits_for_value and not word.startswith("-"):
            raise StandbyError(
                Refusal(
                    "ssh_options_invalid",
                    f"ssh_options holds {word!r}, which belongs to no option.",
                    "give ssh's options and their values, one list element for each",
                )
            )
        waits_for_value = not waits_for_value and len(word) == 2 and word[1] in _SSH_WITH_VALUE
    if waits_for_value:
        raise StandbyError(Refusal("ssh_options_invalid", f"ssh_options ends with {options[-1]}.", "give its value"))


def ssh_destination(text: str) -> str:
    """A destination as ssh takes it: an IPv6 address without the brackets that it has elsewhere, as in rsync's."""
    user, at, host = text.rpartition("@")
    return f"{user}{at}{host[1:-1]}" if host.startswith("[") and host.endswith("]") and ":" in host else text


class SshShell(Shell):
    """The far end of ssh. ``destination`` is ``[user@]host`` or a Host alias of ssh_config."""

    def __init__(self, destination: str, options: Sequence[str] = ()) -> None:
        if not destination or destination.startswith("-") or not destination.isprintable() or " " in destination:
            raise StandbyError(
                Refusal(
                    "barman_host_invalid",
                    f"barman_host={destination!r} is no ssh destination.",
                    "give a host name, user@host or a Host alias",
                )
            )
        self.where = ssh_destination(destination)
        self.options = tuple(options)

    def argv(self, argv: Sequence[str]) -> list[str]:
        """The command here that runs an argument list there."""
        return [*ssh_argv(self.options), "--", self.where, remote_command(argv)]

    def run(self, argv: Sequence[str], timeout: float = 60) -> Completed:
        """As for every shell. Raises StandbyError also if ssh itself fails, with the reason."""
        done = _run(self.argv(argv), timeout)
        if done.rc == 255:
            raise self.failure(done.rc, done.err)
        return done

    def stream(
        self, argv: Sequence[str], timeout: float, failed: Callable[[int, str], StandbyError]
    ) -> Iterator[bytes]:
        """The output of a program, in portions as they come.

        Raises StandbyError at its end: of ssh's own failure or a time-out, or what ``failed`` makes of the exit code
        and stderr.
        """
        command = self.argv(argv)
        with tempfile.TemporaryFile() as errors:
            try:
                ssh = ProgramGroup(command, stdout=PIPE, stderr=errors.fileno())
            except NO_PROGRAM:
                raise failed(127, "ssh: command not found") from None
            with ssh, ssh.killed_after(timeout) as overdue:
                yield from iter(lambda: ssh.stdout.read(_PORTION), b"")
                rc = ssh.exit_code()
            errors.seek(0)
            stderr = errors.read(_STDERR_BYTES).decode("utf-8", "replace")
        if rc == 255:
            raise self.failure(rc, stderr)
        if rc != 0 and overdue.is_set():
            raise _overdue(command, timeout)
        if rc != 0:
            raise failed(rc, stderr)

    def run_tied(self, argv: Sequence[str], inherited: Sequence[int] = ()) -> Completed:
        """Run a program on that host that ends soon after this process or the connection ends, in whatever way.

        The program has no time limit. ssh inherits the file descriptors. Raises StandbyError if ssh itself fails.
        """
        command = self.argv(["sh", "-c", _TIED, "sh", *argv])
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                ssh = ProgramGroup(
                    command, stdin=PIPE, stdout=out.fileno(), stderr=err.fileno(), inherited=tuple(inherited)
                )
            except NO_PROGRAM:
                return Completed(tuple(command), 127, "", "ssh: command not found")
            with ssh:
                try:
                    rc = _beat(ssh)
                finally:
                    with contextlib.suppress(BrokenPipeError):
                        ssh.stdin.close()  # the program there, if it still runs, ends now
                    ssh.wait(_GRACE)
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode("utf-8", "surrogateescape"))
        if rc == 255:
            raise self.failure(255, texts[1])
        return Completed(tuple(command), rc, *texts)

    def failure(self, rc: int, stderr: str) -> StandbyError:
        """The error for a failure of ssh itself."""
        reason = ssh_failure(stderr)
        return StandbyError(
            Refusal(
                reason.code,
                f"Cannot reach the Barman host {self.where} by ssh: {reason.meaning}"
                f" ({said_by('ssh', stderr) or 'ssh said nothing'}).",
                reason.next_step,
            ),
            rc=rc,
            stderr=stderr,
        )


def _beat(ssh: ProgramGroup) -> int:
    """Give a sign of life again and again until the program ends; its exit code."""
    while True:
        rc = ssh.wait(_BEAT)
        if rc is not None:
            return rc
        with contextlib.suppress(BrokenPipeError):
            os.write(ssh.stdin.fileno(), b".")
