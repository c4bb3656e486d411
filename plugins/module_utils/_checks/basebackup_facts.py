# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A preflight of a copy by pg_basebackup: what the upstream tells of its files, and the room for them. Changes nothing.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Entry, Files, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import basebackup as _basebackup
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import space as _space
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import space_facts as _space_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._files import nearest_existing
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.pg_basebackup_run import require_program
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import ClusterFiles
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import server_version
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.upstream_facts import files as files_of
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict

__all__ = ["UpstreamFiles", "UpstreamSource", "check", "observe"]


@dataclass(frozen=True)
class UpstreamSource:
    """The upstream as what is copied. ``job_of`` makes the job of what it would be as a backup.

    ``options`` are checked, ``mapped`` are the locations that tablespace_mapping names.
    """

    job_of: Callable[[Backup], Job]
    options: tuple[str, ...] = ()
    mapped: tuple[str, ...] = ()


@dataclass(frozen=True)
class UpstreamFiles:
    """What an upstream has to copy: ``files`` where it tells them, else ``refused`` says why not."""

    job: Job
    files: ClusterFiles | None = None
    refused: str | None = None


@dataclass
class _Checked:
    """Verdicts, and what they add to the plan."""

    verdicts: list[Verdict] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)


def observe(server: Upstream, keywords: Mapping[str, str], source: UpstreamSource) -> UpstreamFiles:
    """Ask for its files, and make the job of them. Raises StandbyError."""
    told = files_of(keywords)
    files, refused = (None, told) if isinstance(told, str) else (told, None)
    return UpstreamFiles(source.job_of(_basebackup.backup_of_upstream(server, files, source.mapped)), files, refused)


def check(
    server: Upstream, found: UpstreamFiles, source: UpstreamSource, slot: str | None, command: str | None
) -> _Checked:
    """All that only such a copy needs. Raises StandbyError where the server programs here do not run."""
    job = found.job
    left_out = ", ".join(_basebackup.NOT_CHECKED)
    program = require_program(job.bindir, source.options)
    checked = _Checked(
        [
            Verdict("method", "ok", f"{program} copies from {server.host}; not checked: {left_out}"),
            _basebackup.version(server, server_version(job.bindir)),
            *_basebackup.tablespaces(server, found.refused),
            _basebackup.wal(slot, command),
        ],
        {"not_checked": list(_basebackup.NOT_CHECKED)},
    )
    _room_for(found, checked)
    return checked


def _room_for(found: UpstreamFiles, checked: _Checked) -> None:
    """As for a backup, in which every tree is one file of its size."""
    job, files = found.job, found.files
    if files is None or files.bytes is None:
        checked.verdicts.append(_basebackup.room_unknown("the upstream does not tell the size of its databases"))
        return
    sizes = files.tablespace_bytes
    unknown = [one for one in files.tablespaces if one.oid not in sizes]
    if unknown and len(_devices([job.data_directory, *job.targets.values()])) > 1:
        names = ", ".join(one.name for one in unknown)
        checked.verdicts.append(_basebackup.room_unknown(f"the upstream does not tell the size of tablespace {names}"))
        return
    data = _tree(None, job.data_directory, max(0, files.bytes - sum(sizes.values())), None)
    others = [_tree(one.oid, job.targets[one.oid], sizes.get(one.oid, 0), one.name) for one in files.tablespaces]
    room = _space_facts.measure((data, *others), "replace")
    checked.verdicts += _space.space(room.needed, room.available, 0)
    checked.plan.update(
        bytes=files.bytes,
        bytes_to_copy=files.bytes,
        free_after={name: room.available[name] - size for name, size in room.needed.items()},
        removed=room.removed,
        removed_names=room.removed_names,
        tablespaces=[
            {"name": root.name, "oid": root.oid, "location": root.target, "bytes": root.bytes} for root in others
        ],
    )


def _tree(oid: int | None, target: str, size: int, name: str | None) -> Root:
    return Root(oid, "", target, Files([Entry("f", size, 0, "all of it")]), (), name)


def _devices(paths: Iterable[str]) -> set[int]:
    return {os.stat(nearest_existing(path)).st_dev for path in paths}
