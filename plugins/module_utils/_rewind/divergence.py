# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a cluster's history has left the history of the server that it is to follow. Pure.

Private to the collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn, parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import BackupLabel
from ansible_collections.pgfleet.standby.plugins.module_utils._model import (
    ControlData,
    DataDir,
    Instance,
    Upstream,
)

__all__ = ["Relation", "assumed_kind", "is_clean", "of_running", "of_stopped", "of_unstarted_backup"]

# pg_control's own words (PostgreSQL's pg_controldata.c, dbState).
_CLEAN = ("shut down", "shut down in recovery")

# A standby notes how far it has to replay before a page goes to disk (xlog.c, UpdateMinRecoveryPoint), so what is on
# its disk is known even after a crash. A primary notes no more than its checkpoints.
_END_IS_KNOWN = (*_CLEAN, "in archive recovery")


@dataclass(frozen=True)
class Relation:
    """The WAL position that a cluster has reached, and whether the upstream's history holds that position.

    ``kind``: ``behind`` (a part of the upstream's history: it can follow), ``diverged`` (it has what the upstream
    never had), ``ahead`` (it is beyond the upstream on the upstream's own timeline) or ``unknown``. ``lsn`` is the
    end of the pages on ``timeline``, of a primary its last checkpoint. ``fork`` is the position at which the upstream
    left that timeline; None if it did not leave it or if that is not known. ``reason`` is a clause without a full stop.
    WAL in pg_wal beyond that end is not counted.
    """

    kind: str
    timeline: int
    lsn: int
    fork: int | None
    reason: str


@dataclass(frozen=True)
class _End:
    """The end of the pages. ``needs``: the least position up to which a history has to agree to hold all of it."""

    timeline: int
    lsn: int
    needs: int


def is_clean(control: ControlData) -> bool:
    """Whether the server was shut down and wrote everything to disk before."""
    return control.state in _CLEAN


def assumed_kind(data_directory_state: str) -> str:
    """The ``kind`` of a ``Relation`` to an upstream that cannot be asked: a standby is taken to be behind it."""
    return "behind" if data_directory_state == "standby" else "unknown"


def of_running(instance: Instance, upstream: Upstream) -> Relation:
    """How a running standby stands to the upstream, by what it has replayed.

    It may have replayed more than the upstream had written when that was asked. That is ``behind`` as well: the
    standby waits until the upstream has written as much.
    """
    timeline = instance.timeline
    if instance.receiver is not None and instance.receiver.timeline is not None:
        timeline = max(timeline, instance.receiver.timeline)
    return _at(timeline, instance.replay_lsn or 0, upstream, "it has replayed")


def of_unstarted_backup(label: BackupLabel, upstream: Upstream) -> Relation:
    """How a backup on which no server has been started yet stands to the upstream.

    Replay begins where its ``backup_label`` says, whatever ``pg_control`` says (PostgreSQL's xlogrecovery.c,
    InitWalRecovery).
    """
    timeline, lsn = label.timeline or int(label.begin_wal[:8], 16), parse_lsn(label.begin_lsn)
    return _at(timeline, lsn, upstream, "it begins at")


def _at(timeline: int, lsn: int, upstream: Upstream, verb: str) -> Relation:
    """Whether a position is a part of the upstream's history."""
    position = f"{verb} {format_lsn(lsn)} on timeline {timeline}"
    fork = dict(upstream.history).get(timeline)
    if timeline == upstream.timeline or (fork is not None and lsn <= fork):
        return Relation("behind", timeline, lsn, fork, f"{position}, which the upstream's history holds")
    return Relation("diverged", timeline, lsn, fork, f"{position}, which the upstream's history does not hold")


