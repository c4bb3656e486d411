# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a running upstream's files into a data directory by pg_basebackup, startable only when the copy is complete.

pg_basebackup fills nested directories, which no server looks for, with the WAL that the copy needs. What it has written
is held without its ``global/pg_control``, renamed into place, compared with its manifest, and committed as every copy.
It cannot go on where it stopped: after an interruption everything is removed and fetched anew.
Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ansible_collections.pgfleet.standby.plugins.module_utils import _tree
from ansible_collections.pgfleet.standby.plugins.module_utils._basebackup import command
from ansible_collections.pgfleet.standby.plugins.module_utils._basebackup_run import credentials, require_program, run
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import (
    Job,
    Outcome,
    count_files,
    describe,
    kept_before,
    look,
    may_copy,
    require_place,
    require_stopped,
    roots_of,
    to_keep,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commit import commit, finish
from ansible_collections.pgfleet.standby.plugins.module_utils._contents import (
    MANIFEST,
    Contents,
    contents_of,
    read_promises,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._datadir import private_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._inventory import Root
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir, Tablespace
from ansible_collections.pgfleet.standby.plugins.module_utils._nested import Nested
from ansible_collections.pgfleet.standby.plugins.module_utils._progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._shards import shards
from ansible_collections.pgfleet.standby.plugins.module_utils._syncing import Syncing
from ansible_collections.pgfleet.standby.plugins.module_utils._takeover import (
    Takeover,
    complete_record,
    writing_alone,
)

__all__ = ["BaseBackup", "copy", "preview"]

# The directory for the WAL among those of the tablespaces, whose oids are never zero.
_WAL = 0
# What an upstream that is a standby, or was made from a backup, has of its own.
_ITS_OWN = ("recovery.signal", "recovery.conf", "recovery.done", "tablespace_map", "backup_label.old")


@dataclass(frozen=True)
class BaseBackup:
    """How pg_basebackup is called: the login, the slot that it and then the standby streams by, and checked options."""

    keywords: Mapping[str, str]
    slot_name: str | None = None
    options: tuple[str, ...] = ()


def preview(job: Job, how: BaseBackup) -> Outcome:
    """What a copy would do; refuses as it would."""
    require_place(job)
    found = look(job)
    action = may_copy(job, found)
    if action is None:
        return Outcome("none", before=describe(found))
    require_program(job.bindir, how.options)
    keeping = to_keep(job, found)
    kept = keeping.kept if keeping else kept_before(found)
    return Outcome(_said(action), before=describe(found), kept_old=kept)


def copy(how: BaseBackup, job: Job, progress: Progress) -> Outcome:
    """Copy, verify and commit. The working directory is taken for what is needed meanwhile.

    Raises StandbyError; then nothing was changed, or the directory cannot be started and a new run begins anew.
    """
    began = time.monotonic()
    require_place(job)
    with writing_alone(job, progress) as lock:
        found = look(job)
        action = may_copy(job, found)
        if action is None:
            complete_record(job, found)
            return Outcome("none", seconds=time.monotonic() - began, before=describe(found))
        program = require_program(job.bindir, how.options)
        with credentials(how.keywords, os.getcwd()) as (conninfo, environment):
            copying = _Copy(job, progress)
            nested = copying.prepare(action, found)
            places = nested.tablespaces
            waldir = places.pop(_WAL, None)
            mapping = {one.location: places[one.oid] for one in job.backup.tablespaces}
            options = how.options
            argv = command(program, nested.data, conninfo, mapping, waldir, how.slot_name, job.bwlimit, options)
            with Syncing(copying.takeover.places) as syncing:
                progress.enter("copying")
                run(argv, environment, progress, [lock.fd])
                outcome = copying.complete(nested, syncing)
    return replace(
        outcome,
        action=_said(action),
        before=describe(found),
        seconds=time.monotonic() - began,
        kept_old=copying.takeover.kept_old,
        left_behind=copying.takeover.left_behind,
    )


def _said(action: str) -> str:
    """Nothing that is there is made use of."""
    return "clone" if action == "clone" else "replace"


class _Copy:
    """The part that changes things."""

    def __init__(self, job: Job, progress: Progress) -> None:
        self.job = job
        self.progress = progress
        self.takeover = Takeover(job, [job.data_directory, *job.places_outside])

    def prepare(self, action: str, found: DataDir) -> Nested:
        """Empty directories, and those for pg_basebackup in them. Raises StandbyError."""
        job = self.job
        require_stopped(look(job))
        self.takeover.begin(action, found, None)
        for place in self.takeover.places:
            private_directory(place)
            _tree.empty(place)
        places = {**job.targets, **({_WAL: job.waldir} if job.waldir else {})}
        nested = Nested(job.data_directory, places, uuid.uuid4().hex)
        nested.make()
        return nested

    def complete(self, nested: Nested, syncing: Syncing) -> Outcome:
        """Bring what was written into its place, make sure of it, and commit. Raises StandbyError."""
        self.job = job = _known_by_oid(self.job, nested)
        self.takeover.job = job
        nested.hold()
        nested.lift()
        for name in _ITS_OWN:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(job.data_directory, name))
        roots = roots_of(job, Nested(job.data_directory, job.targets, nested.run).entries())
        for root in roots:
            private_directory(root.target, root.directory_mode)
        contents, verified = self._verify(roots)
        try:
            finish(job)
            self.progress.enter("syncing")
            syncing.complete()
            self.progress.enter("committing")
            commit(job, nested.staging, contents, lambda phase: self.takeover.record(phase, None))
        finally:
            if contents is not None:
                contents.close()
        size = sum(root.bytes for root in roots)
        return Outcome("clone", count_files(roots), size, size, size, verified=verified)

    def _verify(self, roots: tuple[Root, ...]) -> tuple[Contents | None, str]:
        """Compare with the manifest that came with the files, where there is one. Raises StandbyError."""
        path = os.path.join(self.job.data_directory, MANIFEST)
        if self.job.verify == "none" or MANIFEST not in roots[0].files.paths:
            return None, "none"
        self.progress.enter("verifying")
        if self.job.verify == "size":
            read_promises(self.job.backup.backup_id, roots, path)
            return None, "size"
        contents = contents_of(self.job, roots, path)
        for root in roots:
            for shard in shards(root, range(len(root.files))):
                contents.check(shard)
        wrong = [f"{root.target}/{root.files.paths[position]}" for root, position in contents.differing()]
        if wrong:
            contents.close()
            raise StandbyError(
                f"The contents of {len(wrong)} files are not what pg_basebackup's manifest promises:"
                f" {', '.join(wrong[:5])}. A disk or memory here is damaged, or something else writes there. The"
                " directory cannot be started. Next: check disk and memory, then run again.",
                "manifest_mismatch",
                differences=wrong[:100],
            )
        return contents, "manifest"


def _known_by_oid(job: Job, nested: Nested) -> Job:
    """The job with all tablespaces that pg_basebackup has written, after their links, which ``finish`` makes again.

    One that the upstream did not tell of, or that was made meanwhile, is where its link leads.
    """
    places = {os.path.normpath(place): nested.targets[oid] for oid, place in nested.tablespaces.items()}
    names = {tablespace.oid: tablespace.name for tablespace in job.backup.tablespaces}
    links = os.path.join(nested.data, "pg_tblspc")
    targets: dict[int, str] = {}
    for name in sorted(os.listdir(links)):
        link = os.path.join(links, name)
        if name.isdecimal() and os.path.islink(link):
            place = os.path.normpath(os.readlink(link))
            targets[int(name)] = places.get(place, place)
            os.unlink(link)
    wal = os.path.join(nested.data, "pg_wal")
    if job.waldir is not None and os.path.islink(wal):
        os.unlink(wal)
    tablespaces = tuple(Tablespace(names.get(oid, str(oid)), oid, place) for oid, place in targets.items())
    return replace(job, targets=targets, backup=replace(job.backup, tablespaces=tablespaces))
