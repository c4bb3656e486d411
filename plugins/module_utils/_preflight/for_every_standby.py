# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight asks for a clone and for a cluster that goes on: its configuration, this host, the upstream.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._checks import compatibility_facts as _compatibility_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import configuration as _configuration
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.configuration_facts import Configuration
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import public
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import is_secret
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import this_user
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import UpstreamFacts
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import require_valid, server_version
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.case import Case
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import COPYING
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.findings import Findings, ask, merged
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.questions import Questions
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.requested_settings import requested_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import of_server
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal import cluster as _cluster
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.rehearse import Rehearsed
from ansible_collections.pgfleet.standby.plugins.module_utils._starter import verdicts as _starter
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit import Starter
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, errors, problem, warning

__all__ = ["Rehearsal", "ask_starter", "check_compatibility", "check_configuration", "check_start", "check_unit"]

# What every cluster has unless it was made otherwise.
_SEGMENT_SIZE = 16 << 20

_THAT_IT_STARTS = "that the server starts with its configuration"


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal needs: the programs, their version, and what brings the configuration files of the backup.

    ``bring`` is None if they cannot be had before the copy. ``left_out`` is what it does not bring, if that is not all.
    ``segment_size`` is that of the WAL in bytes, if pg_control cannot be had either.
    """

    bindir: str
    major: int | None
    bring: Callable[[str], None] | None = None
    left_out: str | None = None
    segment_size: int | None = None


def check_configuration(case: Case, read: Configuration | None) -> Findings:
    """Whether the server finds a configuration with which it starts as a hot standby, and which settings to raise.

    ``read`` is None if the configuration could not be read.
    """
    if read is None:
        return Findings()
    if read.limits is None:
        return Findings(read.verdicts)
    needed = [*([read.control.settings] if read.control else []), *([case.upstream.settings] if case.upstream else [])]
    to_raise = _configuration.settings_to_raise(read.limits, *needed)
    policy = case.request.hot_standby_settings
    verdicts = (
        *_configuration.hot_standby(read.limits, to_raise, policy),
        *_configuration.lets_in(read.lets_in, policy),
    )
    settings = {name: str(value) for name, value in to_raise.items()}
    if not read.lets_in:
        settings["hot_standby"] = "on"
    return Findings((*read.verdicts, *verdicts), {"settings": settings})


def check_start(
    case: Case, questions: Questions, rehearsal: Rehearsal, read: Configuration | None, of_configuration: Findings
) -> Findings:
    """What the server itself says of the configuration, and ``of_configuration``: what the checks found before.

    Only for a copy: the cluster that stays is asked by its own start, which has cost nothing. What cannot be read
    without the server (``configuration_invalid``) the rehearsal tells better.
    """
    known = {verdict.error_code for verdict in errors(of_configuration.verdicts)}
    if case.action not in COPYING or known - {"configuration_invalid", "hot_standby_settings"}:
        return of_configuration
    if case.request.rehearse == "never":
        return merged(of_configuration, Findings(plan={"not_checked": [_THAT_IT_STARTS]}))
    unknown, major = _unknown_yet(case, rehearsal), rehearsal.major
    if unknown is not None or major is None:
        return merged(of_configuration, _without_rehearsal(case, unknown or "is for a version that is not known"))
    standby = _rehearsed(case, rehearsal, major, read, of_configuration)
    try:
        told = _told(questions.rehearse(standby))
    except StandbyError as failed:
        if case.request.rehearse == "always":
            return merged(of_configuration, Findings((problem("rehearsal", failed.refusal),)))
        told = merged(Findings((warning("rehearsal", failed.refusal),)), _in_part(questions, standby))
    if not told.verdicts:
        ok = Verdict("rehearsal", "ok", "a scratch cluster starts with the configuration of the standby")
        told = merged(Findings((ok,)), told)
    if rehearsal.left_out is not None:
        told = merged(told, Findings(plan={"not_checked": [f"{_THAT_IT_STARTS}: {rehearsal.left_out}"]}))
    return _instead(of_configuration, told)


def _told(rehearsed: Rehearsed) -> Findings:
    verdicts = [problem("rehearsal", refusal) for refusal in rehearsed.refusals]
    verdicts += [warning("rehearsal", refusal) for refusal in rehearsed.warnings]
    return Findings(tuple(verdicts), {"not_checked": list(rehearsed.not_shown)})


def _in_part(questions: Questions, standby: _cluster.Standby) -> Findings:
    """What can be tried without a cluster, on a host on which none can be made."""
    try:
        return _told(questions.rehearse_in_part(standby))
    except StandbyError:  # for the reason that is told already, or because it is too old for that
        return Findings(plan={"not_checked": [_THAT_IT_STARTS]})


def _instead(before: Findings, told: Findings) -> Findings:
    """The server's words in place of what its program has said of the same configuration."""
    if not errors(told.verdicts):
        return merged(before, told)
    kept = tuple(verdict for verdict in before.verdicts if verdict.error_code != "configuration_invalid")
    return merged(Findings(kept, before.plan), told)


