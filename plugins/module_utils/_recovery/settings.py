# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which recovery settings PostgreSQL has, where each of them stands, and what each of them does: one table. Pure.

Sources: PostgreSQL manual of 18, chapters 19.2 "File Locations", 19.5.5 to 19.5.6 "Archive Recovery" and "Recovery
Target" and 19.6.3 "Standby Servers"; the manual of 11, chapter 27 "Recovery Configuration"; the release notes of
12 (settings move out of recovery.conf), 13, 14 (what a reload is enough for) and 16 (promote_trigger_file goes).
tests/servers/test_reload.py compares the table with pg_settings of every major version. Private to the collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import truth
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import (
    AUTO_CONF,
    RECOVERY_CONF,
    needs_signal,
)

__all__ = ["LEFTOVERS", "PLACES", "SETTINGS", "RecoverySetting", "harmless_values", "home", "needs", "of_server"]


@dataclass(frozen=True)
class RecoverySetting:
    """One setting. Versions are major versions; the oldest one that counts is 10.

    ``since`` and ``until`` are the first and the last version that knows the setting, in whatever file.
    ``recovery_conf``: until 11 the setting stands in recovery.conf, and the server does not know it by its name.
    ``reload_since``: the first version in which a reload is enough for a new value; None: a restart is always needed.
    ``leftover``: a backup brings the setting along from its source, and it must not act here: it would end recovery,
    or it names another node or a place of the other host.
    ``harmless``: the value that overrules a configuration file which makes the setting; None: no file does harm by
    it, or no value would be harmless. ``harmful``: the only value that does harm; None: every value that is not empty.
    ``place``: the setting names a place of the host, which another host need not have.
    """

    name: str
    since: int = 10
    until: int | None = None
    recovery_conf: bool = False
    reload_since: int | None = None
    leftover: bool = False
    harmless: str | None = None
    harmful: str | None = None
    place: bool = False

    def known(self, major: int) -> bool:
        """Whether this version has the setting."""
        return self.since <= major and (self.until is None or major <= self.until)

    def home(self, major: int) -> str:
        """The file of the data directory in which the setting stands."""
        return RECOVERY_CONF if self.recovery_conf and not needs_signal(major) else AUTO_CONF

    def does_harm(self, value: str) -> bool:
        """Whether a standby has to be kept from this value, if a configuration file makes it."""
        if self.harmless is None or self.harmful is None:
            return self.harmless is not None and bool(value)
        # A boolean has several words for off.
        return value.lower() == self.harmful or (self.harmful == "off" and truth(value) is False)


SETTINGS = (
    # What promotes a standby, or fetches WAL from another place than that which was asked for.
    RecoverySetting("archive_cleanup_command", recovery_conf=True, reload_since=12, leftover=True, harmless=""),
    RecoverySetting("primary_conninfo", recovery_conf=True, reload_since=13, leftover=True),
    RecoverySetting("primary_slot_name", recovery_conf=True, reload_since=13, leftover=True, harmless=""),
    RecoverySetting("promote_trigger_file", since=12, until=15, reload_since=12, leftover=True, harmless=""),
    RecoverySetting("recovery_end_command", recovery_conf=True, reload_since=12, leftover=True, harmless=""),
    RecoverySetting("recovery_min_apply_delay", recovery_conf=True, reload_since=12, leftover=True),
    RecoverySetting("recovery_target", recovery_conf=True, leftover=True, harmless=""),
    RecoverySetting("recovery_target_action", recovery_conf=True, leftover=True),
    RecoverySetting("recovery_target_inclusive", recovery_conf=True, leftover=True),
    RecoverySetting("recovery_target_lsn", recovery_conf=True, leftover=True, harmless=""),
    RecoverySetting("recovery_target_name", recovery_conf=True, leftover=True, harmless=""),
    RecoverySetting("recovery_target_time", recovery_conf=True, leftover=True, harmless=""),
    RecoverySetting("recovery_target_timeline", recovery_conf=True, leftover=True),
    RecoverySetting("recovery_target_xid", recovery_conf=True, leftover=True, harmless=""),
    RecoverySetting("restore_command", recovery_conf=True, reload_since=14, leftover=True, harmless=""),
    RecoverySetting("standby_mode", until=11, recovery_conf=True, leftover=True),
    RecoverySetting("trigger_file", until=11, recovery_conf=True, leftover=True),
    # With `always` a standby runs its upstream's archive_command (26.2.9 "Continuous Archiving in Standby").
    RecoverySetting("archive_mode", harmless="on", harmful="always"),
    # Where the files of the server are.
    RecoverySetting("config_file", leftover=True, place=True),
    RecoverySetting("data_directory", leftover=True, place=True),
    RecoverySetting("external_pid_file", leftover=True, place=True),
    RecoverySetting("hba_file", leftover=True, place=True),
    RecoverySetting("ident_file", leftover=True, place=True),
    # How a standby behaves: a user's choice, which a backup may bring along.
    # Without it nobody can see whether the standby streams.
    RecoverySetting("hot_standby", harmless="on", harmful="off"),
    RecoverySetting("hot_standby_feedback", reload_since=10),
    RecoverySetting("max_standby_archive_delay", reload_since=10),
    RecoverySetting("max_standby_streaming_delay", reload_since=10),
    RecoverySetting("sync_replication_slots", since=17, reload_since=17),
    RecoverySetting("wal_receiver_create_temp_slot", since=13, reload_since=13),
    RecoverySetting("wal_receiver_status_interval", reload_since=10),
    RecoverySetting("wal_receiver_timeout", reload_since=10),
    RecoverySetting("wal_retrieve_retry_interval", reload_since=10),
)

_BY_NAME = {setting.name: setting for setting in SETTINGS}

LEFTOVERS = tuple(setting.name for setting in SETTINGS if setting.leftover)

PLACES = tuple(setting.name for setting in SETTINGS if setting.place)


def home(name: str, major: int) -> str:
    """The file of the data directory in which a setting stands, one that is not in the table included."""
    setting = _BY_NAME.get(name)
    return AUTO_CONF if setting is None else setting.home(major)


def of_server(wanted: Mapping[str, str], major: int) -> dict[str, str]:
    """The settings that the server itself knows by their names: all but those of a recovery.conf."""
    return {name: value for name, value in wanted.items() if home(name, major) != RECOVERY_CONF}


def needs(changed: Iterable[str], major: int) -> str | None:
    """What a running server needs after these settings changed: ``restart``, ``reload`` or None.

    A setting that is not in the table counts as one that needs a restart.
    """
    since = [_BY_NAME[name].reload_since if name in _BY_NAME else None for name in changed]
    if not since:
        return None
    return "reload" if all(first is not None and first <= major for first in since) else "restart"


def harmless_values(configured: Mapping[str, str], major: int) -> dict[str, str]:
    """For what ``configured`` says that would harm a standby: the settings' names, and values that do no harm.

    A recovery.conf of an older version is not among these files: it is written anew as a whole.
    """
    return {
        setting.name: setting.harmless
        for setting in SETTINGS
        if setting.harmless is not None
        and setting.known(major)
        and setting.home(major) == AUTO_CONF
        and setting.does_harm(configured.get(setting.name, ""))
    }
