# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight asks if a backup is to be copied, as it is or after Barman has restored it.

Private to the collection.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._at_once import at_once
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Root
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import backup as _backup
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import configuration_facts as _configuration_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import space as _space
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import space_facts as _space_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import roots as _roots
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import (
    require_empty_targets,
    require_wal_stays,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.removals import (
    require_no_mount_point_inside,
    unremovable,
    unremovable_whole,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import require_lockable
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import server_version
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import for_every_standby as _for_every_standby
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.case import Case
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.findings import Findings, ask, merged
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.questions import Questions
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.wal import check_wal
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.carried import bring
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.capabilities import probe
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem

__all__ = ["check_removals", "check_space", "check_targets", "examine", "sizes"]


def examine(case: Case, questions: Questions) -> Findings:
    """Everything that can stop a copy of a backup, and what the copy would bring and remove."""
    job, upstream = case.job, case.upstream
    if job is None:
        return _no_backup(case)
    return merged(
        _of_backup(case, job),
        check_targets(case, job),
        _of_version(job),
        Findings(_backup.upstream(job.backup, upstream) if upstream is not None else ()),
        _staged(case, job, questions) if job.backup.staged else _plain(case, job, questions),
    )


def _no_backup(case: Case) -> Findings:
    """An error only if there is something to copy: a refusal has its own, and so has an upstream that is silent."""
    request = case.request
    refused = case.decision is not None and case.decision.action == "refuse"
    if request.basebackup is not None or refused:
        return Findings()
    none = Refusal("backup_missing", "A backup is needed, and none was given.", "choose one with barman_backup_info")
    return Findings((problem("backup", request.no_backup or none),))


def check_targets(case: Case, job: Job) -> Findings:
    """Whether a copy may write its notes, and directories of tablespaces and WAL hold only what the cluster has there.

    The cluster is the one that is to go.
    """
    pgdata = case.pgdata
    _nothing, no_notes = ask("state_directory", lambda: require_lockable(job.target.state_directory))
    if pgdata is None:
        return no_notes
    _nothing, occupied = ask("tablespaces", lambda: require_empty_targets(job.backup, job.target, pgdata))
    if case.action not in ("delta", "replace"):
        return merged(no_notes, occupied)
    _nothing, elsewhere = ask("waldir", lambda: require_wal_stays(job.backup, job.target, pgdata))
    return merged(no_notes, occupied, elsewhere)


def check_removals(case: Case, job: Job, roots: Sequence[Root] | None) -> Findings:
    """Whether all that would go can go, before anything does: of these trees, or of everything if they are None."""
    if case.action not in ("delta", "replace", "resume") and not _is_new(case):
        return Findings()  # nothing is removed: it is refused, or renamed aside
    if job.method == "rsync" and roots is not None:
        reasons, unread = ask("removals", lambda: unremovable(roots, case.action, job.target))
    else:
        reasons, unread = ask("removals", lambda: unremovable_whole(job.target))
    return merged(unread, Findings(tuple(problem("removals", reason) for reason in reasons or ())), _mounted(job))


def _is_new(case: Case) -> bool:
    return case.action == "clone" and case.pgdata is not None and case.pgdata.state in ("absent", "empty")


def _mounted(job: Job) -> Findings:
    """What another method than rsync cannot do."""
    if job.method == "rsync":
        return Findings()
    _nothing, inside = ask("removals", lambda: require_no_mount_point_inside(job.target, job.method))
    return inside


def _of_backup(case: Case, job: Job) -> Findings:
    checks = case.request.barman_checks
    of_barman = _backup.barman(checks) if checks is not None else []
    return Findings((*_backup.backup(job.backup, int(time.time())), *of_barman))


def _of_version(job: Job) -> Findings:
    version, missing = ask("version", lambda: server_version(job.target.bindir))
    if version is None:
        return missing
    return Findings(_backup.version(job.backup, version))


# --- a backup that is copied as it is ------------------------------------------------------


def _plain(case: Case, job: Job, questions: Questions) -> Findings:
    roots, unreadable = ask("backup", lambda: _roots.plan(job.barman_host, job.backup, job.target))
    if roots is None:
        return unreadable
    action = case.action if job.method == "rsync" or case.action == "clone" else "replace"
    room, of_room = ask("space", lambda: _space_facts.measure(roots, action))
    if room is not None:  # before all that would disturb what is measured
        of_room = _space_of_backup(case, job, roots, room, questions)
    places = case.configuration_places(job.target.bindir)
    host, backup = job.barman_host, job.backup
    read, invalid = ask("configuration", lambda: _configuration_facts.of_backup(host, backup, roots[0], places))
    rehearsal = _for_every_standby.Rehearsal(
        job.target.bindir, backup.major, None if roots[0].archive is not None else partial(bring, host, roots[0])
    )
    of_configuration = merged(invalid, _for_every_standby.check_configuration(case, read))
    new_files = room.files if room is not None else {}
    # Each of them waits for another: for rsync there, this host's server, the archive, the upstream.
    found = at_once(
        lambda: _of_rsync(job),
        lambda: check_removals(case, job, roots),
        lambda: of_room,
        lambda: _for_every_standby.check_start(case, questions, rehearsal, read, of_configuration),
        lambda: _of_wal(case, job, read, questions),
        lambda: _for_every_standby.check_compatibility(
            case, questions, job.target.bindir, backup.major, read, new_files
        ),
    )
    return merged(*found, Findings(plan={"files": sum(len(root.files) for root in roots), **sizes(roots)}))


def _of_wal(case: Case, job: Job, read: _configuration_facts.Configuration | None, questions: Questions) -> Findings:
    """Nothing if the backup's pg_control could not be read, which tells how large a segment is."""
    if read is None or read.control is None:
        return Findings()
    return Findings(check_wal(case.request, job.backup, read.control, case.upstream, questions))


def _of_rsync(job: Job) -> Findings:
    both_ends, failed = ask("rsync", lambda: probe(job.barman_host, job.transfer.compress))
    if both_ends is None:
        return failed
    can = ", ".join(both_ends.compressions)
    return Findings((Verdict("rsync", "ok", f"both ends have it; on the wire they can do {can}"),))


def _space_of_backup(
    case: Case, job: Job, roots: tuple[Root, ...], room: _space_facts.SpaceNeeded, questions: Questions
) -> Findings:
    """Whether the copy fits, and how long it may take."""
    rate = questions.rate(job.barman_host, roots)
    estimate = {
        "bytes_per_second": round(rate) if rate else None,
        "seconds": round(room.to_copy / rate, 1) if rate else None,
    }
    of_room = check_space(room, case.wal_to_replay)
    return merged(of_room, Findings(plan={"bytes_to_copy": room.to_copy, **estimate}))


def check_space(room: _space_facts.SpaceNeeded, wal_backlog: int) -> Findings:
    """Whether the copy fits beside the WAL that replay brings, and what goes to make room."""
    return Findings(
        _space.space(room.needed, room.available, wal_backlog),
        {
            "free_after": {name: room.available[name] - size for name, size in room.needed.items()},
            "removed": room.removed,
            "removed_names": room.removed_names,
        },
    )


def sizes(roots: Sequence[Root]) -> dict[str, Any]:
    """What is copied in all, and of which tablespaces. The first root is the data directory."""
    return {
        "bytes": sum(root.bytes for root in roots),
        "tablespaces": [
            {"name": root.name, "oid": root.oid, "location": root.target, "bytes": root.bytes} for root in roots[1:]
        ],
    }


# --- a backup that Barman has to restore first ---------------------------------------------


def _staged(case: Case, job: Job, questions: Questions) -> Findings:
    """Its files are there only when Barman has restored it; then this host is examined again, with them."""
    backup = job.backup
    size = backup.size or 0
    target = job.target
    free, failed = ask("space", lambda: _space_facts.of_whole(target.data_directory, target.places_outside))
    of_room = failed
    if free is not None:
        of_room = Findings(_space.space({target.data_directory: size}, {target.data_directory: free}, 0))
    tablespaces = [
        {"name": one.name, "oid": one.oid, "location": job.target.tablespaces[one.oid], "bytes": None}
        for one in backup.tablespaces
    ]
    return merged(
        Findings(_backup.staged(backup)),
        check_removals(case, job, None) if job.method != "rsync" else Findings(),
        of_room,
        Findings(plan={"staged": True, "bytes": size, "bytes_to_copy": size, "tablespaces": tablespaces}),
        _for_every_standby.check_compatibility(case, questions, job.target.bindir, backup.major, None),
    )
