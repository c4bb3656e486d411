# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight asks if the upstream itself is to be copied, by pg_basebackup. Private to the collection."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ansible_collections.pgfleet.standby.plugins.module_utils._checks import basebackup as _basebackup
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import configuration_facts as _configuration_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.basebackup_facts import (
    UpstreamFiles,
    roots_of_upstream,
    size_unknown,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.configuration_facts import ConfigurationPlaces
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.space_facts import measure
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import (
    require_pg_basebackup,
    server_version,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import for_every_standby as _for_every_standby
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.case import Case
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.findings import Findings, ask, merged
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.for_clone import (
    check_removals,
    check_space,
    check_targets,
    sizes,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.questions import Questions
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.carried import bring_settings

__all__ = ["examine"]

_LEFT_OUT = (
    "of the configuration, which comes with the copy, only the settings were tried that the upstream tells this role,"
    " and neither pg_hba.conf nor certificates and keys"
)


def examine(case: Case, upstream: Upstream, files: UpstreamFiles, questions: Questions) -> Findings:
    """Everything that can stop a copy of the upstream, and what the copy would bring and remove."""
    request, job = case.request, files.job
    version, missing = ask("version", lambda: server_version(job.target.bindir))
    of_version = (_basebackup.version(upstream, version),) if version is not None else ()
    places = case.configuration_places(job.target.bindir)
    elsewhere = files.files.configuration_elsewhere if files.files is not None else None
    read, invalid = ask("configuration", lambda: _configuration_facts.of_upstream(places, elsewhere))
    rehearsal = _rehearsal(upstream, files, places, elsewhere)
    of_configuration = merged(invalid, _for_every_standby.check_configuration(case, read))
    return merged(
        check_targets(case, job),
        check_removals(case, job, None),
        _of_pg_basebackup(case, upstream, job),
        missing,
        Findings(of_version),
        Findings(_basebackup.tablespaces(upstream, files.refused)),
        Findings((_basebackup.wal(request.slot_name, request.restore_command),)),
        _space_of_upstream(files),
        _for_every_standby.check_start(case, questions, rehearsal, read, of_configuration),
        _for_every_standby.check_compatibility(case, questions, job.target.bindir, job.backup.major, read),
    )


def _rehearsal(
    upstream: Upstream, files: UpstreamFiles, places: ConfigurationPlaces, elsewhere: str | None
) -> _for_every_standby.Rehearsal:
    """The configuration of the upstream comes with the copy: so far the upstream has told what that sets."""
    job, told = files.job, files.files.settings if files.files is not None else {}
    comes = places.directory is None or places.from_backup
    known = _for_every_standby.Rehearsal(job.target.bindir, job.backup.major, segment_size=upstream.wal_segment_size)
    if comes and elsewhere is not None:
        return replace(known, bring=_bring_nothing)
    return replace(known, bring=partial(bring_settings, told), left_out=_LEFT_OUT) if comes and told else known


def _bring_nothing(_target: str) -> None:
    """The copy brings no configuration."""


def _of_pg_basebackup(case: Case, upstream: Upstream, job: Job) -> Findings:
    source = case.request.basebackup
    left_out = Findings(plan={"not_checked": list(_basebackup.NOT_CHECKED)})
    options = source.options if source is not None else ()
    program, missing = ask("method", lambda: require_pg_basebackup(job.target.bindir, options))
    if program is None:
        return merged(missing, left_out)
    return merged(Findings((_basebackup.method(program, upstream),)), left_out)


def _space_of_upstream(files: UpstreamFiles) -> Findings:
    """As for a backup, in which every tree is one file of its size."""
    unknown = size_unknown(files)
    if unknown is not None:
        return Findings((_basebackup.space_unknown(unknown),))
    roots = roots_of_upstream(files)
    room, failed = ask("space", lambda: measure(roots, "replace"))
    if room is None:
        return failed
    of_roots = sizes(roots)
    return merged(check_space(room, 0), Findings(plan={**of_roots, "bytes_to_copy": of_roots["bytes"]}))
