# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values a running server uses, and what it says of the lines of its files: asked through its socket.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import in_unit, same_value
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import asking, local_connection
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.local_server import place_of

__all__ = ["FileLine", "LiveSetting", "RunningSettings", "read_settings"]

# Where a value comes from that no file can change (guc.h, GucSource, in which the order tells what wins). What the
# server has worked out itself is an `override` as well, and that a file can change.
_ABOVE_FILES = "command line"

# Whose value of the setting hides from our session what the rest of the server uses.
_OF_SESSION = ("global", "database", "user", "database user", "client", "interactive", "session")

# Where a value comes from that the server has worked out, whether a file asks it to do so or no file says anything.
_WORKED_OUT = ("default", "override")

_SETTINGS_SQL = """
SELECT lower(name), setting, coalesce(unit, ''), vartype, source, context, coalesce(boot_val, '')
FROM pg_settings WHERE lower(name) = ANY(%s)
"""

# The words are those of guc-file.l, in English.
_WAITS = "setting could not be applied"

_FILES_SQL = """
SELECT lower(name), setting, sourcefile, sourceline, error, extract(epoch FROM pg_conf_load_time())::float8
FROM pg_file_settings ORDER BY seqno
"""


@dataclass(frozen=True)
class LiveSetting:
    """A row of pg_settings: the value in its base ``unit``; ``default`` is the one built into the program."""

    value: str
    unit: str
    vartype: str
    source: str
    context: str = "sighup"
    default: str = ""

    @property
    def needs_restart(self) -> bool:
        """Whether only a start takes up another value (PostgreSQL manual, 54.24 pg_settings, context)."""
        return self.context == "postmaster"

    def worked_out_from(self, text: str) -> bool:
        """Whether the server has worked out its value, and would do so again if a file said ``text``.

        Such as wal_buffers, whose -1 says so, and since PostgreSQL 17 transaction_buffers with 0. The server shows the
        number that it has come to. Of some of them it says for ever that its file waits for a restart.
        """
        special = self.vartype == "integer" and self.needs_restart and self.default in ("-1", "0")
        worked_out = special and self.source in _WORKED_OUT and self.value != self.default
        return worked_out and in_unit(text, self.unit) == int(self.default)


@dataclass(frozen=True)
class FileLine:
    """The line of the files that counts for a setting, as the server reads it now.

    ``waits``: a start would bring another value than the one in use. ``loaded``: the server has read its files since
    this one was written.
    """

    text: str
    waits: bool
    loaded: bool


@dataclass(frozen=True)
class RunningSettings:
    """``errors`` are files, and what in one of their lines the server could not read: it would refuse to reload.

    ``lines`` are those of its files by the settings' names; None if we may not see them.
    """

    settings: Mapping[str, LiveSetting] = field(default_factory=dict)
    errors: tuple[tuple[str, str], ...] = ()
    lines: Mapping[str, FileLine] | None = None

    def lasting(self, rewritten: Iterable[str]) -> list[str]:
        """The errors that are left when these files have been written anew."""
        paths = {os.path.realpath(path) for path in rewritten}
        return [said for path, said in self.errors if os.path.realpath(path) not in paths]

    def outdated(self, wanted: Mapping[str, str], meaning: Callable[[str, str], str | None]) -> list[str]:
        """The settings that are to have another value than the server uses, if it tells the setting.

        ``meaning`` says how the server's program writes a text for a setting, None if it cannot tell.
        """
        return [
            name
            for name, text in wanted.items()
            if (live := self.settings.get(name)) is not None and not self._uses(name, text, live, meaning)
        ]

    def overridden(self, outdated: Iterable[str]) -> dict[str, str]:
        """Of the outdated settings those that no file can change, and what sets them (pg_settings.source)."""
        sources = {name: self.settings[name].source for name in outdated}
        return {name: source for name, source in sources.items() if source == _ABOVE_FILES}

    def waiting(self, names: Iterable[str]) -> list[str]:
        """Those of which the server says that what its files hold now needs a start; all that it does not tell of."""
        lines = self.lines if self.lines is not None else {}
        return [name for name in names if name not in lines or lines[name].waits]

    def _uses(self, name: str, text: str, live: LiveSetting, meaning: Callable[[str, str], str | None]) -> bool:
        if self._in_effect(name, text, live) or live.worked_out_from(text):
            return True
        if live.source in _OF_SESSION:
            return self.lines is None  # it cannot be seen
        if same_value(text, live.value, live.vartype, live.unit):
            return True
        meant = meaning(name, text)
        # A few settings are shown in other words than the program itself uses, such as file modes.
        return meant is not None and meant in (live.value, meaning(name, live.value))

    def _in_effect(self, name: str, text: str, live: LiveSetting) -> bool:
        """Whether the server says so itself: the very text is in its files, and there is nothing left to do for it."""
        line = (self.lines or {}).get(name)
        if line is None or line.text != text or live.source == _ABOVE_FILES:
            return False
        return not line.waits and (live.needs_restart or line.loaded)


def read_settings(pgdata: DataDir, names: Iterable[str], user: str | None = None) -> RunningSettings | None:
    """What the server on a directory says, or None when it does not let us in (it may be starting).

    ``names`` are in lower case, as those that are returned: a file may write them in any. ``user`` is the role to log
    in as, None for that of the OS user's name. Raises StandbyError if psycopg2 is missing, or if the server lets us in
    and does not answer.
    """
    place = place_of(pgdata, user)
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
        cursor.execute("SELECT has_function_privilege('pg_show_all_file_settings()', 'EXECUTE')")
        if cursor.fetchone() != (True,):
            return RunningSettings(settings)
        cursor.execute("SET lc_messages = 'C'")
        cursor.execute(_FILES_SQL)
        rows = cursor.fetchall()
    return RunningSettings(settings, _errors(rows), {row[0]: _line(*row[1:]) for row in rows if row[0] is not None})


def _errors(rows: Iterable[tuple[Any, ...]]) -> tuple[tuple[str, str], ...]:
    """What only waits for a restart is no error."""
    wrong = (row for row in rows if row[4] not in (None, _WAITS))
    return tuple(dict.fromkeys((row[2], f"{row[2]} line {row[3]}: {row[4]}") for row in wrong))


def _line(text: str, path: str, _number: int, error: str | None, loaded_at: float) -> FileLine:
    try:
        # Not its time of modification: tar, rsync and `cp -p` set that to a time before they wrote the file.
        loaded = os.stat(path).st_ctime <= loaded_at
    except OSError:
        loaded = False
    return FileLine(text, error == _WAITS, loaded)
