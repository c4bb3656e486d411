# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has now, seen from outside and asked from inside, as a decision needs to know it. Changes nothing.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.own_wal import end_of_own_wal
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.wal_proof import WalProof, prove
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.consent import admit_rewind, contents_of
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import without_password
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import parse_backup_label
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData, DataDir, Instance, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import is_ours
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import uncertain
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import find_bindir
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import readiness as _readiness
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import signs_of_use
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.local_server import ask_server, place_of
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import HostState
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind import divergence as _divergence
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.divergence import Relation
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.feasibility import own_history, reasons_impossible

__all__ = ["Observed", "WantedStandby", "observe"]


@dataclass(frozen=True)
class WantedStandby:
    """What the host is to be: a standby of this cluster, by this upstream, with this slot, at this level of consent.

    ``system_identifier`` is the backup's if ``has_backup``; None if Barman does not know it. ``barman`` has the WAL
    as well; None if only the upstream has it. Without ``upstream_asked`` the upstream is not expected to answer.
    ``login_user`` is the role as whom the server here is asked, None for that of the OS user's name.
    """

    keywords: Mapping[str, str]
    system_identifier: str | None
    slot_name: str | None
    overwrite: str
    bindir: str | None
    barman: Barman | None
    rewind_user: str | None = None
    restore_command: str | None = None
    upstream_asked: bool = True
    has_backup: bool = False
    login_user: str | None = None


@dataclass(frozen=True)
class Observed:
    """``relation`` and ``proof`` are there where something of the wanted cluster is, and the upstream answers."""

    host_state: HostState
    instance: Instance | None = None
    relation: Relation | None = None
    proof: WalProof | None = None


def observe(pgdata: DataDir, upstream: Upstream | None, wanted: WantedStandby) -> Observed:
    """Look at what is there, as closely as a decision needs it. Raises StandbyError."""
    identifier = wanted.system_identifier or (upstream.system_identifier if upstream is not None else None)
    if identifier is None and not wanted.upstream_asked and is_ours(pgdata) and pgdata.control is not None:
        identifier = pgdata.control.system_identifier
    same = None if pgdata.control is None else pgdata.control.system_identifier == identifier
    answer = ask_server(pgdata, wanted.login_user)
    instance = answer.instance
    now = HostState(
        contents_of(pgdata, wanted.system_identifier if wanted.has_backup else identifier),
        running=pgdata.running,
        primary=pgdata.running and not (instance.in_recovery if instance is not None else _looks_like_standby(pgdata)),
        same_cluster=same,
        ours=is_ours(pgdata),
        healthy=_healthy(instance, upstream, wanted),
        unused=pgdata.state == "pristine" and pgdata.running and _unused(pgdata, wanted.login_user),
        uncertain=uncertain(pgdata) if pgdata.doubt is not None else None,
        unasked=answer.unasked.refusal if answer.unasked is not None else None,
    )
    control = pgdata.control
    if same and not wanted.upstream_asked:
        return Observed(replace(now, relation=_divergence.assumed_kind(pgdata.state)), instance)
    if same and upstream is None:
        return Observed(replace(now, relation="unasked"), instance)
    if now.healthy or not same or upstream is None or control is None or now.uncertain or now.unasked:
        return Observed(now, instance)
    where = _relation(pgdata, instance, upstream)
    proof = _prove(pgdata, control, where, instance, upstream, wanted) if where.kind == "behind" else None
    now = replace(
        now,
        relation=where.kind,
        wal_missing=proof is not None and any(verdict.error_code == "wal_missing" for verdict in proof.verdicts),
        no_rewind=_no_rewind(pgdata, where, upstream, wanted),
    )
    return Observed(now, instance, where, proof)


def _looks_like_standby(pgdata: DataDir) -> bool:
    """What the files tell of a server that could not be asked."""
    return pgdata.state == "standby" and (pgdata.control is None or pgdata.control.state != "in production")


def _healthy(instance: Instance | None, upstream: Upstream | None, wanted: WantedStandby) -> bool:
    """An upstream that could not be asked is no reason against a standby that streams from it."""
    if instance is None or not wanted.upstream_asked:
        return False
    if upstream is None and wanted.system_identifier not in (None, instance.system_identifier):
        return False
    return not _readiness.reasons(instance, wanted.keywords, upstream, wanted.slot_name)


def _unused(pgdata: DataDir, user: str | None) -> bool:
    """Whether the server itself knows of no user, database or relation that initdb did not make, and of no client."""
    place = place_of(pgdata, user)
    if place is None:
        return False
    try:
        return not signs_of_use(place)
    except StandbyError:
        return False


def _relation(pgdata: DataDir, instance: Instance | None, upstream: Upstream) -> Relation:
    if instance is not None:
        return _divergence.of_running(instance, upstream)
    label = read_small(os.path.join(pgdata.path, "backup_label"))
    if label is not None and not pgdata.running:
        return _divergence.of_unstarted_backup(parse_backup_label(label), upstream)
    return _divergence.of_stopped(pgdata, upstream, own_history(pgdata))


def _prove(
    pgdata: DataDir,
    control: ControlData,
    where: Relation,
    instance: Instance | None,
    upstream: Upstream,
    wanted: WantedStandby,
) -> WalProof:
    """Whether what comes after the WAL that is here can be had: after what was received, not what was replayed.

    A standby may replay hours later than it receives, and keeps all WAL from where its replay goes on.
    """
    begin = (where.timeline, where.lsn)
    if instance is not None:
        has = instance.receive_lsn or end_of_own_wal(pgdata, control, begin) or 0
        begin = (where.timeline, max(where.lsn, has))
    elif "backup_label" not in pgdata.entries:
        redo = (control.timeline, parse_lsn(control.redo_lsn))
        begin = _after_own_wal(pgdata, control, min(redo, begin), begin)
    # Beyond the fork the upstream's history goes on elsewhere, and is needed from there.
    if where.fork is not None and begin[0] == where.timeline:
        begin = (begin[0], min(begin[1], where.fork))
    return prove(begin, upstream, wanted.keywords, control.wal_segment_size, wanted.barman)


def _after_own_wal(
    pgdata: DataDir, control: ControlData, redo: tuple[int, int], end: tuple[int, int]
) -> tuple[int, int]:
    """From where WAL is needed at a start: after that of its own, if the server has kept the WAL where replay begins.

    It keeps all after that, too.
    """
    if end_of_own_wal(pgdata, control, redo) is None:
        return redo
    kept = end_of_own_wal(pgdata, control, end)
    return end if kept is None else (end[0], max(end[1], kept))


def _no_rewind(pgdata: DataDir, where: Relation, upstream: Upstream, wanted: WantedStandby) -> str | None:
    if where.kind != "diverged":
        return "it has not diverged"
    if pgdata.running:
        return "a server runs on the directory"
    if admit_rewind(wanted.overwrite).refusal is not None:
        return "it was not asked"
    bindir = find_bindir(pgdata.major, wanted.bindir)
    keywords = {**without_password(wanted.keywords), **({"user": wanted.rewind_user} if wanted.rewind_user else {})}
    reasons = reasons_impossible(pgdata, keywords, bindir, upstream, restore_command=wanted.restore_command)
    return "; ".join(reasons) or None
