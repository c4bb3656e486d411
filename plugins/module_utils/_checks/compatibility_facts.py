# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at this host and at the upstream, and lets ``compatibility`` and ``slot`` judge. Changes nothing.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._checks import compatibility as _compatibility
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import host_facts as _host_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import slot as _slot
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import Shell
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.directories import look, who_makes
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import this_user
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import UpstreamFacts, libraries_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.upstream_facts import (
    read_facts,
    slot_by_replication,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem

__all__ = ["Standby", "not_shown_by_trial", "suits_host", "suits_upstream"]


@dataclass(frozen=True)
class Standby:
    """What it is called and what it holds. ``runs``: it streams already, by this name and with this slot perhaps.

    ``places`` are paths by their role. ``kept``: the data directory stays as it is. ``created``: root will make the
    directories that are missing, for us, before anything is copied. ``block_size`` is that of the files, in bytes.
    ``slot_made``: a missing slot will be made. ``backlog`` is the WAL that it has to replay, in bytes. ``walsenders``
    is how many it needs.
    """

    application_name: str
    slot_name: str | None
    bindir: str
    major: int | None
    places: Mapping[str, str]
    preload: str = ""
    runs: bool = False
    kept: bool = False
    created: bool = False
    block_size: int | None = None
    slot_made: bool = False
    backlog: int = 0
    walsenders: int = 1


def suits_upstream(
    standby: Standby, upstream: Upstream, keywords: Mapping[str, str], barman: Shell | None
) -> tuple[list[Verdict], UpstreamFacts]:
    """All that only the upstream can tell: by an ordinary login, or by the replication protocol if that is refused.

    Raises StandbyError if the server programs here do not run.
    """
    host = upstream.host
    facts = read_facts(keywords, standby.slot_name, standby.application_name)
    denied: list[Verdict] = []
    if isinstance(facts, str):
        reason, facts = facts, slot_by_replication(keywords, standby.slot_name)
        denied = _compatibility.sql_denied(host, reason, standby.slot_name, facts)
    clocks = {"the Barman host": _host_facts.clock(barman)} if barman is not None else {}
    return [
        *denied,
        *_slot.slot(host, standby.slot_name, facts, _slot_is_ours(standby, facts), standby.slot_made),
        *_slot.slot_wal_limit(host, standby.slot_name, facts, standby.backlog),
        *_compatibility.walsenders(host, facts, standby.application_name, standby.runs, standby.walsenders),
        *_compatibility.application_name(host, standby.application_name, facts, standby.runs),
        *_strings(standby, host, facts),
        *_compatibility.architecture(host, _host_facts.machine(), facts.machine),
        *_compatibility.block_sizes(_host_facts.compiled_block_sizes(standby.bindir), _block_sizes(standby, facts)),
        *_compatibility.clocks({host: facts.clock, **clocks}),
        *_libraries(standby, host, facts),
    ], facts


def _block_sizes(standby: Standby, facts: UpstreamFacts) -> dict[str, int]:
    """The block sizes of the files: from the upstream, or from pg_control if the upstream does not tell them."""
    known = {"block_size": standby.block_size} if standby.block_size is not None else {}
    return {**known, **(facts.block_sizes or {})}


def _slot_is_ours(standby: Standby, facts: UpstreamFacts) -> bool:
    """Whether what uses the slot is the standby that runs here."""
    return standby.runs and facts.slot is not None and facts.slot.application_name == standby.application_name


def _strings(standby: Standby, host: str, facts: UpstreamFacts) -> list[Verdict]:
    used = facts.collations or ()
    here = _host_facts.collation_versions(standby.bindir, [(one.provider, one.locale) for one in used])
    names = [name for database in facts.databases or () for name in (database.collate, database.ctype)]
    return [
        *_compatibility.collations(host, facts.collations, here),
        *_compatibility.locales(facts.databases, _host_facts.missing_locales(names)),
    ]


def _libraries(standby: Standby, host: str, facts: UpstreamFacts) -> list[Verdict]:
    directory = _host_facts.library_directory(standby.bindir)
    if directory is None:
        return []
    configured, there = libraries_of(standby.preload), facts.preload
    missing = _host_facts.missing_libraries(directory, [*configured, *(there or ())])
    return _compatibility.preload(host, directory, configured, there, missing)


def suits_host(standby: Standby, files: Mapping[str, int]) -> list[Verdict]:
    """Places, their labels, and room for so many files per file system, each named by a path on it."""
    places = _host_facts.places(standby.places)
    made = standby.created and not standby.kept
    # Directories that are made for us have the right owner then; a file system that is read-only stays so.
    judged = [place for place in places if place.read_only] if made else places
    return [
        *(_refused_to_root(standby.places) if made else []),
        *_compatibility.ownership(judged, standby.kept, standby.major),
        *_compatibility.selinux(_host_facts.selinux_enforcing(), places),
        *_compatibility.inodes(files, {path: _host_facts.free_inodes(path) for path in files if os.path.exists(path)}),
    ]


def not_shown_by_trial(restore_command: str | None) -> list[str]:
    """What the server may not do on this host, although its user may."""
    return _compatibility.confined(_host_facts.selinux_enforcing(), restore_command)


def _refused_to_root(places: Mapping[str, str]) -> list[Verdict]:
    """What root will refuse to make for us, and what root leaves as it is though we cannot use it."""
    user, found = this_user(), []
    for role, path in places.items():
        try:
            who_makes(role, path, look(role, path, user), user.name, is_root=True)
        except StandbyError as refused:
            found.append(problem("ownership", refused.refusal))
    return found
