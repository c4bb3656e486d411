# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copied configuration brings from its source and must not act on a standby. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import needs_signal

__all__ = ["LEFTOVERS", "foreign_paths", "neutralised", "without_leftovers"]

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
