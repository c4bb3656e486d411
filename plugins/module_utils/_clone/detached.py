# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy in a process of its own, which neither a lost connection nor a killed control node ends; and its callers.

At most one such process works for a state directory: it holds the lock ``runner``, whose note tells of it.
A second run waits for the first one's result instead. Private to the collection.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError, of_os_error
from ansible_collections.pgfleet.standby.plugins.module_utils._files import private_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock, require_lockable
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import runner_of
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress, read_progress
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import ResultFile, now, sweep

__all__ = ["Running", "Task", "follow"]

_LOOK_SECONDS = 0.2

# How often a copy that leaves no result is started again for one caller. What kills it is likely to do so again.
_MOST_RESTARTS = 3

# What a process tells instead of a result if another one has the lock.
_ANOTHER: dict[str, Any] = {"run": None}

# The first line of a process that has taken its lock.
_TAKEN = b"taken"

_ENDED = Refusal(
    "interrupted",
    "The copy was ended by a signal. An unfinished copy cannot be started.",
    "run again, it resumes",
)

_KILLED = Refusal(
    "copy_killed",
    "The process that copied was killed; it left no result. An unfinished copy cannot be started.",
    "look for the reason in the kernel's log (out of memory?), then run again: it resumes",
)

# What a copy did: a flat dataclass of what JSON takes, and tuples.
Outcome_co = TypeVar("Outcome_co", covariant=True)


@dataclass(frozen=True)
class Task(Generic[Outcome_co]):
    """What the process has to do. ``identity`` tells it from another task for the same state directory.

    ``require`` refuses before anything is made. ``copy`` does the work. Both raise StandbyError. ``outcome`` makes what
    ``copy`` has returned of its fields. ``ended`` tells of one that a signal has ended, ``killed`` of one that has left
    no result.
    """

    state_directory: str
    identity: dict[str, Any]
    require: Callable[[], None]
    copy: Callable[[Progress], Outcome_co]
    outcome: Callable[..., Outcome_co]
    ended: Refusal = _ENDED
    killed: Refusal = _KILLED


@dataclass(frozen=True)
class Running:
    """A copy that goes on: its name, how far it has come, and its process; None before its note tells of that."""

    run: str
    progress: dict[str, Any]
    pid: int | None = None


def follow(task: Task[Outcome_co], seconds: float | None = None, run: str | None = None) -> Outcome_co | Running:
    """Start a copy, or attach to the one that runs, and wait for its end, but no longer than ``seconds``.

    With ``run``, the name of a copy that an earlier call saw running, the result of just that copy counts. A copy that
    was killed is started again some times. Raises StandbyError as the copy did, or if it was killed too often. A copy
    that is told to be running holds its lock, so that a later call finds either the lock or the result.
    """
    asked = run
    deadline = None if seconds is None else time.monotonic() + seconds
    restarts = 0
    while True:
        holder = Lock.holder(runner_of(task.state_directory))
        if holder == {}:  # taken a moment ago, and the note is still to come; or there was no room for it
            if deadline is not None and time.monotonic() >= deadline:
                return _running(task, run or "")
            time.sleep(_LOOK_SECONDS)
            continue
        if holder is not None:
            run = _same(task, holder)
            result = _await(task, run, deadline)
        elif run is not None:
            result = ResultFile(task.state_directory).read() or {}
        else:
            run = _name(restarts)
            result = _start(task, run, asked, deadline)
        if result is None:
            return _running(task, run)
        if result.get("run") in (run, asked or run):
            return _outcome(task, result)
        if result != _ANOTHER:
            restarts = _restarts(run) + 1
            _require_hope(task, restarts)
        run = None  # it was killed, or another one was quicker: look again


def _name(restarts: int) -> str:
    """A name for a copy. It tells how often the copy was started again: that can be counted on a full disk, too."""
    return uuid.uuid4().hex + (f"-{restarts}" if restarts else "")


def _restarts(run: str) -> int:
    """How often the copy of this name was started again."""
    count = run.partition("-")[2]
    return int(count) if count.isdecimal() else 0


