# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libpq's own parsing and quoting of connection strings, through psycopg2. Private to the collection."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import masked
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import MASK

try:
    import psycopg2
    import psycopg2.extensions
    import psycopg2.extras
except ImportError:
    psycopg2 = None  # type: ignore[assignment]
    _PSYCOPG2_ERROR: str | None = traceback.format_exc()
else:
    _PSYCOPG2_ERROR = None

__all__ = ["conninfo_text", "keywords_of", "masked_conninfo", "parsed_conninfo", "require_psycopg2"]


def require_psycopg2() -> None:
    """Raises StandbyError when psycopg2 is missing for the Python that runs the module."""
    if psycopg2 is None:
        raise StandbyError(
            Refusal(
                "psycopg2_missing",
                "The Python library psycopg2 is missing here.",
                "install python3-psycopg2 on this host",
            ),
            exception=_PSYCOPG2_ERROR,
        )


def keywords_of(conninfo: Any) -> dict[str, str]:
    """libpq keywords of a conninfo string, a URI or a dictionary, checked by libpq itself.

    Raises StandbyError for an unknown keyword, bad syntax, or a password, which belongs in ~/.pgpass.
    """
    require_psycopg2()
    try:
        if isinstance(conninfo, Mapping):
            given = {str(name): str(value) for name, value in conninfo.items() if value is not None}
            psycopg2.extensions.make_dsn(**given)
        else:
            given = dict(psycopg2.extensions.parse_dsn(str(conninfo)))
    except psycopg2.ProgrammingError as wrong:
        # Only a keyword's name may be told: libpq quotes what it cannot parse, which can be part of a password.
        said = said_by("libpq", str(wrong))
        said = said if "invalid connection option" in said or "invalid URI query" in said else said.partition('"')[0]
        raise StandbyError(
            Refusal(
                "conninfo_invalid",
                f"upstream_conninfo is not valid: {said.strip()}.",
                "use libpq's keywords, such as host, port and user",
            )
        ) from None
    if given.get("password"):
        raise StandbyError(
            Refusal(
                "conninfo_password",
                "upstream_conninfo holds a password.",
                "put it into ~/.pgpass of the database's OS user"
                " (one line, database name `replication`) and take it out of upstream_conninfo",
            )
        )
    return given


def conninfo_text(keywords: Mapping[str, str]) -> str:
    """The keywords as one conninfo string, quoted by libpq's rules."""
    require_psycopg2()
    return str(psycopg2.extensions.make_dsn(**dict(keywords)))


def masked_conninfo(text: str) -> str:
    """A conninfo string for people and logs; one that cannot be parsed is not shown at all."""
    keywords = parsed_conninfo(text)
    if keywords is None:
        return MASK
    shown = masked(keywords)
    return text if shown == keywords else conninfo_text(shown)


def parsed_conninfo(text: str) -> dict[str, str] | None:
    """The keywords of a conninfo string or URI, secrets among them; None for what libpq does not understand."""
    require_psycopg2()
    try:
        return dict(psycopg2.extensions.parse_dsn(text))
    except psycopg2.ProgrammingError:
        return None
