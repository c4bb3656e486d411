# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an upstream still has a piece of WAL, by asking it for the first bytes. Private to the collection."""

from __future__ import annotations

import contextlib
import re
import select
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.bounded import bounded
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import replication_connection
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import require_psycopg2

try:
    import psycopg2
except ImportError:
    psycopg2 = None  # type: ignore[assignment]

__all__ = ["HeldWal", "holds_wal"]

_SECONDS = 10

# As the standby's own name it could be counted as a synchronous standby, and be found taken by another check.
_PROBE = "pgfleet_wal_probe"

# "requested WAL segment ... has already been removed" comes with undefined_file if the file is gone (PostgreSQL
# manual, appendix A), and with any code if it is still there but older than those that were removed. So it is told
# by the name of a segment in it, in whatever language: that segment is what the server cannot send.
_UNDEFINED_FILE = "58P01"

_SEGMENT = re.compile(r"\b[0-9A-F]{24}\b")


@dataclass(frozen=True)
class HeldWal:
    """``held`` is None when it cannot be told; ``reason`` then says why, otherwise what the upstream said."""

    held: bool | None
    reason: str = ""


def holds_wal(keywords: Mapping[str, str], timeline: int, lsn: int) -> HeldWal:
    """Whether the upstream can send the WAL from a position on; best that of a segment's first byte.

    START_REPLICATION without a slot (PostgreSQL manual, 55.4) is answered with the first WAL data or with the error
    that the segment has been removed. Nothing is read beyond that, and no slot is made or moved. A position at the
    very end of the WAL cannot be told: nothing would be sent until more is written. Takes at most 10 seconds, and as
    many for the login to each host. Raises StandbyError only when psycopg2 is missing.
    """
    require_psycopg2()
    try:
        connection = replication_connection({**keywords, "application_name": _PROBE}, _SECONDS)
    except psycopg2.Error as failed:
        return HeldWal(None, f"the login failed: {said_by('libpq', str(failed))}")
    with contextlib.closing(connection), bounded(connection, _SECONDS) as overdue:
        try:
            _await_data(connection, f"START_REPLICATION PHYSICAL {format_lsn(lsn)} TIMELINE {timeline}")
        except psycopg2.Error as failed:
            if overdue.is_set():
                return HeldWal(None, f"no WAL came within {_SECONDS} seconds")
            said = said_by("libpq", str(failed))
            gone = failed.pgcode == _UNDEFINED_FILE or _SEGMENT.search(said) is not None
            return HeldWal(False if gone else None, said)
    return HeldWal(True)


def _await_data(connection: Any, command: str) -> None:
    """Return when the first WAL data is here; keepalives before it are passed over by psycopg2."""
    with connection.cursor() as cursor:
        cursor.start_replication_expert(command, decode=False)
        while cursor.read_message() is None:
            select.select([connection], [], [])