def _require_hope(task: Task[Any], restarts: int) -> None:
    """Raises StandbyError if the copy was started again too often."""
    if restarts > _MOST_RESTARTS:
        last = read_progress(_progress(task)) or {}
        raise StandbyError(
            Refusal(
                "copy_killed",
                f"The process that copied was killed, or could not leave its result, {restarts} times in a row, the"
                f" last time at {last.get('at', 'an unknown time')} while it was {last.get('phase', 'beginning')}."
                " It is not started again. An unfinished copy cannot be started.",
                f"look for the reason in the kernel's log (out of memory?) and for room in {task.state_directory} (df),"
                " then run again: it resumes",
            )
        )


def _running(task: Task[Any], run: str) -> Running:
    progress = read_progress(_progress(task)) or {"phase": "preparing"}
    pid = (Lock.holder(runner_of(task.state_directory)) or {}).get("pid")
    return Running(run, {**progress, "restarts": _restarts(run)}, pid)


def _start(task: Task[Any], run: str, asked: str | None, deadline: float | None) -> dict[str, Any] | None:
    """Start the process; its result, or None when it is still at work. ``asked`` is the run whose result is wanted."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                _work(task, run, asked, writer)
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    try:
        return _receive(_Lines(reader), task, run, deadline)
    finally:
        os.close(reader)


class _Lines:
    """What the process says through its pipe, line by line."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._text = b""

    def read(self, deadline: float | None) -> bytes | None:
        """The next line without its end; an empty one if the process has ended, None if the deadline has passed."""
        while b"\n" not in self._text:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _write, _error = select.select([self._reader], [], [], left)
            if not ready:
                return None
            more = os.read(self._reader, 1 << 16)
            if not more:  # a part of a line is all that a process has left that was killed meanwhile
                return b""
            self._text += more
        line, _end, self._text = self._text.partition(b"\n")
        return line


def _receive(lines: _Lines, task: Task[Any], run: str, deadline: float | None) -> dict[str, Any] | None:
    """The result, or None when the process is still at work at the deadline.

    The word that the process has its lock is waited for whatever the deadline is: until then a later call would see
    neither the lock nor a result, and would copy once more.
    """
    line = lines.read(None)
    if line == _TAKEN:
        line = lines.read(deadline)
    if line is None:
        return None
    if line:
        lines.read(None)  # its end, before which it removes what it has made in vain
        return dict(json.loads(line))
    return {"run": run, "error": StandbyError(task.killed).as_record()}


def _await(task: Task[Any], run: str, deadline: float | None) -> dict[str, Any] | None:
    """The result of a process that another call started; empty if it left none, None if it is still at work."""
    while (Lock.holder(runner_of(task.state_directory)) or {}).get("run") == run:
        if deadline is not None and time.monotonic() >= deadline:
            return None
        time.sleep(_LOOK_SECONDS)
    return ResultFile(task.state_directory).read() or {}


def _outcome(task: Task[Outcome_co], result: dict[str, Any]) -> Outcome_co:
    if "error" in result:
        raise StandbyError.from_record(result["error"])
    told: dict[str, Any] = {**result["outcome"], "restarts": _restarts(result["run"])}
    for name, value in told.items():
        if isinstance(value, list):  # JSON knows no tuples
            told[name] = tuple(value)
    return task.outcome(**told)


def _same(task: Task[Any], holder: dict[str, Any]) -> str:
    """The name of the copy that runs. Raises StandbyError unless it is the one that is wanted."""
    different = [name for name, value in task.identity.items() if holder.get(name) != value]
    if different:
        raise StandbyError(
            Refusal(
                "clone_running",
                f"{_what(holder)} runs in {task.identity['data_directory']} (pid {holder.get('pid')} since"
                f" {holder.get('since')}). Nothing was changed by this run.",
                "wait for it, or end it by `kill`, then run again",
            )
        )
    return str(holder["run"])


def _what(holder: dict[str, Any]) -> str:
    """What the process does that has the lock."""
    if "rewound_to" in holder:
        return f"A rewind to {holder['rewound_to']}"
    return f"Another copy, of backup {holder.get('backup_id')} of {holder.get('server')},"


