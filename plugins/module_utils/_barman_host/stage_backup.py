# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup that Barman alone can unpack, restored once on the Barman host, as a plain backup for all who copy it.

``stage_backup``, ``unstage_backup`` and ``preview_staging`` are sent to the Barman host and run there, each as one
program; the first two work under one lock. Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.claim_records import (
    Record,
    record_of,
    records,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.claims import Claims, claims_of, renewed
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.restore_options import (
    bytes_needed,
    options,
    own_name,
    refusal,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.restored_files import undo_restore_changes
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.processes import uses_below
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import boot_id, nearest_existing
from ansible_collections.pgfleet.standby.plugins.module_utils._model import LANDMARKS, backup_from

__all__ = ["preview_staging", "stage_backup", "sweep_staged", "unstage_backup"]

_RELEASE_SECONDS = 3600

_DIRECTORY = "pgfleet-staging"

_COMBINES = "pg_combinebackup"


def stage_backup(request: Mapping[str, Any]) -> dict[str, Any]:
    """Claim a staged backup; if it is not there, restore it first. Raises StandbyError; nothing half-made is left."""
    staged = _Staged(request)
    if request["only_look"]:
        if not staged.whole:
            staged.require_possible()
        return staged.answer(staged.uses(), changed=staged.owner not in staged.uses().claims)
    with staged.record.locked(request["seconds"]) as lock:
        uses = staged.uses()
        restored = not staged.whole
        if restored:
            staged.make(uses, lock)
        claims = {**uses.claims, staged.owner: time.time() + request["seconds"]}
        staged.write(claims, whole=True)
    sweep_staged(os.path.dirname(staged.source))
    return staged.answer(Claims(claims), changed=restored or staged.owner not in uses.claims, restored=restored)


def preview_staging(request: Mapping[str, Any]) -> dict[str, Any]:
    """Where Barman would unpack a backup, and where pg_combinebackup is. Raises StandbyError if Barman cannot."""
    staged = _Staged(request)
    _version, bindir = staged.require_able()
    return {"top": os.path.dirname(staged.place), "bindir": bindir}


def unstage_backup(request: Mapping[str, Any]) -> dict[str, Any]:
    """Give a claim up, and remove a staged backup without claims. Raises StandbyError."""
    staged = _Staged(request)
    uses = staged.uses()
    claims = {owner: expires for owner, expires in uses.claims.items() if owner != staged.owner}
    changed = staged.owner in uses.claims
    if not request["only_look"] and staged.record.read():
        with staged.record.locked(_RELEASE_SECONDS):
            claims = {owner: expires for owner, expires in staged.uses().claims.items() if owner != staged.owner}
            if claims:
                staged.write(claims, whole=staged.whole)
            else:
                staged.remove()
        sweep_staged(os.path.dirname(staged.source))
    return {"changed": changed, "claims": claims}


class _Staged:
    """A backup's place below the staging directory, and its record."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = request
        self.owner = str(request["owner"])
        self.backup = backup_from(request["backup"])
        self.source = os.path.realpath(str(self.backup.directory))
        self.barman = Barman.on_its_host(request["barman"])
        self.record = record_of("stage", self.barman.server, self.source)
        self.free = 0
        self.needed = 0
        self._wanted: str | None = None

    def uses(self) -> Claims:
        return renewed(self.record.read(), time.time(), lambda: uses_below(self.place))

    @property
    def place(self) -> str:
        """Where the staged backup is, or would be. The first host that claimed it has chosen the place."""
        found = self.record.read().get("staging")
        if found is None and self._wanted is None:
            top = self.request["directory"] or os.path.join(self.barman.backup_directory(), _DIRECTORY)
            self._wanted = os.path.join(top, own_name(self.barman.server, self.backup.backup_id))
        return str(found or self._wanted)

    @property
    def whole(self) -> bool:
        """Whether the staged backup is complete: a run has ended, and this host was not started again since."""
        found = self.record.read()
        return bool(found.get("whole")) and found.get("boot") == boot_id() and os.path.isdir(self.place)

    def answer(self, uses: Claims, changed: bool, restored: bool = False) -> dict[str, Any]:
        return {
            "directory": self.place,
            "needed": self.needed,
            "free": self.free,
            "claims": uses.claims,
            "restored": restored,
            "changed": changed,
        }

    def write(self, claims: Mapping[str, float], whole: bool) -> None:
        self.record.write(
            {
                "server": self.barman.server,
                "directory": self.source,
                "staging": self.place,
                "whole": whole,
                "boot": boot_id(),
                "claims": claims,
            }
        )

    def remove(self) -> None:
        """The directory first: what is left half way is still on record."""
        if self.record.read():
            _remove(self.place)
            top = os.path.dirname(self.place)
            if os.path.basename(top) == _DIRECTORY:
                with contextlib.suppress(OSError):
                    os.rmdir(top)
            self.record.remove()

    def require_possible(self) -> tuple[tuple[int, ...], str | None]:
        """The same as ``require_able``, if nothing is in the way. Raises StandbyError, before anything changes."""
        if not self.record.read() and os.path.lexists(self.place):
            raise StandbyError(
                Refusal(
                    "staging_exists",
                    f"{self.place} exists on {self.barman.shell.where}, and is not on record as made for backup"
                    f" {self.backup.backup_id}. Nothing was changed.",
                    "look at it and remove it, or choose another staging_directory",
                )
            )
        return self.require_able()

    def require_able(self) -> tuple[tuple[int, ...], str | None]:
        """Barman's version and where pg_combinebackup is. Raises StandbyError, before anything changes."""
        version = self.barman.version()
        why = refusal(self.backup, version, self.place, self.barman.shell.where)
        if why is not None:
            raise why
        bindir = self._combining() if self.backup.type == "incremental" else None
        self._require_room(version)
        return version, bindir

    def _require_room(self, version: tuple[int, ...]) -> None:
        top = nearest_existing(self.place)
        status = os.statvfs(top)
        self.free, self.needed = status.f_bavail * status.f_frsize, bytes_needed(self.backup, version)
        if self.needed > self.free:
            raise StandbyError(
                Refusal(
                    "staging_space",
                    f"To stage backup {self.backup.backup_id}, {self.needed} bytes are needed below {top} on the Barman"
                    f" host, and {self.free} are free. Nothing was changed.",
                    "make room there, or choose a staging_directory on another file system",
                )
            )

    def _combining(self) -> str:
        """The directory of pg_combinebackup of the backup's major version. Raises StandbyError."""
        major = self.backup.major
        known = [f"/usr/lib/postgresql/{major}/bin", f"/usr/pgsql-{major}/bin", f"/opt/pgsql-{major}/bin"]
        seen = []
        for directory in [*os.environ.get("PATH", os.defpath).split(os.pathsep), *known]:
            program = os.path.join(directory, _COMBINES)
            if not os.access(program, os.X_OK):
                continue
            # pg_combinebackup (PostgreSQL) 18.6
            said = LocalShell().run([program, "--version"]).out.split()
            if [word.partition(".")[0] for word in said[2:3]] == [str(major)]:
                return directory
            seen.append(program)
        raise StandbyError(
            Refusal(
                "combinebackup_missing",
                f"Backup {self.backup.backup_id} is incremental, and the Barman host has no pg_combinebackup of"
                " PostgreSQL"
                f" {major} to combine it ({', '.join(seen) or 'none at all'}). Nothing was changed.",
                f"install the server or client programs of PostgreSQL {major} there, or choose another backup_id",
            )
        )

    def make(self, uses: Claims, lock: int) -> None:
        """Restore it. What a killed run has left half-made goes first. Raises StandbyError."""
        self.remove()
        version, bindir = self.require_possible()
        self.write({**uses.claims, self.owner: time.time() + self.request["seconds"]}, whole=False)
        try:
            os.makedirs(self.place, mode=0o700)
            self._restore(version, bindir, lock)
            undo_restore_changes(os.path.join(self.place, "data"), self.backup.backup_id)
            self._require_whole()
        except BaseException:
            self.remove()
            raise

    def _restore(self, version: tuple[int, ...], bindir: str | None, lock: int) -> None:
        work = os.path.join(self.place, "work")
        os.mkdir(work, 0o700)
        # A Barman that outlives us keeps the lock until it has ended.
        barman = self.barman.holding(lock)
        path = None if bindir is None else os.pathsep.join([bindir, os.environ.get("PATH", os.defpath)])
        wanted = options(self.backup, version, self.place, work)
        target = (self.backup.backup_id, os.path.join(self.place, "data"))
        barman.restore(wanted, target, path, self.request["seconds"])
        shutil.rmtree(work)

    def _require_whole(self) -> None:
        """Whether it is a whole cluster. Raises StandbyError."""
        missing = [name for name in LANDMARKS if not os.path.exists(os.path.join(self.place, "data", name))]
        if missing:
            raise StandbyError(
                Refusal(
                    "backup_files_missing",
                    f"Barman restored backup {self.backup.backup_id} without {', '.join(missing)}.",
                    "choose another backup_id, and look at this one with `barman verify-backup`",
                )
            )


def _remove(directory: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)


def sweep_staged(directory: str) -> None:
    """Remove staged backups of this directory whose last claim has expired: the runs that claimed them were killed."""
    for record in records("stage"):
        with contextlib.suppress(StandbyError, OSError):
            found = record.read()
            same = os.path.dirname(str(found.get("directory"))) == directory
            if same and not claims_of(found, time.time()).claims:
                with record.locked(0):
                    _sweep_one(record)


def _sweep_one(record: Record) -> None:
    """Remove what is staged, if no claim counts: one that has expired does while somebody still reads."""
    found = record.read()
    if found and not renewed(found, time.time(), lambda: uses_below(str(found["staging"]))).claims:
        _remove(str(found["staging"]))
        record.remove()