def of_stopped(pgdata: DataDir, upstream: Upstream, own_history: Sequence[tuple[int, int]] = ()) -> Relation:
    """How the cluster of a stopped server stands to an upstream of the same system identifier.

    ``own_history`` is what the cluster's own history file says, as ``Upstream.history``; it tells two timelines of
    the same number apart, and where the cluster left a timeline that both had. The rules are those of pg_rewind
    (pg_rewind.c, findCommonAncestorTimeline and main) and of the server's start (xlogrecovery.c,
    "requested timeline is not a child of this server's history").
    """
    if pgdata.control is None or pgdata.running:
        why = "a server runs on it" if pgdata.running else f"it is {pgdata.state}"
        return Relation("unknown", 0, 0, None, f"the end of its WAL cannot be read: {why}")
    end = _end(pgdata.control)
    place = f"{format_lsn(end.lsn)} on timeline {end.timeline}"
    shared, fork = _fork(end.timeline, upstream, own_history)
    if not shared or (fork is not None and end.needs > fork):
        return Relation("diverged", end.timeline, end.lsn, fork, _how_diverged(place, shared, fork, end, upstream))
    if fork is None and end.needs > upstream.lsn:
        said = f"it ends at {place}, the upstream on the same timeline at {format_lsn(upstream.lsn)} already"
        return Relation("ahead", end.timeline, end.lsn, None, said)
    doubt = _doubt(pgdata, pgdata.control)
    if doubt is not None:
        return Relation(
            "unknown", end.timeline, end.lsn, fork, f"{doubt}, and what it wrote after {place} is not known"
        )
    return Relation("behind", end.timeline, end.lsn, fork, f"it ends at {place}, which the upstream's history holds")


def _end(control: ControlData) -> _End:
    """Of the last checkpoint's record only the beginning is known; a history that goes on behind that has all of it.

    On a primary the checkpoint is the later of the two places, just promoted or a standby it is what was replayed.
    """
    checkpoint = parse_lsn(control.checkpoint_lsn)
    replayed = parse_lsn(control.min_recovery_lsn)
    if replayed > checkpoint:
        return _End(control.min_recovery_timeline, replayed, replayed)
    return _End(control.timeline, checkpoint, checkpoint + 1)


def _doubt(pgdata: DataDir, control: ControlData) -> str | None:
    """Why the pages may go further than pg_control says; None if pg_control knows their end.

    After pg_rewind, and in a backup of a standby, pg_control has the state of a standby and knows the end.
    """
    if control.state in _END_IS_KNOWN:
        return None
    if "backup_label" in pgdata.entries:
        return "it is a backup that has not been started yet"
    return f"its server was not shut down (pg_control says {control.state!r})"


def _fork(timeline: int, upstream: Upstream, own: Sequence[tuple[int, int]]) -> tuple[bool, int | None]:
    """Whether the upstream's history has the timeline, and the position at which it left the last timeline of both."""
    theirs = _spans(upstream.timeline, upstream.history)
    numbers = [number for number, _begin, _end in theirs]
    if own or timeline == 1:
        ours = _spans(timeline, own)
    elif timeline in numbers:
        ours = theirs[: numbers.index(timeline) + 1]
    else:
        return False, None
    both = 0
    while both < min(len(ours), len(theirs)) and ours[both][:2] == theirs[both][:2]:
        both += 1
    if both == 0:
        return False, None
    if both == len(ours):
        return True, theirs[both - 1][2]
    ends = [end for end in (ours[both - 1][2], theirs[both - 1][2]) if end is not None]
    return False, min(ends)


def _spans(timeline: int, history: Sequence[tuple[int, int]]) -> list[tuple[int, int, int | None]]:
    """Every timeline of a history with its beginning and its end; the last one has none."""
    begins = [0, *(left for _number, left in history)]
    ends = [*history, (timeline, None)]
    return [(number, begin, end) for begin, (number, end) in zip(begins, ends)]


def _how_diverged(place: str, shared: bool, fork: int | None, end: _End, upstream: Upstream) -> str:
    if shared:
        return f"it went on to {place}, which the upstream left at {format_lsn(fork or 0)}"
    where = "" if fork is None else f"; they parted at {format_lsn(fork)}"
    return f"it ends at {place}, and timeline {upstream.timeline} of the upstream does not descend from that{where}"
