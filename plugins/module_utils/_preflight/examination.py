# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A preflight: observe everything, judge everything, raise nothing on the way. Private to the collection."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ansible_collections.pgfleet.standby.plugins.module_utils import _verdict
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Root
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import backup as _backup
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import basebackup_facts as _basebackup_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import compatibility_facts as _compatibility_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import configuration as _configuration
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import configuration_facts as _configuration_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import space as _space
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import space_facts as _space_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import (
    plan_to_keep,
    require_empty_targets,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.roots import plan
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData, DataDir, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import paths as _paths
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import describe
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import find_bindir, home_directories
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import without_upstream as _without_upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import identify
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import UpstreamFacts
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import server_version
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import plan as _plan
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import wal as _wal
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import COPYING, Decision, decide
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.host_state import (
    Observed,
    WantedStandby,
    observe,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.capabilities import probe
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict

__all__ = ["Examination"]

T = TypeVar("T")

# What is there goes on, with its own configuration.
_GOING_ON = ("start", "settings", "rewind")


@dataclass
class Examination:
    """All verdicts about one host, and the plan that follows from them."""

    request: Request
    verdicts: list[Verdict] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)
    pgdata: DataDir | None = None
    decision: Decision | None = None
    files: dict[str, int] = field(default_factory=dict)
    upstreams: _basebackup_facts.UpstreamFiles | None = None

    def run(self) -> None:
        """Ask everything that can be asked; what depends on a failed answer is left out."""
        server = self._upstream()
        self._look_at_source(server)
        request = self.request
        others = request.job.other_places if request.job is not None else {}
        self.verdicts += _paths.paths(request.data_directory, others, home_directories())
        self.verdicts += _configuration.starter(request.service, [request.data_directory, request.state_directory])
        self.pgdata = self._try("data_directory", lambda: inspect(request.data_directory, request.state_directory))
        seen = self._see(server)
        if seen is not None and self.pgdata is not None:
            self._decide(self.pgdata, seen)
            self._keep_old()
            self._bring_all()
        self._check_restore_command()
        decided = self.decision
        if decided is None or decided.action in (*COPYING, "refuse"):
            self._check_copy(server)
        elif decided.action in _GOING_ON and self.pgdata is not None and self.pgdata.control is not None:
            self._check_what_is_there(self.pgdata, self.pgdata.control, server, seen)
        if server is not None:
            self.plan.setdefault("wal_to_replay", self._backlog(server))
        refused = bool(_verdict.errors(self.verdicts))
        self.plan = _plan.plan_result(self.plan, self.request, self.pgdata, self.decision, refused, server)

    def _try(self, check: str, ask: Callable[[], T]) -> T | None:
        """An answer, or an error verdict and None."""
        try:
            return ask()
        except StandbyError as failed:
            self.verdicts.append(_verdict.problem(check, failed.refusal))
            return None

    def _upstream(self) -> Upstream | None:
        """Who it is; None where it does not answer, or nobody wants it asked."""
        if self.request.upstream_asked:
            return self._try("upstream", lambda: identify(self.request.keywords))
        self.verdicts.append(_without_upstream.not_checked())
        self.plan["not_checked"] = list(_without_upstream.NOT_CHECKED)
        return None

    def _look_at_source(self, server: Upstream | None) -> None:
        """What pg_basebackup would copy is the upstream as it is now."""
        source = self.request.basebackup
        if source is None or server is None:
            return
        self.upstreams = self._try("method", lambda: _basebackup_facts.observe(server, self.request.keywords, source))
        if self.upstreams is not None:
            self.request = replace(self.request, job=self.upstreams.job)

    def _see(self, server: Upstream | None) -> Observed | None:
        pgdata, request = self.pgdata, self.request
        if pgdata is None:
            return None
        wanted = WantedStandby(
            keywords=request.keywords,
            system_identifier=request.job.backup.system_identifier if request.job is not None else None,
            slot_name=request.slot_name,
            overwrite=request.overwrite,
            bindir=request.bindir,
            barman=request.barman if request.restore_command else None,
            rewind_user=request.rewind_user,
            restore_command=request.restore_command,
            upstream_asked=request.upstream_asked,
            has_backup=request.job is not None,
        )
        return self._try("data_directory", lambda: observe(pgdata, server, wanted))

    def _decide(self, pgdata: DataDir, seen: Observed) -> None:
        """The action, or the verdict that there is none."""
        self.verdicts += seen.verdicts
        decided = decide(seen.host_state, self.request.overwrite)
        self.decision = decided
        what = f"{pgdata.path}: {describe(pgdata)}"
        if decided.refusal is not None:
            found = f"{what}; {decided.refusal.found} Nothing was changed."
            self.verdicts.append(_verdict.problem("data_directory", replace(decided.refusal, found=found)))
        else:
            self.verdicts.append(Verdict("data_directory", "ok", f"{what}: {decided.reason}"))

    def _keep_old(self) -> None:
        """What would be overwritten is renamed aside, if that is wanted, and the copy goes into an empty directory."""
        job, decided = self.request.job, self.decision
        if job is None or not job.keep_old or decided is None or decided.action not in ("rewind", "delta", "replace"):
            return
        keep_plan = self._try("keep_old", lambda: plan_to_keep(job))
        self.decision = replace(decided, action="clone")
        self.plan["kept_old"] = list(keep_plan.kept) if keep_plan is not None else []

    def _bring_all(self) -> None:
        """Only our own copy compares with what is there; other methods replace it."""
        job, decided = self.request.job, self.decision
        if job is not None and job.method != "rsync" and decided is not None and decided.action == "delta":
            self.decision = replace(decided, action="replace")

    # --- a copy ----------------------------------------------------------------------------

    def _check_copy(self, server: Upstream | None) -> None:
        """What only matters where files are to be brought from a backup."""
        job = self.request.job
        if job is None:
            self._no_backup()
            return
        if self.upstreams is not None and server is not None:
            self._check_basebackup(self.upstreams, server)
            return
        action = self.decision.action if self.decision is not None else "refuse"
        self.verdicts += _backup.backup(job.backup, int(time.time()))
        if self.request.barman_checks is not None:
            self.verdicts += _backup.barman(self.request.barman_checks)
        if self.pgdata is not None and action != "replace":
            pgdata = self.pgdata
            self._try("tablespaces", lambda: require_empty_targets(job, pgdata))
        self.verdicts += self._try("version", lambda: _backup.version(job.backup, server_version(job.bindir))) or []
        if server is not None:
            self.verdicts += _backup.upstream(job.backup, server)
        if job.backup.staged:
            self._note_staged(job)
            self._check_fitness(job.bindir, job.backup.major, server, None)
            return
        roots = self._try("backup", lambda: plan(job))
        if roots is None:
            return
        remote = self._try("rsync", lambda: probe(job.source, job.compress))
        if remote is not None:
            can = ", ".join(remote.compressions)
            self.verdicts.append(Verdict("rsync", "ok", f"both ends have it; on the wire they can do {can}"))
        self._check_room(job, roots, server, action if job.method == "rsync" or action == "clone" else "replace")
        configuration = self._try(
            "configuration", lambda: _configuration_facts.of_backup(job, roots[0], self._places(job.bindir))
        )
        if configuration is not None:
            self._check_configuration(configuration, server)
            if configuration.control is not None:
                works = not self._failed("restore_command")
                self.verdicts += _wal.check(self.request, job.backup, configuration.control, server, works)
        self._check_fitness(job.bindir, job.backup.major, server, configuration)
        self._note_files(roots)

    def _note_staged(self, job: Job) -> None:
        """Its files are there only when Barman has restored it; then this host is looked at again, with them."""
        backup = job.backup
        self.verdicts += _backup.staged(backup)
        room = self._try("space", lambda: _space_facts.of_whole(job.data_directory, job.places_outside))
        if room is not None:
            self.verdicts += _space.space({job.data_directory: backup.size or 0}, {job.data_directory: room}, 0)
        self.plan.update(_backup.staged_plan(backup, job.targets))

    def _check_basebackup(self, pgdata: _basebackup_facts.UpstreamFiles, server: Upstream) -> None:
        """Where they come from the upstream itself. Only what differs cannot be sent: a delta is a replacement."""
        request, job = self.request, pgdata.job
        here, source, decided = self.pgdata, request.basebackup, self.decision
        if here is not None and (decided is None or decided.action != "replace"):
            self._try("tablespaces", lambda: require_empty_targets(job, here))
        if decided is not None and decided.action in ("delta", "resume"):
            self.decision = replace(decided, action="replace")
        checked = source and self._try(
            "method",
            lambda: _basebackup_facts.check(server, pgdata, source, request.slot_name, request.restore_command),
        )
        if checked:
            self.verdicts += checked.verdicts
            self.plan.update(checked.plan)
        configuration = self._try("configuration", lambda: _configuration_facts.of_upstream(self._places(job.bindir)))
        if configuration is not None:
            self._check_configuration(configuration, server)
        self._check_fitness(job.bindir, job.backup.major, server, configuration)

    def _no_backup(self) -> None:
        """An error only where there is something to copy: a refusal has its own, and so has the upstream's silence."""
        if self.request.basebackup is not None or (self.decision is not None and self.decision.action == "refuse"):
            return
        if self.request.no_backup is not None:
            self.verdicts.append(_verdict.problem("backup", self.request.no_backup))
            return
        none = Refusal(
            "backup_missing", "A backup is needed, and none was given.", "choose one with barman_backup_info"
        )
        self.verdicts.append(_verdict.problem("backup", none))

    def _check_room(self, job: Job, roots: tuple[Root, ...], server: Upstream | None, action: str) -> None:
        room = self._try("space", lambda: _space_facts.measure(roots, action))
        if room is None:
            return
        self.files = room.files
        self.verdicts += _space.space(room.needed, room.available, self._backlog(server))
        rate = _space_facts.rate(job.source, roots)
        self.plan.update(
            bytes_to_copy=room.to_copy,
            free_after={name: room.available[name] - size for name, size in room.needed.items()},
            removed=room.removed,
            removed_names=room.removed_names,
            bytes_per_second=round(rate) if rate else None,
            seconds=round(room.to_copy / rate, 1) if rate else None,
        )

    def _note_files(self, roots: tuple[Root, ...]) -> None:
        self.plan.update(
            files=sum(len(root.files) for root in roots),
            bytes=sum(root.bytes for root in roots),
            tablespaces=[
                {"name": root.name, "oid": root.oid, "location": root.target, "bytes": root.bytes} for root in roots[1:]
            ],
        )

    # --- what is there ---------------------------------------------------------------------

    def _check_what_is_there(
        self, pgdata: DataDir, control: ControlData, server: Upstream | None, seen: Observed | None
    ) -> None:
        """What matters where a cluster that is there goes on."""
        if seen is not None and seen.proof is not None:
            self.verdicts += seen.proof.verdicts
            self.plan["wal_to_replay"] = seen.proof.bytes
        bindir = self._try("version", lambda: find_bindir(pgdata.major, self.request.bindir))
        if bindir is None:
            return
        places = self._places(bindir)
        configuration = self._try("configuration", lambda: _configuration_facts.of_directory(control, places))
        if configuration is not None:
            self._check_configuration(configuration, server)
        self._check_fitness(bindir, pgdata.major, server, configuration)

    # --- both ------------------------------------------------------------------------------

    def _places(self, bindir: str) -> _configuration_facts.ConfigurationPlaces:
        request = self.request
        return _configuration_facts.ConfigurationPlaces(
            request.data_directory,
            request.state_directory,
            bindir,
            request.config_directory,
            request.config_created,
            request.config_from_backup,
        )

    def _check_configuration(self, configuration: _configuration_facts.Configuration, server: Upstream | None) -> None:
        self.verdicts += configuration.verdicts
        if configuration.limits is None:
            return
        control = configuration.control
        needed = [*([control.settings] if control else []), *([server.settings] if server is not None else [])]
        to_raise = _configuration.settings_to_raise(configuration.limits, *needed)
        self.verdicts += _configuration.hot_standby(configuration.limits, to_raise, self.request.hot_standby_settings)
        self.plan["settings"] = {name: str(value) for name, value in to_raise.items()}

    def _check_fitness(
        self,
        bindir: str,
        major: int | None,
        server: Upstream | None,
        configuration: _configuration_facts.Configuration | None,
    ) -> None:
        request, decided = self.request, self.decision
        standby = _compatibility_facts.Standby(
            application_name=request.keywords.get("application_name", ""),
            slot_name=request.slot_name,
            bindir=bindir,
            major=major,
            places={
                "data_directory": request.data_directory,
                "state_directory": request.state_directory,
                **(request.job.other_places if request.job is not None else {}),
            },
            preload=configuration.preload if configuration is not None else "",
            runs=self.pgdata is not None and self.pgdata.running and self.pgdata.state == "standby",
            kept=decided is not None and decided.action in _GOING_ON,
            created=request.directories_created,
            block_size=(
                (configuration.control.block_size or None) if configuration and configuration.control else None
            ),
            slot_made=request.slot_created,
            backlog=self.plan.get("wal_to_replay", self._backlog(server)),
            walsenders=2 if request.basebackup is not None and (decided is None or decided.action in COPYING) else 1,
        )
        if not self._failed("paths"):  # nobody should be told to take over a place of the system
            self.verdicts += self._try("host", lambda: _compatibility_facts.of_host(standby, self.files)) or []
        if server is not None:
            shell = request.barman.shell if request.barman is not None else None
            asked = self._try(
                "host", lambda: _compatibility_facts.of_upstream(standby, server, request.keywords, shell)
            )
            if asked is not None:
                verdicts, facts = asked
                self.verdicts += verdicts
                self._note_slot(server, facts)

    def _note_slot(self, server: Upstream, facts: UpstreamFacts) -> None:
        """The slot, and how to log in where it has to be made."""
        slot, keywords = facts.slot, self.request.keywords
        if slot is None:
            return
        elsewhere = ("host", "hostaddr", "port", "user", "password", "dbname")
        self.plan["slot"] = {
            "name": slot.name,
            "create": slot.kind == "absent" and self.request.slot_created,
            "max_wal_bytes": facts.max_slot_wal_keep_size,
            "login_host": server.host,
            "login_port": int(server.port),
            "login_user": keywords.get("user"),
            "login_db": facts.database,
            "connect_params": {name: value for name, value in keywords.items() if name not in elsewhere},
        }

    def _check_restore_command(self) -> None:
        if self.request.restore_note is not None:
            refusal = Refusal(
                "barman_cli_missing",
                f"WAL will be fetched by barman get-wal over ssh: {self.request.restore_note}.",
                "nothing has to be done; barman-cli can fetch several segments at a time",
            )
            self.verdicts.append(_verdict.warning("restore_command", refusal))

    def _failed(self, check: str) -> bool:
        return any(verdict.check == check and verdict.severity == "error" for verdict in self.verdicts)

    def _backlog(self, server: Upstream | None) -> int:
        job = self.request.job
        begin = job.backup.begin_lsn if job is not None else None
        return max(0, server.lsn - parse_lsn(begin)) if server is not None and begin else 0
