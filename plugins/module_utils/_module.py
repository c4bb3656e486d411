# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's options to the work, and the one way in which a module ends. Private to the collection."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import target_of
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Consent, Job, Target, TransferOptions
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.one_login import one_login
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError, of_os_error
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import masked
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import MASK, free_of_secrets, secrets
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, backup_from
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.paths import written_once
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory, find_bindir
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.requested_settings import checked_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._times import parse_duration

__all__ = ["backup_of", "barman_of", "expiry_of", "finish", "in_one_login", "job_of"]


_PATHS = ("data_directory", "state_directory", "waldir")

# What a copy cannot do without; the rest of a backup Barman may not know.
_NEEDED = ("backup_id", "status", "server", "directory", "version")


def backup_of(given: dict[str, Any]) -> Backup:
    """The backup that barman_backup_info returned, back from JSON. Raises StandbyError for anything else."""
    missing = [name for name in _NEEDED if not given.get(name)]
    if missing:
        raise _no_backup(f"it lacks {', '.join(missing)}")
    try:
        return backup_from(given)
    except (KeyError, TypeError, ValueError) as wrong:
        raise _no_backup("its tablespaces are not a list of name, oid and location") from wrong


def _no_backup(why: str) -> StandbyError:
    found = f"The option backup is no result of barman_backup_info: {why}."
    return StandbyError(Refusal("backup_invalid", found, "pass its return value `selected`"))


def barman_of(params: dict[str, Any], server: str | None = None) -> Barman:
    """The Barman that the options name, and of its servers the one that they name, or else ``server``.

    Raises StandbyError for a barman_host that is no ssh destination.
    """
    host = BarmanHost.from_params(params)
    shell = host.shell() if host.destination else LocalShell()
    name = params["barman_server"] or server
    return Barman(shell, str(name), params["barman_executable"], params.get("barman_config"))


def job_of(params: dict[str, Any], method: str = "rsync", backup: Backup | None = None) -> Job:
    """The copy that the options describe, made by that method, of the backup that they name or of another.

    Raises StandbyError.
    """
    for name, least in (("jobs", 1), ("bwlimit", 1), ("io_timeout", 1), ("lock_timeout", 0), ("attach_timeout", 0)):
        _require_at_least(least, params.get(name), name)
    backup = backup or backup_of(params["backup"])
    data_directory = _plain(params["data_directory"], "data_directory")
    given_state_directory = params["state_directory"] or default_state_directory(data_directory)
    return Job(
        backup=backup,
        barman_host=BarmanHost.from_params(params),
        target=Target(
            data_directory=data_directory,
            state_directory=_plain(given_state_directory, "state_directory"),
            bindir=find_bindir(backup.major, params["pg_bindir"]),
            tablespaces=target_of(backup, params["tablespace_mapping"]),
            waldir=params["waldir"] or None,
            **_given(params, "lock_timeout"),
        ),
        consent=Consent(params["overwrite"], params["keep_old"], params.get("again", False)),
        transfer=TransferOptions(
            jobs=params.get("jobs") or _default_jobs(), **_given(params, "bwlimit", "compress", "io_timeout")
        ),
        settings=checked_settings(params.get("settings") or {}),
        method=method,
        **_given(params, "verify"),
    )


def _given(params: dict[str, Any], *names: str) -> dict[str, Any]:
    """The options of these names that the module has; a job has defaults for the others."""
    return {name: params[name] for name in names if name in params}


def expiry_of(params: dict[str, Any]) -> int | None:
    """For how many seconds a claim counts; None if it is to go. Raises StandbyError."""
    seconds = parse_duration(params["expiry"])
    if not seconds:
        raise StandbyError(
            Refusal(
                "time_invalid",
                f"expiry={params['expiry']!r} is no duration.",
                "write it like 36h, 7d or 90min; a number alone are seconds",
            )
        )
    return seconds if params["state"] == "present" else None


