# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a standby's recovery settings are and what changing them asks of a running server. Pure.

Facts from the PostgreSQL manual, chapters 20.5.4-20.5.6 and 27, and the release notes of 12 to 14.
Private to the collection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import in_unit
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import (
    AUTO_CONF,
    RECOVERY_CONF,
    needs_signal,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.leftovers import LEFTOVERS

__all__ = ["SLOT_NAME", "checked_settings", "needs", "of_server", "require_standby", "texts", "wanted_settings"]

SLOT_NAME = re.compile(r"[a-z0-9_]{1,63}")

_NAME = re.compile(r"[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)*")

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


def require_standby(pgdata: DataDir, rejoin: bool = False) -> int:
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
            raise StandbyError(Refusal("setting_invalid", f"{name!r} is no name of a setting.", "correct settings"))
        try:
            _conf.quote(value)
        except ValueError as wrong:
            raise StandbyError(
                Refusal("setting_invalid", f"The value of {name} cannot be written: {wrong}.", "correct it")
            ) from wrong
    return checked


def _slot(name: str) -> str:
    """The rule of the server itself (PostgreSQL manual, 27.2.6.1)."""
    if not SLOT_NAME.fullmatch(name):
        raise StandbyError(
            Refusal(
                "slot_name_invalid",
                f"primary_slot_name={name!r} is not a name that a server takes for a slot.",
                "use lower-case letters, digits and underscores, at most 63",
            )
        )
    return name


def _delay(value: str) -> str:
    if in_unit(value, "ms") is None:
        raise StandbyError(
            Refusal(
                "setting_invalid",
                f"recovery_min_apply_delay={value!r} is no time that a server understands.",
                "give a number and one of the units ms, s, min, h and d",
            )
        )
    return value


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
