# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which recovery settings a user asks for: from the options of a module to values that a file can hold. Pure.

Private to the collection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import in_unit, truth
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.placeholders import unknown_placeholders

__all__ = ["SLOT_NAME", "checked_settings", "requested_settings"]

# PostgreSQL manual of 18, 26.2.6.1 "Querying and Manipulating Replication Slots"; the length is NAMEDATALEN - 1.
SLOT_NAME = re.compile(r"[a-z0-9_]{1,63}")

# A whole number of milliseconds in 32 bits (PostgreSQL's guc_tables.c): some 24 days.
_LONGEST_DELAY = (1 << 31) - 1

_NAME = re.compile(r"[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)*")


def requested_settings(conninfo: str, command: str | None, params: Mapping[str, Any]) -> dict[str, str]:
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
    if truth(wanted.get("hot_standby", "on")) is False:
        raise StandbyError(
            Refusal(
                "setting_invalid",
                "With a hot standby switched off in settings the standby lets nobody in: it could never be seen"
                " whether it streams.",
                "take that out of settings",
            )
        )
    return checked_settings(wanted)


def checked_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as a file holds them.

    Raises StandbyError for a name or value that no file can hold, and for a command that would end the server.
    """
    checked = {name.lower(): _value(value) for name, value in settings.items()}
    for name, value in checked.items():
        if not _NAME.fullmatch(name):
            raise StandbyError(
                Refusal("setting_invalid", f"{name!r} is no name of a setting.", "correct the option settings")
            )
        try:
            _conf.quote(value)
        except ValueError as wrong:
            raise StandbyError(
                Refusal("setting_invalid", f"The value of {name} cannot be written: {wrong}.", f"correct {name}")
            ) from wrong
    unknown = unknown_placeholders(checked)
    if unknown is not None:
        raise StandbyError(unknown)
    return checked


def _slot(name: str) -> str:
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
    amount = in_unit(value, "ms")
    if amount is None:
        raise StandbyError(
            Refusal(
                "setting_invalid",
                f"recovery_min_apply_delay={value!r} is no time that a server understands.",
                "give a number and one of the units ms, s, min, h and d",
            )
        )
    if not 0 <= amount <= _LONGEST_DELAY:
        raise StandbyError(
            Refusal(
                "setting_invalid",
                f"recovery_min_apply_delay={value!r} is not what a server takes: the longest is {_LONGEST_DELAY} ms.",
                "give at most 24d",
            )
        )
    return value


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
