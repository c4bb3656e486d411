# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values a running server uses, and which lines of its files it cannot read: asked through its socket.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import same_value
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import asking, local_connection
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.local_server import place_of

__all__ = ["LiveSetting", "RunningSettings", "read_settings"]

# Where a value comes from that no file can change (PostgreSQL manual, 54.24 pg_settings, and guc.h, GucSource).
_ABOVE_FILES = ("command line", "environment variable", "override")

_SETTINGS_SQL = "SELECT name, setting, coalesce(unit, ''), vartype, source FROM pg_settings WHERE name = ANY(%s)"

# What only waits for a restart is no error; the words are those of guc-file.l, in English.
_ERRORS_SQL = """
SELECT DISTINCT sourcefile, sourcefile || ' line ' || sourceline || ': ' || error
FROM pg_file_settings WHERE error IS NOT NULL AND error <> 'setting could not be applied'
"""


@dataclass(frozen=True)
class LiveSetting:
    """A row of pg_settings: the value in its base ``unit``."""

    value: str
    unit: str
    vartype: str
    source: str


@dataclass(frozen=True)
class RunningSettings:
    """``errors`` are files, and what in one of their lines the server could not read: it would refuse to reload."""

    settings: Mapping[str, LiveSetting] = field(default_factory=dict)
    errors: tuple[tuple[str, str], ...] = ()

    def lasting(self, rewritten: Iterable[str]) -> list[str]:
        """The errors that are left when these files have been written anew."""
        paths = {os.path.realpath(path) for path in rewritten}
        return [said for path, said in self.errors if os.path.realpath(path) not in paths]

    def outdated(self, wanted: Mapping[str, str]) -> list[str]:
        """The settings that are to have another value than the server uses, if it tells the setting."""
        return [
            name
            for name, value in wanted.items()
            if (live := self.settings.get(name)) is not None
            and not same_value(value, live.value, live.vartype, live.unit)
        ]

    def overridden(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """The outdated settings that no file can change, and what sets them (pg_settings.source)."""
        outdated = {name: self.settings[name].source for name in self.outdated(wanted)}
        return {name: source for name, source in outdated.items() if source in _ABOVE_FILES}


def read_settings(pgdata: DataDir, names: Iterable[str]) -> RunningSettings | None:
    """What the server on a directory says, or None when it does not let us in (it may be starting).

    Raises StandbyError if psycopg2 is missing, or if it lets us in and does not answer.
    """
    place = place_of(pgdata)
    if place is None:
        return None
    try:
        connection = local_connection(place)
    except StandbyError as failed:
        if failed.code == "instance_unreachable":
            return None
        raise
    with asking(connection, place) as cursor:
        cursor.execute(_SETTINGS_SQL, (list(names),))
        settings = {row[0]: LiveSetting(*row[1:]) for row in cursor.fetchall()}
        errors: tuple[tuple[str, str], ...] = ()
        cursor.execute("SELECT has_function_privilege('pg_show_all_file_settings()', 'EXECUTE')")
        if cursor.fetchone() == (True,):
            cursor.execute("SET lc_messages = 'C'")
            cursor.execute(_ERRORS_SQL)
            errors = tuple((row[0], row[1]) for row in cursor.fetchall())
    return RunningSettings(settings, errors)
