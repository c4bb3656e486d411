# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a standby's recovery settings are and what changing them asks of a running server. Pure.

Facts from the PostgreSQL manual, chapters 20.5.4-20.5.6 and 27, and the release notes of 12 to 14.
Private to the collection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import in_unit
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir

__all__ = [
    "AUTO_CONF",
    "LEFTOVERS",
    "RECOVERY_CONF",
    "SLOT_NAME",
    "checked_settings",
    "foreign_paths",
    "needs",
    "needs_signal",
    "neutralised",
    "of_server",
    "require_standby",
    "texts",
    "wanted_settings",
    "without_leftovers",
]

SLOT_NAME = re.compile(r"[a-z0-9_]{1,63}")

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

# Of these the ones that act from any configuration file, and are harmless when empty.
_HARMFUL = (
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
    "restore_command",
    "archive_cleanup_command",
)

AUTO_CONF = "postgresql.auto.conf"

# Until PostgreSQL 11 these were no settings of the server but of this file, whose presence made it a standby or an
# archive recovery; from 12 on a server refuses to start while the file is there (release notes of 12, E.1.2).
RECOVERY_CONF = "recovery.conf"

_SIGNAL_SINCE = 12

_OF_RECOVERY_CONF = frozenset(
    {
        "archive_cleanup_command",
        "primary_conninfo",
        "primary_slot_name",
        "recovery_min_apply_delay",
        "recovery_target_timeline",
        "restore_command",
        "standby_mode",
    }
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
    "hot_standby_feedback": 10,
    "max_standby_archive_delay": 10,
    "max_standby_streaming_delay": 10,
    "wal_receiver_status_interval": 10,
    "wal_receiver_timeout": 10,
    "wal_retrieve_retry_interval": 10,
}

# Lines of a postgresql.conf that name places; a copy on another host must not follow them.
_PLACES = frozenset({"data_directory", "hba_file", "ident_file", "external_pid_file", "config_file"})


def without_leftovers(text: str, settings: Mapping[str, str] | None = None) -> str:
    """A copied postgresql.auto.conf that does nothing on its own when the server is started as a standby.

    ``settings`` are what a start needs beside it.
    """
    return _conf.edit(text, settings or {}, LEFTOVERS)


def neutralised(configured: Mapping[str, str], wanted: Mapping[str, str], major: int) -> dict[str, str]:
    """Settings that must not act on a standby although a configuration file makes them, with harmless values.

    ``configured`` is what postgresql.conf and its includes set: postgresql.auto.conf is read after them and wins. With
    archive_mode=always a standby would run the archive_command of its upstream (PostgreSQL manual, 26.2.9).
    """
    harmless = dict.fromkeys(_HARMFUL, "") if needs_signal(major) else {}
    found = {name: value for name, value in harmless.items() if configured.get(name) and name not in wanted}
    if configured.get("archive_mode", "").lower() == "always" and "archive_mode" not in wanted:
        found["archive_mode"] = "on"
    return found


def foreign_paths(text: str, stays: Callable[[str, str], bool]) -> str:
    """A postgresql.conf copied from another host, with the lines turned into comments that name places of that host.

    ``stays`` tells for a setting and its value whether the place exists here and is meant.
    """
    places = [setting for setting in _conf.read(text) if setting.name in _PLACES | _conf.INCLUDES]
    foreign = {setting.line for setting in places if not stays(setting.name, setting.value)}
    lines = text.split("\n")
    return "\n".join(f"#(other host) {line}" if number in foreign else line for number, line in enumerate(lines))


def needs_signal(major: int) -> bool:
    """Whether a standby is told by standby.signal; before that by standby_mode in recovery.conf."""
    return major >= _SIGNAL_SINCE


def of_server(wanted: Mapping[str, str], major: int) -> dict[str, str]:
    """The settings that the server itself knows by their names: all but those of a recovery.conf."""
    return {name: value for name, value in wanted.items() if needs_signal(major) or name not in _OF_RECOVERY_CONF}


def texts(old: Mapping[str, str], wanted: Mapping[str, str], major: int) -> dict[str, str]:
    """The files that hold recovery settings, as they should be. ``old`` are their texts now, by name."""
    if needs_signal(major):
        return {AUTO_CONF: _conf.edit(old.get(AUTO_CONF, ""), wanted, LEFTOVERS)}
    recovery = {name: value for name, value in wanted.items() if name in _OF_RECOVERY_CONF}
    return {
        AUTO_CONF: _conf.edit(old.get(AUTO_CONF, ""), of_server(wanted, major), LEFTOVERS),
        RECOVERY_CONF: _conf.edit(old.get(RECOVERY_CONF, ""), {"standby_mode": "on", **recovery}, LEFTOVERS),
    }


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
    """The settings to write, in that order. Raises StandbyError for a value that no file or server takes."""
    wanted = {"primary_conninfo": conninfo}
    if params.get("primary_slot_name"):
        wanted["primary_slot_name"] = _slot(params["primary_slot_name"])
    if command:
        wanted["restore_command"] = command
    if params.get("archive_cleanup_command"):
        wanted["archive_cleanup_command"] = params["archive_cleanup_command"]
    if params.get("recovery_min_apply_delay"):
        wanted["recovery_min_apply_delay"] = _delay(params["recovery_min_apply_delay"])
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


def _slot(name: str) -> str:
    """The rule of the server itself (PostgreSQL manual, 27.2.6.1)."""
    if not SLOT_NAME.fullmatch(name):
        raise StandbyError(
            f"primary_slot_name={name!r} is not a name that a server takes for a slot."
            " Next: use lower-case letters, digits and underscores, at most 63.",
            "slot_name_invalid",
        )
    return name


def _delay(value: str) -> str:
    if in_unit(value, "ms") is None:
        raise StandbyError(
            f"recovery_min_apply_delay={value!r} is no time that a server understands."
            " Next: give a number and one of the units ms, s, min, h and d.",
            "setting_invalid",
        )
    return value


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
