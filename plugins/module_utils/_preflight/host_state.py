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
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.wal_proof import WalProof, prove
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.consent import admit_rewind, contents_of
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import without_password
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import parse_backup_label
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_name
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData, DataDir, Instance, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import is_ours
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import find_bindir
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import readiness as _readiness
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import local_instance, signs_of_use
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import HostState
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind import divergence as _divergence
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.divergence import Relation
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.feasibility import own_history, reasons_impossible
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, warning

__all__ = ["Observed", "WantedStandby", "observe"]


@dataclass(frozen=True)
class WantedStandby:
    """What the host is to be: a standby of this cluster, by this upstream, with this slot, at this level of consent.

    ``system_identifier`` is the backup's if ``has_backup``; None if Barman does not know it. ``barman`` has the WAL
    as well; None if only the upstream has it. Without ``upstream_asked`` the upstream is not expected to answer.
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


@dataclass(frozen=True)
class Observed:
    """``relation`` and ``proof`` are there where something of the wanted cluster is, and the upstream answers."""

    host_state: HostState
    instance: Instance | None = None
    relation: Relation | None = None
    proof: WalProof | None = None
    verdicts: tuple[Verdict, ...] = ()


def observe(pgdata: DataDir, upstream: Upstream | None, wanted: WantedStandby) -> Observed:
    """Look at what is there, as closely as a decision needs it. Raises StandbyError."""
    identifier = wanted.system_identifier or (upstream.system_identifier if upstream is not None else None)
    if identifier is None and not wanted.upstream_asked and is_ours(pgdata) and pgdata.control is not None:
        identifier = pgdata.control.system_identifier
    same = None if pgdata.control is None else pgdata.control.system_identifier == identifier
    instance, verdicts = _ask(pgdata)
    now = HostState(
        contents_of(pgdata, wanted.system_identifier if wanted.has_backup else identifier),
        running=pgdata.running,
        primary=pgdata.running and not (instance.in_recovery if instance is not None else pgdata.state == "standby"),
        same_cluster=same,
        ours=is_ours(pgdata),
        healthy=_healthy(instance, upstream, wanted),
        unused=pgdata.state == "pristine" and pgdata.running and _unused(pgdata),
    )
    control = pgdata.control
    if same and not wanted.upstream_asked:
        return Observed(replace(now, relation=_divergence.assumed_kind(pgdata.state)), instance, verdicts=verdicts)
    if now.healthy or not same or upstream is None or control is None:
        return Observed(now, instance, verdicts=verdicts)
    where = _relation(pgdata, instance, upstream)
    proof = _prove(pgdata, control, where, upstream, wanted) if where.kind == "behind" else None
    now = replace(
        now,
        relation=where.kind,
        wal_missing=proof is not None and any(verdict.error_code == "wal_missing" for verdict in proof.verdicts),
        no_rewind=_no_rewind(pgdata, where, upstream, wanted),
    )
    return Observed(now, instance, where, proof, verdicts)


def _ask(pgdata: DataDir) -> tuple[Instance | None, tuple[Verdict, ...]]:
    if not pgdata.running or pgdata.port is None or pgdata.socket_directory is None:
        return None, ()
    try:
        return local_instance(pgdata.socket_directory, pgdata.port), ()
    except StandbyError as failed:
        return None, (warning("server", failed.refusal),)


def _healthy(instance: Instance | None, upstream: Upstream | None, wanted: WantedStandby) -> bool:
    if instance is None or upstream is None:
        return False
    return not _readiness.reasons(instance, wanted.keywords, upstream, wanted.slot_name)


def _unused(pgdata: DataDir) -> bool:
    """Whether the server itself knows of no user, database or relation that initdb did not make, and of no client."""
    if pgdata.port is None or pgdata.socket_directory is None:
        return False
    try:
        return not signs_of_use(pgdata.socket_directory, pgdata.port)
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
    pgdata: DataDir, control: ControlData, where: Relation, upstream: Upstream, wanted: WantedStandby
) -> WalProof:
    """Whether what comes after the WAL that is here can be had."""
    begin = (where.timeline, where.lsn)
    redo = (control.timeline, parse_lsn(control.redo_lsn))
    replays = not pgdata.running and "backup_label" not in pgdata.entries
    if replays and redo < begin and not _has_wal(pgdata, redo, control.wal_segment_size):
        begin = redo
    return prove(begin, upstream, wanted.keywords, control.wal_segment_size, wanted.barman)


def _has_wal(pgdata: DataDir, position: tuple[int, int], segment_size: int) -> bool:
    """Whether the server has kept the WAL from where its replay begins; it keeps all after that, too."""
    return os.path.exists(os.path.join(pgdata.path, "pg_wal", segment_name(*position, segment_size)))


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
