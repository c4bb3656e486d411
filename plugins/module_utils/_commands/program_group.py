# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that starts programs. Private to the collection.

``run`` is for a program that ends by itself soon. A ``ProgramGroup`` is for a program that works for long or starts
others: the program leads a session of its own, so one signal reaches all of them.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

__all__ = ["NOTHING", "NO_PROGRAM", "PIPE", "STDOUT", "ProgramGroup", "ended_with_us", "run"]

# What a stream of a program is connected to, besides a file descriptor of ours.
NOTHING, PIPE, STDOUT = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT

# What a start fails with if there is no such program. The last is for a closed directory of PATH, too.
NO_PROGRAM = (FileNotFoundError, NotADirectoryError, PermissionError)

# poll(2) takes milliseconds in an int, which are 24 days.
_LONGEST = 2_000_000

_FIRST_LOOK, _LAST_LOOK = 0.0005, 0.05

_GUARD = "import os, sys; sys.stdin.read(); os.killpg(int(sys.argv[1]), int(sys.argv[2]))"


def _environment() -> dict[str, str]:
    """The environment of every program we start: messages in English and without colours, for they are read."""
    return dict(os.environ, LC_ALL="C", LANGUAGE="C", PG_COLOR="never")


def run(argv: Sequence[str], seconds: float, inherited: Sequence[int] = ()) -> tuple[int, str, str]:
    """Run a program to its end: its exit code, stdout and stderr. Bytes that are not UTF-8 survive as surrogates.

    The program stays in our session: what ends us with our terminal ends the program as well. It keeps the file
    descriptors ``inherited`` open. Raises OSError if the program cannot be started, and TimeoutError, after the program
    was ended, if it takes longer.
    """
    try:
        done = subprocess.run(
            list(argv),
            stdin=NOTHING,
            capture_output=True,
            timeout=min(seconds, _LONGEST),
            env=_environment(),
            check=False,
            encoding="utf-8",
            errors="surrogateescape",
            pass_fds=tuple(inherited),
        )
    except subprocess.TimeoutExpired as expired:
        raise TimeoutError(f"{argv[0]} did not finish within {seconds:g} seconds") from expired
    return done.returncode, done.stdout, done.stderr


class ProgramGroup:
    """A program with all that it starts, which are signalled together. Leave it as a context: then nothing of it runs.

    ``stdin``, ``stdout`` and ``stderr`` are file descriptors or one of NOTHING, PIPE and STDOUT. ``more`` is added to
    the environment. The program keeps the file descriptors ``inherited`` open, a lock among them, for as long as it
    runs; so does what it starts. Raises OSError if the program cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        stdin: int = NOTHING,
        stdout: int = NOTHING,
        stderr: int = NOTHING,
        directory: str | None = None,
        more: Mapping[str, str] | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        self._process = subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=directory,
            env={**_environment(), **(more or {})},
            pass_fds=tuple(inherited),
            start_new_session=True,
        )
        self._guard = threading.Lock()
        self._reaped = False

    @property
    def number(self) -> int:
        """The group's number, which is the process id of the program."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        """What the program reads. Only if it is a pipe."""
        return _piped(self._process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        """What the program prints. Only if it is a pipe."""
        return _piped(self._process.stdout)

    @property
    def stderr(self) -> IO[bytes]:
        """What the program complains about. Only if it is a pipe."""
        return _piped(self._process.stderr)

    def lines(self) -> Iterator[str]:
        """The lines of what the program prints, or complains about if only that is a pipe, without their ends.

        Bytes that are not UTF-8 survive as surrogates. A carriage return ends a line, too.
        """
        text = io.TextIOWrapper(self._process.stdout or self.stderr, encoding="utf-8", errors="surrogateescape")
        return (line.rstrip("\n") for line in text)

    def exit_code(self) -> int:
        """Wait for the program: its exit code, or a negative number for the signal that ended it."""
        ended = self._ended(os.WEXITED)
        if ended is None:
            raise AssertionError("waitid(2) without WNOHANG waits")
        return ended

    def wait(self, seconds: float) -> int | None:
        """The same, for so many seconds at most; None if the program runs on."""
        deadline, look = time.monotonic() + seconds, _FIRST_LOOK
        while True:
            ended, left = self._ended(os.WEXITED | os.WNOHANG), deadline - time.monotonic()
            if ended is not None or left <= 0:
                return ended
            time.sleep(min(look, left))
            look = min(2 * look, _LAST_LOOK)

    def is_running(self) -> bool:
        """Whether the program has not ended yet."""
        return self.wait(0) is None

    def terminate(self) -> None:
        """Ask the whole group to end."""
        self._signal(signal.SIGTERM)

    def quit(self) -> None:
        """Have the program give up what it does and clean up: an immediate shutdown of a PostgreSQL server."""
        self._signal(signal.SIGQUIT)

    def kill(self) -> None:
        """End the whole group at once."""
        self._signal(signal.SIGKILL)

    def end(self, seconds: float) -> None:
        """Ask the whole group to end, and leave the program so many seconds for it."""
        self.terminate()
        self.wait(seconds)
        self.kill()

    @contextlib.contextmanager
    def killed_after(self, seconds: float) -> Iterator[threading.Event]:
        """A time limit for what is done meanwhile: then the group is killed. The event says whether that was so."""
        overdue = threading.Event()

        def kill() -> None:
            overdue.set()
            self.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            yield overdue
        finally:
            timer.cancel()

    def __enter__(self) -> ProgramGroup:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.kill()
        self.exit_code()
        with self._guard:
            self._process.wait()
            self._reaped = True
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was not written yet is for a program that has ended
                    stream.close()

    def _signal(self, number: int) -> None:
        with self._guard:
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)

    def _ended(self, options: int) -> int | None:
        """How the program ended, None if it has not. Its number stays taken: a signal to the group reaches no other."""
        try:
            ended = os.waitid(os.P_PID, self._process.pid, options | os.WNOWAIT)
        except ChildProcessError:  # it has been waited for
            return self._process.wait()
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


@contextlib.contextmanager
def ended_with_us(group: ProgramGroup, by: signal.Signals = signal.SIGKILL) -> Iterator[None]:
    """Have a group killed when this is left, and sent the signal ``by`` when this process is gone, however that ends.

    A program of ours in a group of its own waits for the end of its input, which is open for as long as we live.
    """
    argv = [sys.executable, "-I", "-S", "-c", _GUARD, str(group.number), str(int(by))]
    with ProgramGroup(argv, stdin=PIPE) as guard:
        try:
            yield
        finally:
            group.kill()
            guard.kill()  # before its input is closed


def _piped(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("this stream is no pipe")
    return stream
