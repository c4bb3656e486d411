# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keywords of libpq hold a secret, and how text for people is freed of secrets. Pure.

libpq itself marks such keywords by a ``*`` in ``dispchar`` (PostgreSQL manual of 18, 32.1 "PQconndefaults"). A test
compares with every major version. Private to the collection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["MASK", "free_of_secrets", "is_secret", "secrets", "without_secrets"]

MASK = "********"

# By what is in the name, so that a keyword of a later libpq counts as well. The keys of SCRAM log in as a password does
# (PostgreSQL manual of 18, 32.1.2); sslkey and passfile are names of files.
_SECRET = re.compile(r"password|secret|token|scram_\w+_key")

# A secret in a text that somebody else has written: name = value as in a conninfo, in a URI's parameters or in a line
# of pg_hba.conf, and a URI's user:password@.
_ASSIGNED = re.compile(
    r"\b((?:ssl)?password|oauth_client_secret|ldapbindpasswd|radiussecrets|scram_(?:client|server)_key)(\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&'\"]+)"
)
_IN_URI = re.compile(r"(//[^/@\s:]*:)([^/@\s]+)(?=@)")
# A role's in SQL, which a log quotes.
_IN_SQL = re.compile(r"(?i)(\bpassword\s+)(e?'(?:[^'\\]|\\.|'')*'?)")

# The keys of a module's result that hold text for people. All others may steer a later task, which acts on what they
# say: a path in which a part is masked is another path.
_TEXTS = frozenset(
    {"msg", "reason", "reasons", "before", "diff", "not_checked", "invocation", "exception", "server_log"}
)

# What machines read of a failure as well.
_OF_MACHINES = frozenset({"error_code", "error_codes", "plan"})


def is_secret(keyword: str) -> bool:
    """Whether a keyword of libpq holds a secret."""
    return _SECRET.search(keyword) is not None


def secrets(conninfo: Any) -> set[str]:
    """The texts of a conninfo that must not be shown: its secrets, and a string that holds one as a whole."""
    if isinstance(conninfo, Mapping):
        return {str(value) for name, value in conninfo.items() if is_secret(str(name)) and value}
    text = str(conninfo or "")
    if not re.search(r"password|secret|scram_\w+_key|//[^/@]*:[^/@]*@", text):
        return set()
    values = [match[3] for match in _ASSIGNED.finditer(text)]
    plain = [re.sub(r"\\(.)", r"\1", value[1:].rstrip("'") if value.startswith("'") else value) for value in values]
    uris = [match[2] for match in _IN_URI.finditer(text)]
    return {found for found in (text, *values, *plain, *uris, *map(_decoded, (*values, *uris))) if found}


def free_of_secrets(result: Mapping[str, Any], hidden: Iterable[str], failed: bool = False) -> dict[str, Any]:
    """A module's result whose text for people holds none of ``hidden``.

    What may steer a later task stays as it is: it holds no secret by the way it is made. Of a failure everything is
    text but its code.
    """
    longest_first = sorted(set(hidden), key=len, reverse=True)

    def clean(value: Any, is_text: bool) -> Any:
        if isinstance(value, Mapping):
            return {
                name: clean(one, (is_text or name in _TEXTS) and name not in _OF_MACHINES)
                for name, one in value.items()
            }
        if isinstance(value, (list, tuple, set)):
            return [clean(one, is_text) for one in value]
        if not is_text or not isinstance(value, str):
            return value
        for secret in longest_first:
            value = value.replace(secret, MASK)
        return without_secrets(value)

    return dict(clean(result, failed))


def without_secrets(text: str) -> str:
    """A text without what reads like a secret of a conninfo or of a role: another program may have written it."""
    without = _ASSIGNED.sub(rf"\g<1>\g<2>{MASK}", text)
    return _IN_SQL.sub(rf"\g<1>{MASK}", _IN_URI.sub(rf"\g<1>{MASK}", without))


def _decoded(text: str) -> str:
    """A part of a URI as libpq reads it."""
    raw = text.encode("utf-8", "surrogateescape")
    plain = re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), raw)
    return plain.decode("utf-8", "replace")