def _default_jobs() -> int:
    """Half of the processors: an rsync and its ssh keep one busy each, and a server may run beside them."""
    return min(8, max(2, (os.cpu_count() or 2) // 2))


def in_one_login(
    work: Callable[[dict[str, Any], bool], dict[str, Any]],
) -> Callable[[dict[str, Any], bool], dict[str, Any]]:
    """The same work, for which this host logs in at the Barman host at most once."""

    def with_login(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        with one_login(params) as asked:
            return work(asked, check_mode)

    return with_login


def finish(module: AnsibleModule, work: Callable[[dict[str, Any], bool], dict[str, Any]]) -> None:
    """Do a module's work and end it: the only place where an error becomes a failed task."""
    try:
        result = work(_with_paths_written_once(module.params), module.check_mode)
    except StandbyError as error:
        _end(module, error)
    except OSError as failed:
        _end(module, StandbyError(of_os_error(failed), exception=traceback.format_exc()))
    except Exception as mistake:  # a traceback that Python prints would be cleaned by nobody
        refusal = Refusal("internal_error", f"This is a mistake of the module: {mistake!r}.", "report the traceback")
        _end(module, StandbyError(refusal, exception=traceback.format_exc()))
    _warn(module, result)
    module.exit_json(**_shown(module, result))


def _end(module: AnsibleModule, error: StandbyError) -> NoReturn:
    result = error.as_result()
    _warn(module, result)
    module.fail_json(**_shown(module, result, failed=True))
    raise AssertionError("fail_json never returns")


def _warn(module: AnsibleModule, result: dict[str, Any]) -> None:
    """Take the warnings out of a result, and show them."""
    for warning in free_of_secrets({"msg": result.pop("warnings_to_show", ())}, _hidden(module))["msg"]:
        module.warn(warning)


def _shown(module: AnsibleModule, result: dict[str, Any], failed: bool = False) -> dict[str, Any]:
    """A result without secrets, and with the options that led to it.

    Ansible would mask each text of an option with ``no_log`` wherever it stands. With the password `data` it would make
    another path of every data directory, and root acts on such paths in later tasks. So no such text is left to
    Ansible: results are made without secrets, and only their text for people is masked.
    """
    module.no_log_values.clear()
    invocation = {"module_args": {name: _option(module, name, value) for name, value in module.params.items()}}
    return free_of_secrets({**result, "invocation": invocation}, _hidden(module), failed)


def _hidden(module: AnsibleModule) -> set[str]:
    """The secrets in the options, as texts."""
    conninfo, password = module.params.get("upstream_conninfo"), module.params.get("upstream_password")
    return secrets(conninfo) | ({str(password)} if password else set())


def _option(module: AnsibleModule, name: str, value: Any) -> Any:
    """An option as it may be told. Of a conninfo only the secrets are hidden: results speak of hosts and ports."""
    if name == "upstream_conninfo" and value:
        if isinstance(value, dict):
            return masked(value)
        return MASK if secrets(value) else value
    return MASK if value and module.argument_spec[name].get("no_log") else value


def _with_paths_written_once(params: dict[str, Any]) -> dict[str, Any]:
    """Options in which the directories of a cluster have one spelling, so that ``/srv/pg/`` is ``/srv/pg``."""
    changed: dict[str, Any] = {name: written_once(params[name]) for name in _PATHS if params.get(name)}
    mapping = params.get("tablespace_mapping")
    if mapping:
        spelled = {written_once(str(old)): written_once(str(new)) for old, new in mapping.items()}
        changed["tablespace_mapping"] = spelled
    return {**params, **changed}


def _require_at_least(least: int, value: int | None, option: str) -> None:
    if value is not None and value < least:
        raise StandbyError(Refusal("option_out_of_range", f"{option}={value} is less than {least}.", "correct it"))


def _plain(path: str, option: str) -> str:
    why = None if path.startswith("/") else "it is not absolute"
    if ".." in path.split("/"):  # to be seen before it is normalised away
        why = "it holds `..`"
    if why is not None:
        raise StandbyError(
            Refusal("path_dangerous", f"{option}={path!r} cannot be used: {why}.", "name a directory of its own")
        )
    return os.path.normpath(path)
