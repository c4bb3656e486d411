# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight asks before it knows whether anything is copied, and the decision. Private to the collection."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.pgfleet.standby.plugins.module_utils._checks import configuration as _configuration
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import restore_command as _restore_command
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.basebackup_facts import (
    UpstreamFiles,
    upstream_files,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import plan_to_keep
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import paths as _paths
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import describe
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import home_directories
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import without_upstream as _without_upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import NOTHING_SPARE
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import (
    UPSTREAM_UNASKED,
    Decision,
    decide,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.findings import Findings, ask, merged
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.host_state import (
    Observed,
    WantedStandby,
    observe,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.questions import Questions
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem, warning

__all__ = [
    "ask_for_files",
    "ask_upstream",
    "check_command",
    "check_paths",
    "check_service",
    "decide_action",
    "observe_host",
    "read_data_directory",
    "without_need",
]

# What a method cannot do with files that are there: it copies all of them, into directories that are emptied before.
_REPLACED = {"rsync": (), "barman": ("delta",), "pg_basebackup": ("delta", "resume")}


def ask_upstream(request: Request, questions: Questions) -> tuple[Upstream | None, Findings]:
    """Who the upstream is; None if it does not answer, or is not to be asked."""
    if request.upstream_asked:
        return ask("upstream", lambda: questions.identify(request.keywords))
    left_out = {"not_checked": list(_without_upstream.NOT_CHECKED)}
    return None, Findings((_without_upstream.not_checked(),), left_out)


def ask_for_files(
    request: Request, upstream: Upstream | None, questions: Questions
) -> tuple[UpstreamFiles | None, Findings]:
    """What pg_basebackup would copy: the upstream as it is now. None for another method."""
    source = request.basebackup
    if source is None or upstream is None:
        return None, Findings()
    return ask("method", lambda: upstream_files(upstream, questions.upstream_files(request.keywords), source))


def check_paths(request: Request, job: Job | None) -> Findings:
    """Whether the paths are fit to be written: none is one of the system's, none lies in another."""
    others = job.target.other_places if job is not None else {}
    return Findings(_paths.paths(request.data_directory, others, home_directories()))


def check_service(request: Request) -> Findings:
    """Whether a server can be started at the paths."""
    return Findings(_configuration.starter(request.service, [request.data_directory, request.state_directory]))


def read_data_directory(request: Request) -> tuple[DataDir | None, Findings]:
    """What the data directory holds; None if it cannot be read."""
    return ask("data_directory", lambda: inspect(request.data_directory, request.state_directory))


def observe_host(
    request: Request, job: Job | None, pgdata: DataDir | None, upstream: Upstream | None
) -> tuple[Observed | None, Findings]:
    """What the host has now; None if the data directory could not be read."""
    if pgdata is None:
        return None, Findings()
    wanted = WantedStandby(
        keywords=request.keywords,
        system_identifier=job.backup.system_identifier if job is not None else None,
        slot_name=request.slot_name,
        overwrite=request.overwrite,
        bindir=request.bindir,
        barman=request.barman if request.restore_command else None,
        rewind_user=request.rewind_user,
        login_user=request.login_user,
        restore_command=request.restore_command,
        upstream_asked=request.upstream_asked,
        has_backup=job is not None,
    )
    return ask("data_directory", lambda: observe(pgdata, upstream, wanted))


def decide_action(
    request: Request, job: Job | None, pgdata: DataDir | None, observed: Observed | None
) -> tuple[Decision | None, Findings]:
    """The smallest change that will do, with what the method can do; None if the host's state is not known."""
    if pgdata is None or observed is None:
        return None, Findings()
    decided = decide(observed.host_state, request.overwrite)
    host = f"{pgdata.path}: {describe(pgdata)}"
    if decided.refusal is not None and decided.error_code == UPSTREAM_UNASKED:
        return decided, Findings()  # the question to the upstream has its own verdict
    if decided.refusal is not None:
        found = f"{host}; {decided.refusal.found} Nothing was changed."
        return decided, Findings((problem("data_directory", replace(decided.refusal, found=found)),))
    planned = Findings((Verdict("data_directory", "ok", f"{host}: {decided.reason}"),))
    if job is not None and job.consent.keep_old and decided.action in ("rewind", "delta", "replace"):
        return replace(decided, action="clone"), merged(planned, _kept_old(job))
    if decided.action in _REPLACED[request.method]:
        decided = replace(decided, action="replace")
    return decided, planned


def _kept_old(job: Job) -> Findings:
    """What would be overwritten is renamed, and the copy goes into an empty directory."""
    plan, failed = ask("keep_old", lambda: plan_to_keep(job.target))
    return merged(failed, Findings(plan={"kept_old": list(plan.kept) if plan is not None else []}))


def without_need(of_upstream: Findings, decision: Decision | None) -> Findings:
    """What the question to the upstream has found.

    That nothing is spare for a question is no problem for a standby that streams from there as it is wanted.
    """
    if decision is None or decision.action != "none":
        return of_upstream
    shown = tuple(
        warning(verdict.check, verdict.refusal)
        if verdict.severity == "error" and verdict.refusal and verdict.error_code == NOTHING_SPARE
        else verdict
        for verdict in of_upstream.verdicts
    )
    return Findings(shown, of_upstream.plan)


def check_command(request: Request) -> Findings:
    """Which command will fetch WAL, if that is not Barman's own script."""
    return Findings(_restore_command.barman_cli(request.restore_note))
