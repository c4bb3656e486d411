# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a clone of a backup will find its WAL, and restore_command bring it. Private to the collection."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._checks.wal_proof import WalProof, prove_archived
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, ControlData, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import without_upstream as _without_upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.questions import Questions
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.placeholders import unknown_placeholder
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict

__all__ = ["check_wal"]


def check_wal(
    request: Request, backup: Backup, control: ControlData, upstream: Upstream | None, questions: Questions
) -> tuple[Verdict, ...]:
    """Whether replay finds every segment from the backup's begin on, and whether restore_command fetches one of them.

    ``control`` is the backup's pg_control. Raises StandbyError if psycopg2 is missing.
    """
    segment_size = _segment_size(control, upstream)
    of_source = () if request.upstream_asked else tuple(_without_upstream.wal_source(request.restore_command))
    proof = _proof(request, backup, segment_size, upstream, questions)
    if proof is None:
        return of_source
    command = request.restore_command
    # A server would not run a command that holds what is no placeholder; that has a verdict of its own.
    if not command or unknown_placeholder("restore_command", command) or not proof.in_archive:
        return (*of_source, *proof.verdicts)
    identifier = control.system_identifier or (upstream.system_identifier if upstream is not None else None)
    trial = request.restore_trial or command
    fetched = questions.fetch(trial, proof.in_archive, segment_size, identifier, request.data_directory)
    return (*of_source, *proof.verdicts, fetched)


def _segment_size(control: ControlData, upstream: Upstream | None) -> int:
    """In bytes. What the catalogue tells of a packed backup may fit several sizes; the upstream knows its own."""
    if control.block_size == 0 and upstream is not None and upstream.wal_segment_size is not None:
        return upstream.wal_segment_size
    return control.wal_segment_size


def _proof(
    request: Request, backup: Backup, segment_size: int, upstream: Upstream | None, questions: Questions
) -> WalProof | None:
    """Up to what the upstream has written. If it is not asked: up to the end of the backup, which makes it consistent.

    None if it is not known which WAL is needed, or if there is nothing to look for it in.
    """
    if not backup.begin_lsn or backup.timeline is None:
        return None
    begin, archive = parse_lsn(backup.begin_lsn), request.barman if request.restore_command else None
    if upstream is not None:
        return questions.wal((backup.timeline, begin), upstream, request.keywords, segment_size, archive)
    if request.upstream_asked or not backup.end_lsn or archive is None:
        return None
    return prove_archived(backup.timeline, begin, parse_lsn(backup.end_lsn), segment_size, archive)
