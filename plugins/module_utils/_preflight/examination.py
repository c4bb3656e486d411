# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a preflight: ask everything, decide, and raise nothing on the way. Private to the collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import before_decision as _before_decision
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import for_basebackup as _for_basebackup
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import for_clone as _for_clone
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import for_every_standby as _for_every_standby
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import for_existing as _for_existing
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.case import Case
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.findings import Findings, merged
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.plan import plan_result
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.questions import Questions
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, errors

__all__ = ["Examined", "run"]


@dataclass(frozen=True)
class Examined:
    """All verdicts about one host, and the plan that follows from them, with the keys that ``plan_result`` names."""

    verdicts: tuple[Verdict, ...]
    plan: Mapping[str, Any]


def run(request: Request, questions: Questions | None = None) -> Examined:
    """Ask everything that can be asked; a question that depends on a failed answer is left out. Changes nothing."""
    questions = questions or Questions()
    upstream, of_upstream = _before_decision.ask_upstream(request, questions)
    files, of_files = _before_decision.ask_for_files(request, upstream, questions)
    job = files.job if files is not None else request.job
    of_paths, of_service = _before_decision.check_paths(request, job), _before_decision.check_service(request)
    pgdata, of_directory = _before_decision.read_data_directory(request)
    observed, of_host = _before_decision.observe_host(request, job, pgdata, upstream)
    decision, of_decision = _before_decision.decide_action(request, job, pgdata, observed)
    of_upstream = _before_decision.without_need(of_upstream, decision)
    proof = observed.proof if observed is not None else None
    case = Case(request, job, upstream, files, pgdata, decision, proof, paths_fit=not errors(of_paths.verdicts))
    starter, unasked = _for_every_standby.ask_starter(case, questions)
    case = replace(case, starter=starter)
    of_unit = _for_every_standby.check_unit(case, unasked)
    of_command, of_action = _before_decision.check_command(request), _for_action(case, questions)
    found = merged(
        *(of_upstream, of_files, of_paths, of_service, of_unit, of_directory, of_host),
        *(of_decision, of_command, of_action),
    )
    return Examined(tuple(found.verdicts), plan_result(found.plan, case, refused=bool(errors(found.verdicts))))


def _for_action(case: Case, questions: Questions) -> Findings:
    """What only matters for the action that was decided."""
    if case.copies and case.upstream is not None and case.upstream_files is not None:
        return _for_basebackup.examine(case, case.upstream, case.upstream_files, questions)
    if case.copies:
        return _for_clone.examine(case, questions)
    if case.goes_on and case.pgdata is not None and case.pgdata.control is not None:
        return _for_existing.examine(case, case.pgdata, case.pgdata.control, questions)
    return Findings()
