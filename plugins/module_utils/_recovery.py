# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a standby's recovery settings are and what changing them asks of a running server. Pure.

Facts from the PostgreSQL manual, chapters 20.5.4-20.5.6 and 27, and the release notes of 12 to 14.
Private to the collection.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils import _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir

__all__ = [
    "LEFTOVERS",
    "checked_settings",
    "foreign_paths",
    "needs",
    "require_standby",
    "restore_command",
    "wanted_settings",
    "without_leftovers",
]

_NAME = re.compile(r"[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)*")

# Settings that a backup brings along from its source and that must never act on a standby:
# a recovery target would promote it, a conninfo, slot or restore_command is another node's.
LEFTOVERS = (
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "restore_command",
    "archive_cleanup_command",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "trigger_file",
    "standby_mode",
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
)

# The major version from which a reload is enough; what is not here needs a restart.
_RELOAD_SINCE = {
    "primary_conninfo": 13,
    "primary_slot_name": 13,
    "restore_command": 14,
    "archive_cleanup_command": 12,
    "recovery_end_command": 12,
    "recovery_min_apply_delay": 12,
    "promote_trigger_file": 12,
    "hot_standby_feedback": 12,
    "max_standby_archive_delay": 12,
    "max_standby_streaming_delay": 12,
    "wal_receiver_status_interval": 12,
    "wal_receiver_timeout": 12,
    "wal_retrieve_retry_interval": 12,
}

# Lines of a postgresql.conf that name places; a copy on another host must not follow them.
_PLACES = frozenset({"data_directory", "hba_file", "ident_file", "external_pid_file", "config_file"})
_INCLUDES = frozenset({"include", "include_dir", "include_if_exists"})


def without_leftovers(text: str, settings: Mapping[str, str] | None = None) -> str:
    """A copied postgresql.auto.conf that does nothing on its own when the server is started as a standby.

    ``settings`` are what a start needs beside it.
    """
    return _conf.edit(text, settings or {}, LEFTOVERS)


def foreign_paths(text: str, stays: Callable[[str, str], bool]) -> str:
    """A postgresql.conf copied from another host, with the lines turned into comments that name places of that host.

    ``stays`` tells for a setting and its value whether the place exists here and is meant.
    """
    places = [setting for setting in _conf.read(text) if setting.name in _PLACES | _INCLUDES]
    foreign = {setting.line for setting in places if not stays(setting.name, setting.value)}
    lines = text.split("\n")
    return "\n".join(f"#(other host) {line}" if number in foreign else line for number, line in enumerate(lines))


def needs(changed: Iterable[str], major: int) -> str | None:
    """What a running server needs after these settings changed: ``restart``, ``reload`` or None."""
    names = list(changed)
    if not names:
        return None
    return "reload" if all(_RELOAD_SINCE.get(name, major + 1) <= major for name in names) else "restart"


def require_standby(found: DataDir, rejoin: bool = False) -> int:
    """The major version of a directory that recovery settings may be written into.

    Raises StandbyError for what is no standby: settings alone must not turn a primary into one, unless it is to
    ``rejoin`` and does not run.
    """
    fits = found.state == "standby" or (rejoin and found.state == "cluster" and not found.running)
    if not fits or found.major is None:
        running = f", and a server runs on it (pid {found.pid})" if found.running else ""
        raise StandbyError(
            f"Recovery settings belong to a standby, but {found.path} is {found.state}{running}. Nothing was changed."
            " Next: clone it first, or correct data_directory.",
            "data_directory_not_standby",
        )
    return found.major


def wanted_settings(conninfo: str, command: str | None, params: Mapping[str, Any]) -> dict[str, str]:
    """The settings to write, in that order. Raises StandbyError for a value that no file can hold."""
    wanted = {"primary_conninfo": conninfo}
    if params.get("primary_slot_name"):
        wanted["primary_slot_name"] = params["primary_slot_name"]
    if command:
        wanted["restore_command"] = command
    for name in ("archive_cleanup_command", "recovery_min_apply_delay"):
        if params.get(name):
            wanted[name] = params[name]
    wanted["recovery_target_timeline"] = "latest"
    wanted.update(checked_settings(params.get("settings") or {}))
    return checked_settings(wanted)


def checked_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as a file holds them. Raises StandbyError for a name or value that no file can hold."""
    checked = {name.lower(): _value(value) for name, value in settings.items()}
    for name, value in checked.items():
        if not _NAME.fullmatch(name):
            raise StandbyError(f"{name!r} is no name of a setting. Next: correct settings.", "setting_invalid")
        try:
            _conf.quote(value)
        except ValueError as wrong:
            raise StandbyError(
                f"The value of {name} cannot be written: {wrong}. Next: correct it.", "setting_invalid"
            ) from wrong
    return checked


def restore_command(params: Mapping[str, Any], spool_directory: str) -> str | None:
    """The command that the option asks for; for ``auto`` the ``barman-wal-restore`` call of one instance.

    Its spool directory is private: the default one is shared by all clusters of a host, whose
    segments have the same names. ``%`` is doubled, for PostgreSQL replaces ``%f`` and ``%p``.
    Raises StandbyError when ``auto`` is not told enough.
    """
    option = params.get("restore_command")
    if option in (None, "", "none"):
        return None
    if option != "auto":
        return str(option)
    if not params.get("barman_host") or not params.get("barman_server"):  # Ansible takes null for given
        raise StandbyError(
            "restore_command=auto needs to know where Barman is. Next: give barman_host and barman_server,"
            " or restore_command=none.",
            "restore_command_incomplete",
        )
    user, at, host = str(params["barman_host"]).rpartition("@")
    words = ["barman-wal-restore", *(["-U", user] if at else []), "--spool-dir", spool_directory]
    if params.get("barman_config"):
        words += ["--config", str(params["barman_config"])]
    words += [host, str(params["barman_server"])]
    return " ".join([shlex.quote(word).replace("%", "%%") for word in words] + ["%f", "%p"])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
