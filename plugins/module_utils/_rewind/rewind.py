# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a cluster that has diverged a standby of the upstream with pg_rewind.

The order is the safety, as in a copy: the record first, then the data directory is closed, a mode with which
no server starts; pg_rewind, the standby signal, what was this host's own, a sync of every file system; and only
then the directory is opened again. Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from ansible_collections.pgfleet.standby.plugins.module_utils import _files
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import (
    boot_id,
    fsync_directory,
    private_directory,
    read_small,
    write_atomically,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData, DataDir, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect, require_stopped
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import holding, require_lockable
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.marks import Marked
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.paths import paths
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import home_directories, linked_directories
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import now, save_state
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.sync import FileSystems
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.files import calm, stand_by
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind import divergence as _divergence
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.divergence import Relation
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.failures import complaint, helps
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.feasibility import (
    RewindProof,
    own_history,
    prove_rewind,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.host_files import HostFiles, host_file_names
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.pg_rewind import pg_rewind
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import refusals

__all__ = [
    "RewindTask",
    "Rewindable",
    "Rewound",
    "require_rewindable",
    "require_stopped_cluster",
    "rewind",
]

# PostgreSQL refuses a data directory with any right for others (miscinit.c, checkDataDir; the same from 12 to 18).
# This right gives nobody anything, for others may not search the directory. pg_rewind takes the modes for what it
# makes from the group's rights, which stay (file_perm.c, SetDataDirectoryCreatePerm).
_CLOSED = 0o002

_RIGHTS = 0o750

# What pg_rewind may bring from an upstream that is a standby itself.
_OTHER_SIGNALS = ("recovery.signal", "recovery.conf", "promote")

_DELTA = "bring it to a backup's state by a copy with overwrite=same_cluster"


@dataclass(frozen=True)
class RewindTask:
    """Which cluster to rewind to which upstream.

    ``keywords`` are those of an SQL login; ``timeout`` is for how many seconds pg_rewind's dry run may do nothing.

    ``restore_command`` fetches WAL that the directory no longer holds, from PostgreSQL 15 on.
    """

    data_directory: str
    state_directory: str
    bindir: str
    keywords: Mapping[str, str]
    upstream: Upstream
    timeout: float = 3600
    restore_command: str | None = None


@dataclass(frozen=True)
class Rewindable:
    """What was found before any change: the directory, how it stands to the upstream, and that it can be rewound.

    ``kept`` are this host's own files in it, which a rewind leaves as they are.
    """

    pgdata: DataDir
    relation: Relation
    proof: RewindProof
    kept: tuple[str, ...]


@dataclass(frozen=True)
class Rewound:
    """What a rewind did, in ``seconds`` of wall-clock time; before that, what it would do.

    The histories part at ``fork``, a position on ``timeline``; ``reason`` says how. ``bytes`` had to be copied.
    ``after`` is in words what the directory is then. ``kept`` are this host's own files, which are as they were;
    ``left_behind`` directories of tablespaces that the upstream does not have. ``restarts`` is how often its process
    was started again.
    """

    timeline: int
    fork: int
    reason: str
    bytes: int
    after: str
    kept: tuple[str, ...]
    seconds: float = 0.0
    left_behind: tuple[str, ...] = ()
    restarts: int = 0

    @classmethod
    def planned(cls, task: RewindTask, found: Rewindable) -> Rewound:
        """What a rewind of what was found would do."""
        upstream, proof = task.upstream, found.proof
        after = (
            f"it is a standby of {upstream.host}:{upstream.port} on timeline {upstream.timeline}, still to be started"
        )
        return cls(proof.timeline, proof.fork, found.relation.reason, proof.bytes, after, found.kept)


def _is_closed(path: str) -> bool:
    """Whether a data directory has a mode with which no server starts: a rewind that did not end left it."""
    return bool(os.stat(path).st_mode & _CLOSED)


def require_stopped_cluster(pgdata: DataDir) -> None:
    """That there is something to rewind, before anybody is asked for more. Raises StandbyError."""
    require_stopped(pgdata)
    if pgdata.control is None:
        raise StandbyError(
            Refusal(
                "rewind_impossible",
                f"{pgdata.path} holds no complete cluster to rewind, it is {pgdata.state}. Nothing was changed.",
                "correct data_directory, or clone it from a backup",
            ),
            reasons=[f"it is {pgdata.state}"],
        )
    if _is_closed(pgdata.path) and (pgdata.clone or {}).get("phase") == "rewinding":
        raise StandbyError(
            Refusal(
                "rewind_unfinished",
                f"The rewind of {pgdata.path} that began at {(pgdata.clone or {}).get('at')} did not end. No server"
                " starts"
                " on the directory, and it cannot be rewound again.",
                _DELTA,
            )
        )


def require_rewindable(task: RewindTask) -> Rewindable:
    """Everything that can refuse, pg_rewind's own dry run included. Changes nothing. Raises StandbyError."""
    for path in (task.data_directory, os.path.realpath(task.data_directory)):
        for refusal in refusals(paths(path, {}, home_directories())):
            raise StandbyError(refusal)
    if task.timeout <= 0:
        raise StandbyError(Refusal("option_out_of_range", f"timeout={task.timeout:g} is less than 1.", "correct it"))
    require_lockable(task.state_directory)
    pgdata, how = _judged(task)
    proof = prove_rewind(pgdata, task.keywords, task.bindir, task.upstream, task.timeout, task.restore_command)
    if proof.reasons:
        raise _impossible(task, proof.reasons)
    return Rewindable(pgdata, how, proof, host_file_names(task.data_directory))


def rewind(task: RewindTask, rewindable: Rewindable, progress: Progress | None = None) -> Rewound:
    """Rewind the cluster; afterwards it is a standby that has to be given its recovery settings and started.

    ``rewindable`` is what ``require_rewindable`` has found. ``progress`` is told how far pg_rewind has come. Raises
    StandbyError; then nothing was changed, or no server starts on the directory and a copy by delta mends it. Who calls
    it holds the lock ``runner`` of the state directory.
    """
    began = time.monotonic()
    private_directory(task.state_directory)
    linked = linked_directories(task.data_directory)
    with _writing_alone(task) as lock, FileSystems([task.state_directory, task.data_directory, *linked]) as disks:
        with _closed(task, rewindable) as mode:
            places = (os.path.join(task.state_directory, "own"), os.path.join(task.state_directory, "own.moved"))
            own = HostFiles(task.data_directory, *places)
            own.set_aside()
            with own.returned_on_failure():
                disks.sync()
        with _undisturbed():
            with own.returned_on_failure():
                _run(task, rewindable, lock, own, progress)
            _finish(task.data_directory, own, cast(int, rewindable.pgdata.major))
            disks.make_durable()
            _set_mode(task.data_directory, mode & _RIGHTS)
            _record(task, rewindable.pgdata, "committed")
            own.forget()
    return replace(
        Rewound.planned(task, rewindable),
        seconds=time.monotonic() - began,
        kept=tuple(sorted(own.names)),
        left_behind=tuple(sorted(linked - linked_directories(task.data_directory))),
    )


def _judged(task: RewindTask) -> tuple[DataDir, Relation]:
    """The directory, if it is a stopped cluster that has diverged. Raises StandbyError."""
    pgdata = inspect(task.data_directory, task.state_directory)
    require_stopped_cluster(pgdata)
    control = cast(ControlData, pgdata.control)
    where, host = pgdata.path, task.upstream.host
    if control.system_identifier != task.upstream.system_identifier:
        raise StandbyError(
            Refusal(
                "system_identifier_differs",
                f"{where} has system identifier {control.system_identifier}, the upstream {host} has"
                f" {task.upstream.system_identifier}: they are different clusters. Nothing was changed.",
                "correct data_directory or upstream_conninfo",
            )
        )
    how = _divergence.of_stopped(pgdata, task.upstream, own_history(pgdata))
    if how.kind == "behind":
        raise StandbyError(
            Refusal(
                "not_diverged",
                f"{where} has not diverged from {host}: {how.reason}. Nothing was changed.",
                "give it recovery settings and start it as a standby",
            )
        )
    if how.kind != "diverged":
        raise _impossible(task, [how.reason])
    return pgdata, how


def _impossible(task: RewindTask, reasons: Iterable[str]) -> StandbyError:
    told = list(reasons)
    said = told[0] if len(told) == 1 else " ".join(f"({n}) {reason}." for n, reason in enumerate(told, 1))[:-1]
    return StandbyError(
        Refusal(
            "rewind_impossible",
            f"pg_rewind cannot make {task.data_directory} a standby of {task.upstream.host}: {said}."
            " Nothing was changed.",
            f"mend what is named, or {_DELTA}",
        ),
        reasons=told,
    )


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no SIGTERM end it: what is half rewound only a copy mends. Who wants that has to end pg_rewind itself."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _writing_alone(task: RewindTask) -> Iterator[int]:
    """Neither a copy nor another rewind writes meanwhile; pg_rewind inherits the lock and holds it to its end."""
    busy = StandbyError(
        Refusal(
            "clone_running",
            f"A copy into {task.data_directory} or another rewind is running. Nothing was changed.",
            "wait for it, or end it, then run again",
        )
    )
    with holding(os.path.join(task.state_directory, "lock"), busy) as held:
        yield held


@contextlib.contextmanager
def _closed(task: RewindTask, rewindable: Rewindable) -> Iterator[int]:
    """Close the directory; gives the mode that it had. What fails inside has changed nothing: it is opened again."""
    path, record = task.data_directory, os.path.join(task.state_directory, "state.json")
    before = read_small(record)
    mode = os.stat(path).st_mode & 0o7777
    _record(task, rewindable.pgdata, "rewinding")
    try:
        _set_mode(path, mode | _CLOSED)
        # From here on no server starts; one that did a moment ago, or ran and ended, is seen now.
        pgdata = inspect(path, task.state_directory)
        require_stopped(pgdata)
        if pgdata.control != rewindable.pgdata.control:
            raise StandbyError(
                Refusal(
                    "server_running",
                    f"{path} was changed by a server while it was looked at.",
                    "keep it stopped, then run again",
                )
            )
        yield mode
    except BaseException:
        _set_mode(path, mode)
        if before is None:
            os.unlink(record)
        else:
            write_atomically(record, before)
        raise


def _run(task: RewindTask, rewindable: Rewindable, lock: int, own: HostFiles, progress: Progress | None) -> None:
    """Let pg_rewind do it. Raises StandbyError; then it is not known what pg_rewind has changed."""
    pgdata = rewindable.pgdata
    done = pg_rewind(pgdata, task.keywords, task.bindir, task.restore_command, progress, inherited=(lock,))
    if done.rc != 0:
        step = helps(done.lines)
        raise StandbyError(
            Refusal(
                "rewind_failed",
                f"pg_rewind of {pgdata.path} to {task.upstream.host} failed: {complaint(done.lines)}. The directory"
                " may be"
                " neither what it was nor what it should be, and no server starts on it. The host's own configuration"
                " is"
                f" in {own.place}.",
                f"{step}; then {_DELTA}" if step else _DELTA,
            ),
            rc=done.rc,
            output=list(done.lines[-20:]),
        )


def _finish(top: str, own: HostFiles, major: int) -> None:
    """What makes the files a standby's on this host. Raises StandbyError."""
    mode = os.stat(os.path.join(top, "PG_VERSION")).st_mode & 0o777
    stand_by(top, major, mode)
    for name in _OTHER_SIGNALS:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(top, name))
    own.put_back()
    calm(top, major, mode)
    slots = os.path.join(top, "pg_replslot")
    if os.path.isdir(slots) and not os.path.islink(slots):
        _files.empty(slots)  # a primary's slots would keep WAL for ever


def _set_mode(path: str, mode: int) -> None:
    """Give the data directory a mode, durably. Raises StandbyError."""
    try:
        os.chmod(path, mode)
        fsync_directory(path)
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "directory_not_writable",
                f"Cannot change the mode of {path} to {mode:o}: {failed.strerror}.",
                "give it to the database's OS user",
            )
        ) from failed


def _record(task: RewindTask, pgdata: DataDir, phase: str) -> None:
    """Write down how far the rewind is. The record of a clone of ours keeps its backup: the clone is still ours."""
    state: dict[str, Any] = pgdata.clone or {}
    same = state.get("data_directory") == task.data_directory and state.get("phase") == "committed"
    linked = sorted(linked_directories(task.data_directory))
    now_known: dict[str, Any] = {
        "phase": phase,
        "digest": None,
        "system_identifier": task.upstream.system_identifier,
        "boot_id": boot_id(),
        "left_behind": [],
        "at": now(),
        "data_directory": task.data_directory,
        "targets": linked,
    }
    if phase == "rewinding":
        now_known["marked"] = Marked.of(None, {path: path for path in (task.data_directory, *linked)}).noted
    save_state(task.state_directory, **{"backup_id": None, "server": None, **(state if same else {}), **now_known})
