# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a running upstream's files into a data directory by pg_basebackup.

It fills the nested directories with the WAL that the copy needs, which stays. It cannot go on where it stopped: after
an interruption everything is removed and fetched anew. Private to the collection.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import require_none_in_place
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.external_fill import Filler, FillResult
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.holding_directory import HoldingDirectory
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.pg_basebackup_options import command
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.pg_basebackup_run import (
    credentials,
    require_no_secret_key,
    run,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Tablespace
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import require_pg_basebackup

__all__ = ["BaseBackup"]


@dataclass(frozen=True)
class BaseBackup(Filler):
    """One pg_basebackup: the login, the slot that it and then the standby streams by, and checked options."""

    BESIDE = ("pg_wal",)
    NEXT = "check disk and memory here, and that nothing else writes there, then run again"

    keywords: Mapping[str, str]
    slot_name: str | None = None
    options: tuple[str, ...] = ()

    def name(self, job: Job) -> str:
        """One that no other run has: the upstream may have removed the WAL that comes after what an earlier one has."""
        return uuid.uuid4().hex

    def require(self, job: Job) -> None:
        """It has to be there, know its options, and need no secret but a password. Raises StandbyError."""
        require_pg_basebackup(job.target.bindir, self.options)
        require_no_secret_key(self.keywords)

    def roots(self, job: Job) -> tuple[Root, ...] | None:
        """Only the upstream knows, until it is there."""
        return None

    def fill(self, job: Job, holding: HoldingDirectory, lock: int, progress: Progress) -> FillResult:
        """Run it to its end; its estimate is the upstream's. Raises StandbyError."""
        program = require_pg_basebackup(job.target.bindir, self.options)
        mapping = {one.location: holding.tablespaces[one.oid] for one in job.backup.tablespaces}
        with credentials(self.keywords, os.getcwd()) as (conninfo, environment):
            limit = job.transfer.bwlimit
            argv = command(program, holding.data, conninfo, mapping, holding.wal, self.slot_name, limit, self.options)
            run(argv, environment, progress, [lock])
        return FillResult(_known_by_oid(job, holding))


def _known_by_oid(job: Job, holding: HoldingDirectory) -> Job:
    """The job with all tablespaces that pg_basebackup has written, after their links, which ``finish`` makes again.

    One that the upstream did not tell of, or that was made meanwhile, is where its link leads. Raises StandbyError for
    one that has no link because it is in place: it would be removed as something that does not belong there.
    """
    places = {os.path.normpath(place): holding.targets[oid] for oid, place in holding.tablespaces.items()}
    names = {tablespace.oid: tablespace.name for tablespace in job.backup.tablespaces}
    links = os.path.join(holding.data, "pg_tblspc")
    targets: dict[int, str] = {}
    for name in sorted(os.listdir(links)):
        link = os.path.join(links, name)
        if name.isdecimal() and os.path.islink(link):
            place = os.path.normpath(os.readlink(link))
            targets[int(name)] = places.get(place, place)
            os.unlink(link)
        elif name.isdecimal():
            targets[int(name)] = f"pg_tblspc/{name}"
    wal = os.path.join(holding.data, "pg_wal")
    if job.target.waldir is not None and os.path.islink(wal):
        os.unlink(wal)
    tablespaces = tuple(Tablespace(names.get(oid, str(oid)), oid, place) for oid, place in targets.items())
    require_none_in_place(job.backup.backup_id, tablespaces)
    return replace(
        job,
        backup=replace(job.backup, tablespaces=tablespaces),
        target=replace(job.target, tablespaces=targets),
    )
