# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy by pg_basebackup rests on: the upstream's files as the upstream tells them. Changes nothing.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Entry, Files, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import basebackup as _basebackup
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._files import nearest_existing
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import ClusterFiles

__all__ = [
    "UpstreamFiles",
    "UpstreamSource",
    "roots_of_upstream",
    "size_unknown",
    "upstream_files",
]


@dataclass(frozen=True)
class UpstreamSource:
    """The upstream as what is copied. ``job_of`` makes the job for the upstream as a backup.

    ``options`` are those of pg_basebackup, already checked. ``mapped`` are the locations that tablespace_mapping names.
    """

    job_of: Callable[[Backup], Job]
    options: tuple[str, ...] = ()
    mapped: tuple[str, ...] = ()


@dataclass(frozen=True)
class UpstreamFiles:
    """What there is to copy: ``files`` if the upstream tells them; if not, ``refused`` is the reason."""

    job: Job
    files: ClusterFiles | None = None
    refused: str | None = None


def upstream_files(upstream: Upstream, answer: ClusterFiles | str, source: UpstreamSource) -> UpstreamFiles:
    """What there is to copy, with its job. ``answer`` is that of ``_postgres.upstream_facts.files``.

    Raises StandbyError for a tablespace that pg_basebackup cannot be told.
    """
    files, refused = (None, answer) if isinstance(answer, str) else (answer, None)
    return UpstreamFiles(source.job_of(_basebackup.backup_of_upstream(upstream, files, source.mapped)), files, refused)


def size_unknown(upstream: UpstreamFiles) -> str | None:
    """Why it cannot be said how much there is to copy, as a clause; None if it can be said."""
    job, files = upstream.job, upstream.files
    if files is None or files.bytes is None:
        return "the upstream does not tell the size of its databases"
    unknown = [one.name for one in files.tablespaces if one.oid not in files.tablespace_bytes]
    if unknown and len(_devices([job.data_directory, *job.targets.values()])) > 1:
        return f"the upstream does not tell the size of tablespace {', '.join(unknown)}"
    return None


def roots_of_upstream(upstream: UpstreamFiles) -> tuple[Root, ...]:
    """The data directory and its tablespaces as trees with one file of their size each.

    A tablespace whose size is not known counts nothing: its bytes are in those of the databases. No trees if the
    upstream does not tell its files.
    """
    job, files = upstream.job, upstream.files
    if files is None:
        return ()
    sizes = files.tablespace_bytes
    data = _tree(None, job.data_directory, max(0, (files.bytes or 0) - sum(sizes.values())), None)
    return (data, *(_tree(one.oid, job.targets[one.oid], sizes.get(one.oid, 0), one.name) for one in files.tablespaces))


def _tree(oid: int | None, target: str, size: int, name: str | None) -> Root:
    return Root(oid, "", target, Files([Entry("f", size, 0, "all of it")]), (), name)


def _devices(paths: Iterable[str]) -> set[int]:
    return {os.stat(nearest_existing(path)).st_dev for path in paths}