def _unknown_yet(case: Case, rehearsal: Rehearsal) -> str | None:
    """Why nobody knows yet which configuration the server will have; None if it is known."""
    directory = case.request.config_directory
    if rehearsal.bring is None and (directory is None or case.request.config_from_backup):
        return "comes with the copy"
    if directory and case.request.config_created and not os.path.exists(os.path.join(directory, "postgresql.conf")):
        return "is made by the packaging, before the server starts"
    return None


def _without_rehearsal(case: Case, why: str) -> Findings:
    """There is nothing to rehearse yet. That is no mistake of anybody's, and so no warning."""
    if case.request.rehearse != "always":
        return Findings(plan={"not_checked": [f"{_THAT_IT_STARTS}, which {why}"]})
    found = f"The start of the server cannot be rehearsed: its configuration {why}. Nothing was changed."
    return Findings((problem("rehearsal", Refusal("rehearsal_failed", found, "set rehearse=auto")),))


def _rehearsed(
    case: Case, rehearsal: Rehearsal, major: int, read: Configuration | None, of_configuration: Findings
) -> _cluster.Standby:
    """The standby whose start is rehearsed."""
    request, pgdata = case.request, case.pgdata
    control = read.control if read is not None else None
    return _cluster.Standby(
        data_directory=request.data_directory,
        state_directory=request.state_directory,
        bindir=rehearsal.bindir,
        major=major,
        segment_size=control.wal_segment_size if control is not None else rehearsal.segment_size or _SEGMENT_SIZE,
        checksums=control is not None and control.data_checksums,
        config_directory=request.config_directory,
        from_backup=request.config_from_backup,
        settings=of_configuration.plan.get("settings", {}),
        bring=rehearsal.bring,
        beside_another=pgdata is not None and pgdata.running,
        # What is wrong with the unit is told by its own check.
        environment=case.starter.environment if case.starter is not None else {},
    )


def check_compatibility(
    case: Case,
    questions: Questions,
    bindir: str,
    major: int | None,
    read: Configuration | None,
    files: Mapping[str, int] | None = None,
) -> Findings:
    """Whether the standby suits this host and its upstream. ``files`` are to be made, by file system."""
    standby = _standby(case, bindir, major, read)
    return merged(
        _of_settings(case, bindir, major),
        _of_host(case, standby, files or {}),
        _of_upstream(case, standby, questions),
    )


def _of_settings(case: Case, bindir: str, major: int | None) -> Findings:
    """Whether a server takes the recovery settings that are asked for, whose conninfo the upstream itself judges."""
    request = case.request
    wanted, refused = ask("settings", lambda: requested_settings("", request.restore_command, request.settings))
    program, _missing = ask("settings", lambda: server_version(bindir))
    if wanted is None or program is None:  # that no server program runs has a verdict of its own
        return refused
    mine = of_server(wanted, major) if major is not None else wanted
    _nothing, invalid = ask("settings", lambda: require_valid(bindir, mine))
    return invalid


def ask_starter(case: Case, questions: Questions) -> tuple[Starter | None, Findings]:
    """What the unit that is named starts; None if none is named, or systemd does not tell."""
    service = case.request.service
    if service is None or _starter.is_template(service):
        return None, Findings()
    return ask("service", lambda: questions.starter(service, case.request.units))


