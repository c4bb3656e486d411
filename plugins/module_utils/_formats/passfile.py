# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libpq's password file: the line that a WAL receiver will find in it. Pure.

One line is ``host:port:database:user:password``; a backslash goes before ``:`` and ``\\``, ``*`` stands for anything,
and the first line that matches counts (PostgreSQL manual of 18, 32.16 "The Password File"). A replication connection
has the database name ``replication``. Private to the collection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["Key", "edit", "keys_of"]

_FIELD = re.compile(r"((?:\\.|[^:\\])*)\\?(:|$)")

_DEFAULT_PORT = "5432"

_DATABASE = "replication"


class Key(NamedTuple):
    """Which user logs in to which server."""

    host: str
    port: str
    database: str
    user: str

    def __str__(self) -> str:
        return ":".join(self)


def keys_of(keywords: Mapping[str, str]) -> tuple[Key, ...]:
    """A key for every host that a conninfo names: libpq takes lists with commas, and looks a host up by its name.

    Raises StandbyError for a conninfo without a host or a user.
    """
    names = (keywords.get("host") or keywords.get("hostaddr") or "").split(",")
    addresses = keywords.get("hostaddr", "").split(",")
    ports = (keywords.get("port") or _DEFAULT_PORT).split(",")
    if not all(names) or "user" not in keywords:
        raise StandbyError(
            Refusal(
                "passfile_incomplete",
                "A line in the password file needs the upstream's host and the user, and one of them is not given.",
                "give both in upstream_conninfo, or replication_user",
            )
        )
    found = []
    for number, name in enumerate(names):
        host = name or addresses[min(number, len(addresses) - 1)]
        port = ports[min(number, len(ports) - 1)] or _DEFAULT_PORT
        found.append(Key(host, port, _DATABASE, keywords["user"]))
    return tuple(dict.fromkeys(found))


def edit(text: str, keys: Iterable[Key], password: str) -> str:
    """The file in which each login finds the password; the same text if each login finds it already.

    Lines of other logins stay as they are. Raises StandbyError for a password that no line can hold.
    """
    if not password or "\n" in password or "\r" in password or "\0" in password:
        raise StandbyError(
            Refusal(
                "password_invalid",
                "The password cannot stand in a password file: the password is empty, or holds a line break or NUL.",
                "choose another password",
            )
        )
    before = text.split("\n")
    lines = before[:-1] if before[-1] == "" else before
    for key in keys:
        lines = _with(lines, key, password)
    after = [*lines, ""]
    return text if after in (before, [*before, ""]) else "\n".join(after)


def _with(lines: list[str], key: Key, password: str) -> list[str]:
    wanted = [*key, password]
    first = next((line for line in lines if _matches(_fields(line), key)), None)
    if first is not None and _fields(first)[4] == password:
        return lines
    others = [line for line in lines if _fields(line)[:4] != list(key)]
    # Before any other line that matches, such as a line full of asterisks.
    place = next((number for number, line in enumerate(others) if _matches(_fields(line), key)), len(others))
    return [*others[:place], ":".join(map(_escape, wanted)), *others[place:]]


def _fields(line: str) -> list[str]:
    """The fields without their backslashes; fewer than five for a comment and any other line that is no entry.

    A colon ends the password as it ends the other fields (libpq's fe-connect.c, passwordFromFile).
    """
    if line.startswith("#"):
        return []
    fields = []
    for field, end in _FIELD.findall(line):
        fields.append(re.sub(r"\\(.)", r"\1", field))
        if not end:
            break
    return fields[:5]


def _matches(fields: list[str], key: Key) -> bool:
    return len(fields) == 5 and all(field in ("*", wanted) for field, wanted in zip(fields, key))


def _escape(field: str) -> str:
    return field.replace("\\", "\\\\").replace(":", "\\:")
