# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every method of filling a data directory begins with: alone, on record, and with nothing there that starts.

The order is the safety: the record comes first. Then a cluster that is there is renamed aside, or its
``global/pg_control`` goes. Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.detached import Running, Task, follow
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.holding_directory import HoldingDirectory
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job, Result, Target
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import (
    Permit,
    inspect_target,
    permit,
    require_place,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.target_locks import TargetLocks, locked_targets
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import (
    boot_id,
    empty,
    fsync_directory,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect, require_stopped
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.keep_old import (
    KeepOldPlan,
    rename_aside,
    still_to_keep,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock, holding
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.marks import Marked, recorded
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import linked_directories, spool_of
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import now, save_state

__all__ = ["CloneRun", "clone_detached", "exclusively"]


def exclusively(job: Job, progress: Progress, work: Callable[[CloneRun, int], Result]) -> Result:
    """Have ``work`` fill the data directory, unless it holds this copy already.

    The programs of a copy that was killed end by themselves; this one begins when they have. ``work`` is given the run
    with its permit, which is asked for here and nowhere later, and the lock that the programs that it starts are to
    inherit. Raises StandbyError.
    """
    began = time.monotonic()
    require_place(job.target, job.method)
    path = os.path.join(job.target.state_directory, "lock")
    if Lock.holder(path) is not None:
        progress.enter("waiting")
    places = [job.target.data_directory, *job.target.places_outside]
    with holding(path, _still_writing(job.target), job.target.lock_timeout) as lock, locked_targets(places) as locks:
        run = CloneRun(job, _permitted(job), progress, began, locks)
        if run.permit.action == "none":
            _complete_record(job, run.permit.pgdata)
            return run.result("none")
        return work(run, lock)


def clone_detached(
    job: Job, copy: Callable[[Job, Progress], Result], seconds: float | None = None, run: str | None = None
) -> Result | Running:
    """Have ``copy`` do the job in a process of its own, or attach to the one that does, as ``follow`` tells."""
    task = Task(job.target.state_directory, job.identity, partial(_require_permit, job), partial(copy, job), Result)
    return follow(task, seconds, run)


def _require_permit(job: Job) -> None:
    """Raises StandbyError if the copy may do nothing. The permit that counts is asked for after the lock."""
    require_place(job.target, job.method)
    _permitted(job)


def _permitted(job: Job) -> Permit:
    return permit(job.backup, job.target, job.consent, inspect_target(job.target))


def _still_writing(target: Target) -> StandbyError:
    return StandbyError(
        Refusal(
            "clone_running",
            f"Processes of an earlier copy still write into {target.data_directory} after"
            f" {target.lock_timeout:g} seconds.",
            "look for rsync among the processes and end it",
        )
    )


def _complete_record(job: Job, pgdata: DataDir) -> None:
    """A run that was killed between the last rename and its record."""
    state = pgdata.clone or {}
    if state.get("phase") == "committing":
        recorded(state).take_away()
        HoldingDirectory(job.target.data_directory, job.target.tablespaces, "", job.target.waldir).remove()
        noted = {name: state.get(name, []) for name in ("left_behind", "kept_old")}
        _record(job, "committed", state.get("digest"), **noted)


def _record(
    job: Job, phase: str, name: str | None, left_behind: Iterable[str] = (), boot: str | None = None, **more: Any
) -> None:
    """Write down where the copy stands; ``boot`` is the one since which its files are on the disk, by default this."""
    save_state(
        job.target.state_directory,
        phase=phase,
        digest=name,
        system_identifier=job.backup.system_identifier,
        boot_id=boot_id() if boot is None else boot,
        left_behind=list(left_behind),
        at=now(),
        **more,
        **job.identity,
    )


class CloneRun:
    """One copy from its permit to its result, and what it writes down meanwhile.

    ``places`` are all directories that it writes. ``began`` is when it began, by the monotonic clock.
    """

    def __init__(self, job: Job, permitted: Permit, progress: Progress, began: float, locks: TargetLocks) -> None:
        self.job = job
        self.permit = permitted
        self.places = [job.target.data_directory, *job.target.places_outside]
        self._progress = progress
        self._began = began
        self._locks = locks
        self._left_behind: tuple[str, ...] = ()
        self._guard = threading.Lock()
        self._distrusted = False
        self._marked = Marked(None)

    def begin(self, name: str | None) -> None:
        """From here on no server starts on the directory until the copy is committed. Raises StandbyError.

        ``name`` is that of the copy if what an earlier run has left is known for a part of it. pg_control goes before
        the directory gets the right modes: a wrong one is what keeps a server from starting on a directory that
        pg_rewind has left half way.
        """
        self._note_left_behind(self.permit.pgdata.clone or {})
        if self.permit.keep_plan is not None:
            self._keep(self.permit.keep_plan)
        self._locks.make()  # what was kept has taken the directories that were locked with it
        self._mark(name)
        if self.permit.action in ("delta", "replace"):
            self._remove_control()
        self._empty_spool()

    def result(self, action: str, files: int = 0, size: int = 0, sent: int = 0, **of_method: Any) -> Result:
        """The result of the copy, with what only the method knows: ``sent`` bytes of ``size``, and ``of_method``."""
        return Result(
            action,
            files,
            size,
            sent,
            seconds=time.monotonic() - self._began,
            retries=self._progress.retries,
            before=self.permit.before,
            kept_old=self.permit.kept_old,
            left_behind=self._left_behind,
            **of_method,
        )

    def record(self, phase: str, name: str | None, **more: Any) -> None:
        """Write down where the copy stands. What is committed needs no marks, and they go before that is written."""
        with self._guard:
            if phase == "committed":
                self._marked.take_away()
            else:
                more["marked"] = self._marked.noted
            boot = "" if self._distrusted else None
            _record(self.job, phase, name, self._left_behind, boot, kept_old=list(self.permit.kept_old), **more)

    def distrust(self, name: str) -> None:
        """A disk has failed: size and time of what was written prove no more than after a crash.

        That stays so for as long as this run lives, whatever else it records, and for the next run.
        """
        self._distrusted = True
        with contextlib.suppress(OSError, StandbyError):  # the record may be on that disk
            self.record("copying", name)

    @contextlib.contextmanager
    def distrust_on_disk_error(self, name: str) -> Iterator[None]:
        """The same, should a program find meanwhile that a disk has failed."""
        try:
            yield
        except StandbyError as failure:
            if failure.code == "disk_error":
                self.distrust(name)
            raise

    def _note_left_behind(self, state: dict[str, Any]) -> None:
        """The links that tell of them go with the first run; what it noted counts for those that resume it.

        An unfinished copy of other places leaves those, too.
        """
        places = linked_directories(self.job.target.data_directory)
        if state.get("phase") in ("keeping", "copying"):
            noted = [*state.get("left_behind", ()), *filter(os.path.isdir, state.get("targets", ()))]
            places.update(map(os.path.realpath, noted))
        inside = os.path.join(os.path.realpath(self.job.target.data_directory), "")
        left = places - set(map(os.path.realpath, self.places))
        self._left_behind = tuple(sorted(path for path in left if not path.startswith(inside)))

    def _mark(self, name: str | None) -> None:
        """Make the directories known as this run's, so that no later run takes something else for an unfinished copy.

        The record comes first: without a mark it gives no right to anything. A run that goes on keeps the name that
        the marks have. A directory that is there keeps its mode until no server can start on it.
        """
        earlier = recorded(self.permit.pgdata.clone or {}).run if self.permit.action == "resume" else None
        self._marked = Marked.of(earlier or uuid.uuid4().hex, {place: place for place in self.places})
        self.record("copying", name)
        self._marked.put()

    def _keep(self, keep_plan: KeepOldPlan) -> None:
        """With the data directory, which is the first, the old cluster goes out of every starter's reach."""
        if self.permit.action == "resume":
            keep_plan = still_to_keep(keep_plan, self.permit.pgdata.clone or {})
        # An interrupted run may have renamed a part, and a server may have been started on that part since.
        require_stopped(inspect(keep_plan.kept[0], self.job.target.state_directory))
        now_at = {source: target if os.path.lexists(target) else source for source, target in keep_plan.moves}
        self._marked = Marked.of(None, now_at)
        self.record("keeping", None, **keep_plan.record)
        rename_aside(keep_plan)

    def _empty_spool(self) -> None:
        """What restore_command has fetched ahead was for the cluster that was there, and has the same names."""
        spool = spool_of(self.job.target.state_directory)
        if os.path.islink(spool):
            os.unlink(spool)
        elif os.path.isdir(spool):
            empty(spool)

    def _remove_control(self) -> None:
        control = os.path.join(self.job.target.data_directory, CONTROL)
        directory = os.path.dirname(control)
        # What a link leads to is not ours to change; without the link there is no pg_control here either.
        gone = directory if os.path.islink(directory) else control
        if os.path.lexists(gone):
            os.unlink(gone)
            fsync_directory(os.path.dirname(gone))
