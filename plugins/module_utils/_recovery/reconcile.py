# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a data directory comes to the recovery settings that are asked for: observe, compare, apply, report.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import AUTO_CONF
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import find_bindir, wal_spool_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import pg_settings as _pg_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import parsed_conninfo
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.local_server import ask_server
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.login import Login
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import (
    configured,
    meaning,
    require_valid,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery import files as _files
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery import stray_config as _stray_config
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.left_slot import (
    UpstreamSlot,
    left_slot,
    warning_of,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.leftovers import neutralised
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.restore_command import (
    RestoreCommand,
    spool_first,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import needs, of_server

__all__ = ["RecoveryRequest", "reconcile"]


@dataclass(frozen=True)
class RecoveryRequest:
    """The recovery settings that are asked for, and of which data directory.

    ``settings`` are names and values as a file holds them. ``config_directory`` holds postgresql.conf, if the data
    directory does not. ``config_files`` is ``keep_local``, ``from_backup`` or None for the default. ``bindir`` is the
    directory of the server programs, None where it has to be looked for. ``rejoin``: a stopped primary may become a
    standby. ``login_user`` is the role as whom a running server is asked, None for that of the OS user's name.
    """

    data_directory: str
    state_directory: str
    settings: Mapping[str, str]
    login: Login
    command: RestoreCommand
    config_directory: str | None = None
    config_files: str | None = None
    bindir: str | None = None
    rejoin: bool = False
    login_user: str | None = None


@dataclass(frozen=True)
class _Observed:
    """What there is. ``configured`` is what postgresql.conf and its includes set."""

    pgdata: DataDir
    major: int
    configured: Mapping[str, str]


@dataclass(frozen=True)
class _Change:
    """What has to change. ``settings`` are all that are to be in place, those that overrule a file included.

    ``neutralised`` are the names of the latter. ``running`` is what the server uses, None where it cannot be asked;
    ``unasked`` says why one that runs could not be. ``outdated`` are the settings of which it uses another value.
    ``reload`` and ``restart`` are the settings that the server takes up by that, or not at all. ``left_slot`` is the
    slot that the standby does not use any more.
    """

    settings: Mapping[str, str]
    neutralised: tuple[str, ...]
    files: _files.FileChange
    strays: _stray_config.Strays
    running: _pg_settings.RunningSettings | None
    outdated: tuple[str, ...]
    reload: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    left_slot: UpstreamSlot | None = None
    unasked: str | None = None

    @property
    def need(self) -> str | None:
        """What the server needs: ``restart``, ``reload`` or None."""
        return "restart" if self.restart else "reload" if self.reload else None


def reconcile(request: RecoveryRequest, only_look: bool) -> dict[str, Any]:
    """Make sure of the settings, unless ``only_look``. The result of the module. Raises StandbyError."""
    observed = _observe(request)
    request = _serving(request, observed)
    change = _compare(request, observed)
    _require_possible(request, observed, change)
    if not only_look:
        _apply(request, change)
        change = _confirmed(request, observed, change)
    return {**_report(request, observed, change), "warnings_to_show": _warnings(request.command, change)}


def _require_standby(pgdata: DataDir, rejoin: bool = False) -> int:
    """The major version of a directory that recovery settings may be written into.

    Raises StandbyError for what is no standby: settings alone must not turn a primary into one, unless it is to
    ``rejoin`` and does not run.
    """
    fits = pgdata.state == "standby" or (rejoin and pgdata.state == "cluster" and not pgdata.running)
    if not fits or pgdata.major is None:
        running = f", and a server runs on it (pid {pgdata.pid})" if pgdata.running else ""
        raise StandbyError(
            Refusal(
                "data_directory_not_standby",
                f"Recovery settings belong to a standby, but {pgdata.path} is {pgdata.state}{running}. Nothing was"
                " changed.",
                "clone it first, or correct data_directory",
            )
        )
    return pgdata.major


def _observe(request: RecoveryRequest) -> _Observed:
    """Look at the directory and at the configuration of its server. Raises StandbyError for what is no standby."""
    if request.config_files == "keep_local" and not request.config_directory:
        raise StandbyError(
            Refusal(
                "config_files_unclear",
                "config_files=keep_local keeps the configuration that the host has in config_directory, but"
                " config_directory is not given. Nothing was changed.",
                "name config_directory, or use config_files=from_backup",
            )
        )
    pgdata = inspect(request.data_directory, request.state_directory)
    major = _require_standby(pgdata, request.rejoin)
    config_directory = request.config_directory or request.data_directory
    return _Observed(pgdata, major, configured(os.path.join(config_directory, "postgresql.conf")))


def _serving(request: RecoveryRequest, observed: _Observed) -> RecoveryRequest:
    """The request, with the restore_command that the running server has if that serves as well.

    Before PostgreSQL 14 a server takes up another one only by a restart (release notes of 14). The ordinary command and
    the one that looks into the spool first bring the same WAL: it is not worth a restart which of the two it is.
    """
    wanted = request.settings.get("restore_command")
    if not wanted or not observed.pgdata.running or needs(["restore_command"], observed.major) == "reload":
        return request
    ordinary = request.command.text
    equals = (ordinary, spool_first(wal_spool_of(request.state_directory), ordinary))
    there = _files.current(request.data_directory, observed.major).get("restore_command")
    if there is None or wanted not in equals or there not in equals:
        return request
    return replace(request, settings={**request.settings, "restore_command": there})


def _compare(request: RecoveryRequest, observed: _Observed) -> _Change:
    """What has to change, on disk and in the running server. Reads only."""
    path = request.data_directory
    auto_conf = read_small(os.path.join(path, AUTO_CONF)) or ""
    harmless = neutralised(observed.configured, request.settings, observed.major, auto_conf)
    settings = {**request.settings, **harmless}
    strays = _stray_config.find_strays(
        path,
        request.config_directory or path,
        observed.configured,
        request.state_directory,
        request.config_files == "from_backup",
    )
    files = _files.compare(path, settings, not request.config_directory, observed.major)
    running = _pg_settings.read_settings(observed.pgdata, {*settings, *files.settings}, request.login_user)
    left = left_slot(_slot(_files.current(path, observed.major)), _slot(settings))
    change = _Change(settings, tuple(sorted(harmless)), files, strays, running, (), left_slot=left)
    if not observed.pgdata.running:
        return change
    if running is None:
        return _of_unasked(request, observed, change)
    return _with_needs(request, observed, change, running)


def _of_unasked(request: RecoveryRequest, observed: _Observed, change: _Change) -> _Change:
    """What a server that could not be asked has to take up: what a reload brings, which interrupts nothing.

    Whether anything waits for a restart only the server itself can say.
    """
    unasked = ask_server(observed.pgdata, request.login_user).unasked
    found = unasked.refusal.found if unasked is not None else f"The server on {observed.pgdata.path} did not answer."
    written = of_server(dict.fromkeys(change.files.settings, ""), observed.major)
    return replace(change, reload=tuple(written), unasked=found)


def _slot(settings: Mapping[str, str]) -> UpstreamSlot | None:
    """The slot that a standby with these settings uses."""
    keywords = parsed_conninfo(settings.get("primary_conninfo", "")) or {}
    return UpstreamSlot.of(settings.get("primary_slot_name", ""), keywords)


def _with_needs(
    request: RecoveryRequest, observed: _Observed, change: _Change, running: _pg_settings.RunningSettings
) -> _Change:
    """Which of the settings the running server has to take up, and how. What it uses already needs nothing."""
    live = running.settings
    # A line that goes leaves the value that is built in.
    left = {name: live[name].default for name in change.files.settings if name in live}
    in_words = partial(meaning, find_bindir(observed.major, request.bindir))
    outdated = running.outdated({**left, **change.settings}, in_words)
    # Such as those of a recovery.conf; those of a library that is not loaded need no restart.
    unknown = [name for name in change.files.settings if name not in live]
    restart = [name for name in outdated if live[name].needs_restart]
    restart += [name for name in unknown if "." not in name and needs([name], observed.major) == "restart"]
    # What it has in other words already is loaded as well: it tells later whether its files are.
    written = of_server(dict.fromkeys(change.files.settings, ""), observed.major)
    return replace(
        change,
        outdated=tuple(name for name in outdated if name in change.settings),
        reload=tuple(name for name in {**dict.fromkeys(outdated), **written} if name not in restart),
        restart=tuple(restart),
    )


def _confirmed(request: RecoveryRequest, observed: _Observed, change: _Change) -> _Change:
    """The same when the files are written: a restart only for what the server itself says that it waits for.

    It reads its files for that, and compares what they say with what it uses, in its own way.
    """
    if not change.restart or change.running is None:
        return change
    now = _pg_settings.read_settings(observed.pgdata, (), request.login_user)
    if now is None:
        return change
    waiting = now.waiting(change.restart)
    loads = (name for name in change.restart if name not in waiting)
    return replace(change, reload=(*change.reload, *loads), restart=tuple(waiting))


def _require_possible(request: RecoveryRequest, observed: _Observed, change: _Change) -> None:
    """That a server takes the settings, and that the running one will take up what the files say.

    Raises StandbyError.
    """
    path = request.data_directory
    if change.files.files:
        require_valid(find_bindir(observed.major, request.bindir), of_server(change.settings, observed.major))
    if change.running is None:
        return
    lasting = change.running.lasting(os.path.join(path, name) for name in change.files.files)
    if lasting:
        raise StandbyError(
            Refusal(
                "configuration_invalid",
                f"The server on {path} cannot reload its configuration: {'; '.join(lasting)}. Nothing was changed.",
                "mend those lines",
            )
        )
    overridden = change.running.overridden(change.outdated)
    if overridden:
        values = ", ".join(f"{name} ({source})" for name, source in overridden.items())
        raise StandbyError(
            Refusal(
                "setting_overridden",
                f"The server on {path} was started with other values that no file can change: {values}."
                " Nothing was changed.",
                "take them out of its options (pg_ctl -o, the unit's or the packaging's start options) and restart it",
            )
        )


def _apply(request: RecoveryRequest, change: _Change) -> None:
    """Write the password file, the recovery settings, and what replaces stray files. Raises StandbyError."""
    if request.login.passfile is not None:
        request.login.passfile.write()
    _files.apply(request.data_directory, change.files)
    _stray_config.apply_strays(request.data_directory, change.strays)


def _report(request: RecoveryRequest, observed: _Observed, change: _Change) -> dict[str, Any]:
    """The result of the module, the same whether the change was made or only looked at; secrets masked."""
    need = change.need
    passfile = _rewritten(request.login)
    return {
        "changed": bool(change.files.files or change.strays.names or need or passfile),
        "settings": _files.shown(change.settings),
        "changed_settings": change.files.settings,
        "outdated_settings": list(change.outdated),
        "neutralised": list(change.neutralised),
        "files": change.files.files,
        "moved_aside": list(change.strays.names),
        "passfile": passfile,
        "reload_required": need == "reload",
        "restart_required": need == "restart",
        "server_state": {"reload": "reloaded", "restart": "restarted"}.get(str(need), "started"),
        "diff": _difference(request.data_directory, change.files, passfile),
    }


def _rewritten(login: Login) -> str | None:
    """The password file that does not hold the password as it should."""
    return login.passfile.path if login.passfile is not None and login.passfile.text is not None else None


def _difference(path: str, files: _files.FileChange, passfile: str | None) -> dict[str, str]:
    """Before and after in meaning, without secrets."""
    sides = {"before": dict(files.before), "after": dict(files.after)}
    if passfile is not None:
        sides["after"][f"# {passfile}"] = "the password of this login"
    texts = {side: "".join(f"{key} = {value}\n" for key, value in values.items()) for side, values in sides.items()}
    return {"before_header": path, "after_header": path, **texts}


def _unknown(why: str) -> Refusal:
    """What is not known of a server that could not be asked, as a warning."""
    found = f"It is not known which settings the running server uses, and no restart is asked for: {why}"
    return Refusal("instance_unreachable", found, "run again when it takes connections")


def _warnings(command: RestoreCommand, change: _Change) -> list[str]:
    """What a person should know of what is new. Runs the own test of a restore_command's script."""
    warnings = [warning_of(change.left_slot).msg] if change.left_slot is not None else []
    if change.unasked is not None:
        warnings.append(_unknown(change.unasked).msg)
    if "restore_command" not in change.files.settings:
        return warnings
    if command.note is not None:
        warnings.append(f"restore_command uses barman get-wal over ssh: {command.note}.")
    complaint = command.test()
    if complaint is not None:
        warnings.append(
            f"barman-wal-restore --test fails: {complaint}. Until it works, WAL comes from the upstream only."
        )
    return warnings
