# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy of a running upstream is, and the verdicts that only such a copy needs. Pure.

Private to the collection.
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, Tablespace, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import ClusterFiles
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem, warning

__all__ = [
    "NOT_CHECKED",
    "backup_of_upstream",
    "method",
    "space_unknown",
    "tablespaces",
    "version",
    "wal",
]

_METHOD = "pg_basebackup"

# Checks of a backup of Barman's, which have no meaning if the upstream itself is copied.
NOT_CHECKED = ("barman check", "the catalogue", "ssh to the Barman host", "rsync", "WAL in Barman's archive")


def backup_of_upstream(server: Upstream, files: ClusterFiles | None, mapped: Iterable[str]) -> Backup:
    """The upstream as the backup that pg_basebackup is going to take of it.

    If the upstream does not tell its tablespaces (``files`` is None), the locations in ``mapped`` are all that is known
    of them. Such a tablespace has no oid yet; a number below zero stands for it. Raises StandbyError for a location
    that the options of pg_basebackup cannot hold.
    """
    known = (
        files.tablespaces
        if files is not None
        else tuple(Tablespace(location, -number, location) for number, location in enumerate(sorted(mapped), 1))
    )
    for tablespace in known:
        if tablespace.location.endswith("\\"):
            raise StandbyError(
                Refusal(
                    "basebackup_option_refused",
                    f"Tablespace {tablespace.name} is at {tablespace.location!r}, and pg_basebackup takes no location"
                    " that"
                    " ends with a backslash. Nothing was changed.",
                    "choose another method",
                )
            )
    return Backup(
        backup_id=_METHOD,
        status="DONE",
        server=server.host,
        type="full",
        mode=_METHOD,
        version=server.version,
        system_identifier=server.system_identifier,
        timeline=server.timeline,
        tablespaces=known,
        directory=_METHOD,
    )


def method(program: str, upstream: Upstream) -> Verdict:
    """Which program copies from whom, and what is not checked because no backup of Barman's is copied."""
    left_out = ", ".join(NOT_CHECKED)
    return Verdict("method", "ok", f"{program} copies from {upstream.host}; not checked: {left_out}")


def version(server: Upstream, server_version: str) -> Verdict:
    """Whether the programs here are of the upstream's major version; ``server_version`` is ``postgres --version``."""
    word = next((part for part in server_version.split() if part[0].isdigit()), "")
    major, wanted = word.partition(".")[0], str(server.version // 10000)
    if major.startswith(wanted) and not major[len(wanted) :].isdigit():
        return Verdict("version", "ok", f"PostgreSQL {word} here, {wanted} at the upstream")
    return problem(
        "version",
        Refusal(
            "version_differs",
            f"The server programs here are PostgreSQL {word}, the upstream {server.host} is of {wanted}.",
            f"install PostgreSQL {wanted}, or name its directory in pg_bindir",
        ),
    )


def tablespaces(server: Upstream, refused: str | None) -> list[Verdict]:
    """What follows if the upstream did not tell its tablespaces and its size; ``refused`` is the reason, or None."""
    if refused is None:
        return []
    return [
        warning(
            "tablespaces",
            Refusal(
                "upstream_sql_denied",
                f"The upstream {server.host} does not let the role that streams into a database ({refused}), so its"
                " tablespaces and its size are not known before the copy. Tablespaces that tablespace_mapping does"
                " not name"
                " go to their own location, which has to be empty here.",
                "nothing has to be done, or let the role into the database postgres there",
            ),
        )
    ]


def space_unknown(why: str) -> Verdict:
    """That it is not known whether the copy fits; ``why`` is a clause."""
    return warning(
        "space", Refusal("space_unknown", f"Whether the copy fits is not known: {why}.", "compare the sizes yourself")
    )


def wal(slot_name: str | None, restore_command: str | None) -> Verdict:
    """Who keeps the WAL between the end of the copy and the start of the standby."""
    if slot_name:
        return Verdict("wal", "ok", f"the copy brings its own WAL, and slot {slot_name} keeps what follows")
    if restore_command:
        return Verdict("wal", "ok", "the copy brings its own WAL; what follows is at the upstream, or in the archive")
    return warning(
        "wal",
        Refusal(
            "wal_not_kept",
            "The copy brings its own WAL, but without a slot and without restore_command nothing keeps for the standby"
            " what"
            " the upstream writes and removes between the end of the copy and the start.",
            "give slot_name, or raise wal_keep_size there",
        ),
    )