def check_unit(case: Case, unknown: Findings) -> Findings:
    """Whether the unit that is named starts the server of this data directory, and again after a reboot.

    ``unknown`` is why ``case.starter`` is not known.
    """
    request = case.request
    if request.service is None:
        return Findings()
    if _starter.is_template(request.service):
        return Findings((_starter.template(request.service),))
    service, user = request.service, this_user()
    if case.starter is None:
        return merged(unknown, Findings(() if unknown.verdicts else (_starter.unasked(service, user.name),)))
    wanted = _starter.WantedServer(
        data_directory=request.data_directory,
        real=os.path.realpath(request.data_directory),
        os_user=user.name,
        uid=user.uid,
        config_directory=request.config_directory,
        wal_to_replay=case.wal_to_replay,
        limits=case.upstream.settings if case.upstream is not None else {},
        settings=request.settings.get("settings") or {},
    )
    return Findings(tuple(_starter.starts(case.starter, wanted)))


def _standby(case: Case, bindir: str, major: int | None, read: Configuration | None) -> _compatibility_facts.Standby:
    request, pgdata = case.request, case.pgdata
    control = read.control if read is not None else None
    return _compatibility_facts.Standby(
        application_name=request.keywords.get("application_name", ""),
        slot_name=request.slot_name,
        bindir=bindir,
        major=major,
        places={
            "data_directory": request.data_directory,
            "state_directory": request.state_directory,
            **(case.job.target.other_places if case.job is not None else {}),
        },
        preload=read.preload if read is not None else "",
        runs=pgdata is not None and pgdata.running and pgdata.state == "standby",
        kept=case.goes_on,
        created=request.directories_created,
        block_size=(control.block_size or None) if control is not None else None,
        slot_made=_may_make_slot(request),
        backlog=case.wal_to_replay,
        walsenders=2 if request.basebackup is not None and case.copies else 1,
    )


def _of_host(case: Case, standby: _compatibility_facts.Standby, files: Mapping[str, int]) -> Findings:
    """Nothing if a path is one of the system's: the advice would be to change the owner of such a directory."""
    if not case.paths_fit:
        return Findings()
    verdicts, failed = ask("host", lambda: _compatibility_facts.suits_host(standby, files))
    unseen = _compatibility_facts.not_shown_by_trial(case.request.restore_command)
    return merged(failed, Findings(verdicts or (), {"not_checked": unseen}))


def _of_upstream(case: Case, standby: _compatibility_facts.Standby, questions: Questions) -> Findings:
    upstream, request = case.upstream, case.request
    if upstream is None:
        return Findings()
    barman_host = request.barman.shell if request.barman is not None else None
    answer, failed = ask(
        "host", lambda: questions.upstream_compatibility(standby, upstream, request.keywords, barman_host)
    )
    if answer is None:
        return failed
    verdicts, facts = answer
    return Findings(verdicts, _slot_to_make(case, upstream, facts))


def _slot_to_make(case: Case, upstream: Upstream, facts: UpstreamFacts) -> dict[str, Any]:
    """The slot, and how to log in to the upstream to make it; no key if nothing is known of the slot."""
    slot, keywords = facts.slot, case.request.keywords
    if slot is None:
        return {}
    elsewhere = ("host", "hostaddr", "port", "user", "password", "dbname")
    return {
        "slot": {
            "name": slot.name,
            "create": slot.kind == "absent" and _may_make_slot(case.request),
            "max_wal_bytes": facts.max_slot_wal_keep_size,
            "login_host": upstream.host,
            "login_port": int(upstream.port),
            "login_user": keywords.get("user"),
            "login_db": facts.database,
            "connect_params": {name: value for name, value in public(keywords).items() if name not in elsewhere},
        }
    }


def _may_make_slot(request: Request) -> bool:
    """Whether a later task may make the slot. The plan hands no secret on, and the task knows the password alone."""
    others = [name for name in request.keywords if is_secret(name) and name != "password"]
    return request.slot_created and not others
