# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A preflight's question whether a clone of a backup will find its WAL. Private to the collection."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._checks.restore_command import fetch_one
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.wal_proof import WalProof, prove, prove_archived
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, ControlData, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import without_upstream as _without_upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict

__all__ = ["check"]


def check(
    request: Request, backup: Backup, control: ControlData, server: Upstream | None, command_works: bool
) -> list[Verdict]:
    """That replay finds every segment from the backup's begin on, and that the command brings one.

    Raises StandbyError.
    """
    verdicts = [] if request.upstream_asked else list(_without_upstream.wal_source(request.restore_command))
    proof = _proof(request, backup, control.wal_segment_size, server)
    if proof is None:
        return verdicts
    verdicts += proof.verdicts
    if request.restore_command and proof.in_archive and command_works:
        identifier = control.system_identifier or (server.system_identifier if server is not None else None)
        verdicts.append(fetch_one(request.restore_command, proof.in_archive, control.wal_segment_size, identifier))
    return verdicts


def _proof(request: Request, backup: Backup, segment_size: int, server: Upstream | None) -> WalProof | None:
    """Up to what the upstream has written; without it, up to the end of the backup, where it is consistent."""
    if not backup.begin_lsn or backup.timeline is None:
        return None
    begin, archive = parse_lsn(backup.begin_lsn), request.barman if request.restore_command else None
    if server is not None:
        return prove((backup.timeline, begin), server, request.keywords, segment_size, archive)
    if request.upstream_asked or not backup.end_lsn or archive is None:
        return None
    return prove_archived(backup.timeline, begin, parse_lsn(backup.end_lsn), segment_size, archive)