# --- in the process of its own --------------------------------------------------------
def _work(task: Task[Any], run: str, asked: str | None, writer: int) -> NoReturn:
    """Copy, and leave the result for the calls that ask for it. Never returns.

    If the run that was asked for has come to its end since its result was looked for, its result is told instead.
    """
    _detach(writer, task.ended)
    runner = Lock(runner_of(task.state_directory), {"run": run, "pid": os.getpid(), "since": now(), **task.identity})
    try:
        made = _make_place(task)
        if not runner.take(1):
            _send(writer, _ANOTHER)
            os._exit(0)
        _tell(writer, _TAKEN)
        earlier = ResultFile(task.state_directory).read() or {}
        if asked is not None and earlier.get("run") == asked:
            _send(writer, earlier)
            os._exit(0)
        result = _result(task, run)
        ResultFile(task.state_directory).write(result)
        runner.release()  # a caller that hears of the result may start the next copy at once
        delivered = _send(writer, result)
        if made and delivered and _refused(task, result) and runner.take():
            _remove_place(task, made)
    except Exception as failed:
        _send(writer, _failed(run, failed))
    finally:
        os._exit(0)


def _refused(task: Task[Any], result: dict[str, Any]) -> bool:
    """Whether the copy ended before its first change: then the directory of its record has no reason to be there."""
    return "error" in result and not os.path.exists(os.path.join(task.state_directory, "state.json"))


def _detach(writer: int, ended: Refusal) -> None:
    """Keep nothing of the process that started this one: no directory, no terminal, no stream, no file.

    A signal that ends it raises StandbyError with ``ended``.
    """
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.closerange(3, writer)
    os.closerange(writer + 1, 4096)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise StandbyError(ended)

    signal.signal(signal.SIGTERM, interrupt)


def _make_place(task: Task[Any]) -> list[str]:
    """Make the state directory; what was not there, the deepest first. Raises StandbyError.

    A copy that is refused already is refused here, before anything is made or written.
    """
    task.require()
    require_lockable(task.state_directory)
    made = []
    place = task.state_directory
    while not os.path.isdir(place):
        made.append(place)
        place = os.path.dirname(place)
    private_directory(task.state_directory)
    return made


def _remove_place(task: Task[Any], made: list[str]) -> None:
    """Remove what was made, unless another process uses it meanwhile."""
    shutil.rmtree(task.state_directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        for parent in made[1:]:
            os.rmdir(parent)


def _result(task: Task[Any], run: str) -> dict[str, Any]:
    work = os.path.join(task.state_directory, "work")
    progress = Progress(_progress(task))
    try:
        with contextlib.suppress(OSError):
            os.unlink(work)  # a link: what it leads to is not ours
        shutil.rmtree(work, ignore_errors=True)
        sweep(task.state_directory)
        private_directory(work)
        os.chdir(work)
        ResultFile(task.state_directory).reserve()
        progress.start()
        return {"run": run, "outcome": vars(task.copy(progress))}
    except BaseException as failed:
        return _failed(run, failed)
    finally:
        progress.stop()
        os.chdir("/")
        shutil.rmtree(work, ignore_errors=True)


def _failed(run: str, failure: BaseException) -> dict[str, Any]:
    """The result of a copy that raised this."""
    if isinstance(failure, OSError):
        failure = StandbyError(of_os_error(failure), exception=traceback.format_exc())
    elif not isinstance(failure, StandbyError):
        refusal = Refusal(
            "copy_failed",
            f"The copy failed: {failure!r}. An unfinished copy cannot be started.",
            "report this traceback",
        )
        failure = StandbyError(refusal, exception=traceback.format_exc())
    return {"run": run, "error": failure.as_record()}


def _send(writer: int, result: dict[str, Any]) -> bool:
    """Tell the result to the process that started this one; whether that process is still there."""
    return _tell(writer, json.dumps(result).encode())


def _tell(writer: int, line: bytes) -> bool:
    text = line + b"\n"
    with contextlib.suppress(BrokenPipeError):
        while text:
            text = text[os.write(writer, text) :]
        return True
    return False


def _progress(task: Task[Any]) -> str:
    return os.path.join(task.state_directory, "progress.json")
