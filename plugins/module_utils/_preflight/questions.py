# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions of a preflight that other hosts answer, or that run a user's command. Private to the collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._checks import compatibility_facts as _compatibility_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import restore_command as _restore_command
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import space_facts as _space_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import wal_proof as _wal_proof
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import connect as _connect
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import upstream_facts as _upstream_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import ClusterFiles, UpstreamFacts
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal import rehearse as _rehearse
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.cluster import Standby
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.rehearse import Rehearsed
from ansible_collections.pgfleet.standby.plugins.module_utils._starter import unit_facts as _unit_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit import Starter
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict

__all__ = ["Questions"]


@dataclass(frozen=True)
class Questions:
    """Whom a preflight asks. A test hands in answers of its own instead.

    ``identify`` asks the upstream who it is, ``upstream_files`` what pg_basebackup would copy. ``wal`` asks the
    upstream and Barman for every WAL segment. ``upstream_compatibility`` judges all else that only the upstream can
    tell. ``starter`` asks what the unit that is named starts. ``fetch`` lets ``restore_command`` fetch one segment.
    ``rate`` measures how fast the Barman host sends. ``rehearse`` starts a scratch cluster with the configuration that
    the standby will have, ``rehearse_in_part`` tries what needs no cluster of that.
    """

    identify: Callable[[Mapping[str, str]], Upstream] = _connect.identify
    upstream_files: Callable[[Mapping[str, str]], ClusterFiles | str] = _upstream_facts.files
    upstream_compatibility: Callable[..., tuple[list[Verdict], UpstreamFacts]] = _compatibility_facts.suits_upstream
    starter: Callable[[str, Mapping[str, Mapping[str, str]]], Starter | None] = _unit_facts.look
    wal: Callable[..., _wal_proof.WalProof] = _wal_proof.prove
    fetch: Callable[..., Verdict] = _restore_command.fetches_segment
    rate: Callable[..., float | None] = _space_facts.rate
    rehearse: Callable[[Standby], Rehearsed] = _rehearse.rehearse
    rehearse_in_part: Callable[[Standby], Rehearsed] = _rehearse.rehearse_in_part
