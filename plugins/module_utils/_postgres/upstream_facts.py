# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The upstream, asked through an ordinary login for what the replication protocol does not tell.

A replication user need not be allowed to log in to a database: then there is less to know, and nothing is wrong.
Private to the collection.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Tablespace
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.bounded import bounded
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import replication_connection
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import (
    Clock,
    ClusterFiles,
    Collation,
    Database,
    Sender,
    Slot,
    UpstreamFacts,
    libraries_of,
    machine_of,
    sorts_by_bytes,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text, require_psycopg2

try:
    import psycopg2
except ImportError:
    psycopg2 = None  # type: ignore[assignment]

__all__ = ["files", "read_facts", "slot_by_replication"]

# Whoever asks has just logged in for replication to the same hosts, so these do answer.
_CONNECT_SECONDS = 4

_STATEMENT_SECONDS = 2

_DATABASES = ("postgres", "template1")

# How long the walsender of a login that we have just closed may take to go, seconds.
_GOES_WITHIN = 0.5

# Nothing that another role has put into a schema may stand in for a function of the server.
_PREPARE = f"SET search_path = pg_catalog; SET statement_timeout = '{_STATEMENT_SECONDS}s'"

_CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"

# pg_settings leaves out what the role may not see; SHOW would fail.
_SETTINGS = """
SELECT name, setting FROM pg_settings
WHERE name IN ('max_replication_slots', 'max_wal_senders', 'max_slot_wal_keep_size', 'shared_preload_libraries',
               'block_size', 'segment_size', 'wal_block_size')
"""

# The last tells what may be a login of ours: of another role's connections the beginning is not shown.
_SENDERS = """
SELECT pid, coalesce(application_name, ''), host(client_addr),
       coalesce(backend_start > clock_timestamp() - interval '10 s', false)
FROM pg_stat_replication
"""

_SLOT = """
SELECT s.slot_type, s.active, s.active_pid, r.application_name, host(r.client_addr), {wal_status}, {invalidation}
FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
WHERE s.slot_name = %s
"""

_DATABASE_COLLATIONS = """
SELECT datname, datlocprovider::text, {icu}, datcollate, datctype, datcollversion,
       pg_database_collation_actual_version(oid)
FROM pg_database WHERE datallowconn ORDER BY datname
"""

# Before 15 a database is always sorted by libc, and records no version.
_DATABASE_COLLATIONS_14 = """
SELECT datname, 'c', NULL, datcollate, datctype, NULL, NULL FROM pg_database WHERE datallowconn ORDER BY datname
"""

_INDEX_COLLATIONS = """
SELECT 'collation ' || collname || ' of database ' || current_database(), collprovider::text, {locale}, collversion,
       pg_collation_actual_version(oid)
FROM pg_collation
WHERE collversion IS NOT NULL AND oid IN (SELECT unnest(indcollation::oid[]) FROM pg_index) ORDER BY collname
"""

_LIBC = """
SELECT pg_collation_actual_version(oid) FROM pg_collation
WHERE collprovider = 'c' AND collcollate NOT IN ('C', 'POSIX') AND collcollate NOT ILIKE 'C.%' LIMIT 1
"""

# pg_default and pg_global have no location; those in place (allow_in_place_tablespaces) have a relative one.
_TABLESPACES = """
SELECT spcname, oid, pg_tablespace_location(oid) FROM pg_tablespace
WHERE pg_tablespace_location(oid) <> '' ORDER BY oid
"""

# What the files of its configuration set; where these are is told to whoever may read all settings.
_CONFIGURATION = """
SELECT name, setting FROM pg_settings
WHERE source = 'configuration file' OR name IN ('config_file', 'data_directory')
"""

_DATABASE_BYTES = "SELECT sum(pg_database_size(oid)) FROM pg_database"


def read_facts(keywords: Mapping[str, str], slot_name: str | None, application_name: str) -> UpstreamFacts | str:
    """Log in as the standby's own role, and ask. What one question does not answer is None.

    Returns the reason, one line without secrets, when the role is not let in. Raises StandbyError if psycopg2 is
    missing.
    """
    connection = _connect(keywords)
    if isinstance(connection, str):
        return connection
    with closing(connection):
        return _Session(connection).facts(slot_name, application_name)


def files(keywords: Mapping[str, str]) -> ClusterFiles | str:
    """The tablespaces and how much there is to copy, or why the upstream does not let us ask.

    The size of a database is told to whoever may connect to it, that of a tablespace to whoever may create in it
    (PostgreSQL manual, 9.28.7). Raises StandbyError if psycopg2 is missing.
    """
    connection = _connect(keywords)
    if isinstance(connection, str):
        return connection
    with closing(connection):
        questions = _Session(connection)
        found = questions.rows(_TABLESPACES)
        if found is None:
            return "it does not tell its tablespaces"
        tablespaces = tuple(Tablespace(str(name), int(oid), str(location)) for name, oid, location in found)
        total = questions.rows(_DATABASE_BYTES)
        sizes = {one.oid: questions.rows("SELECT pg_tablespace_size(%s::oid)", [one.oid]) for one in tablespaces}
        configuration = {str(name): str(value) for name, value in questions.rows(_CONFIGURATION) or ()}
        places = {name: configuration.pop(name, None) for name in ("config_file", "data_directory")}
        return ClusterFiles(
            tablespaces,
            int(total[0][0]) if total and total[0][0] is not None else None,
            {oid: int(rows[0][0]) for oid, rows in sizes.items() if rows and rows[0][0] is not None},
            configuration,
            **places,
        )


def slot_by_replication(keywords: Mapping[str, str], name: str | None) -> UpstreamFacts:
    """What the replication protocol tells of slots and limits; nothing when even that is refused.

    READ_REPLICATION_SLOT is there from PostgreSQL 15 on, and does not tell whether the slot is in use
    (PostgreSQL manual, 55.4). Raises StandbyError if psycopg2 is missing.
    """
    require_psycopg2()
    try:
        connection = replication_connection(keywords, _CONNECT_SECONDS)
    except psycopg2.Error:
        return UpstreamFacts()
    with closing(connection):
        questions = _Session(connection)
        slots = questions.rows("SHOW max_replication_slots")
        senders = questions.rows("SHOW max_wal_senders")
        return UpstreamFacts(
            max_replication_slots=int(slots[0][0]) if slots else None,
            max_wal_senders=int(senders[0][0]) if senders else None,
            slot=questions.slot_alone(name) if name else None,
        )


def _connect(keywords: Mapping[str, str]) -> Any:
    """A connection that only reads, or why there is none."""
    require_psycopg2()
    reason = ""
    for database in _DATABASES:
        begun = time.monotonic()
        try:
            connection = psycopg2.connect(
                conninfo_text({**keywords, "dbname": database}), connect_timeout=_CONNECT_SECONDS
            )
            # An upstream may itself be a standby, which cannot begin a serializable transaction.
            connection.set_session(isolation_level="READ COMMITTED", readonly=True, autocommit=True)
            with connection.cursor() as cursor, bounded(connection):
                cursor.execute(_PREPARE)
        except psycopg2.Error as failed:
            reason = reason or said_by("libpq", str(failed)) or "the server said nothing"
            if time.monotonic() - begun > _CONNECT_SECONDS / 2:
                break
        else:
            return connection
    return reason


class _Session:
    """Questions on one connection, each of which may go unanswered without harm to the others."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._version = int(connection.server_version)

    def rows(self, question: str, values: Sequence[object] | None = None) -> list[tuple[Any, ...]] | None:
        """The answer, or None when it was refused or took too long."""
        try:
            with self._connection.cursor() as cursor, bounded(self._connection):
                cursor.execute(question, values)
                return list(cursor.fetchall())
        except psycopg2.Error:
            return None

    def facts(self, slot_name: str | None, application_name: str) -> UpstreamFacts:
        """All that an ordinary login is asked."""
        clock = self._clock()
        settings = {str(name): str(value) for name, value in self.rows(_SETTINGS) or ()}
        slots = self.rows("SELECT count(*) FROM pg_replication_slots")
        databases = self.rows(self._database_collations())
        libc = self._libc()
        version = self.rows("SELECT version()")
        limit = _number(settings, "max_slot_wal_keep_size")
        preload = settings.get("shared_preload_libraries")
        sizes = {name: value for name, value in settings.items() if name.endswith(("block_size", "segment_size"))}
        return UpstreamFacts(
            database=str(self._connection.info.dbname),
            max_replication_slots=_number(settings, "max_replication_slots"),
            slots_in_use=int(slots[0][0]) if slots else None,
            max_wal_senders=_number(settings, "max_wal_senders"),
            senders=self._senders(application_name),
            slot=self._slot(slot_name) if slot_name else None,
            # The unit of the setting is MB.
            max_slot_wal_keep_size=limit << 20 if limit is not None and limit >= 0 else limit,
            databases=None if databases is None else tuple(Database(row[0], row[3], row[4]) for row in databases),
            collations=None if databases is None else self._collations(databases, libc),
            clock=clock,
            preload=None if preload is None else libraries_of(preload),
            block_sizes={name: int(value) for name, value in sizes.items()} or None,
            machine=machine_of(version[0][0]) if version else None,
        )

    def _clock(self) -> Clock | None:
        before, begun = time.time(), time.monotonic()
        answer = self.rows(_CLOCK)
        round_trip = time.monotonic() - begun
        return Clock(float(answer[0][0]) - before - round_trip / 2, round_trip) if answer else None

    def _senders(self, application_name: str) -> tuple[Sender, ...] | None:
        """Who is connected for replication. A login of ours that was closed just now has time to go."""
        deadline = time.monotonic() + _GOES_WITHIN
        while True:
            answer = self.rows(_SENDERS)
            if answer is None:
                return None
            going = any(name == application_name and young for _pid, name, _address, young in answer)
            if not going or time.monotonic() >= deadline:
                return tuple(Sender(*row[:3]) for row in answer)
            time.sleep(0.1)

    def _slot(self, name: str) -> Slot | None:
        question = _SLOT.format(
            wal_status="s.wal_status" if self._version >= 130000 else "NULL",
            invalidation="s.invalidation_reason" if self._version >= 170000 else "NULL",
        )
        answer = self.rows(question, [name])
        if answer is None:
            return None
        return Slot(name, *answer[0]) if answer else Slot(name, "absent")

    def slot_alone(self, name: str) -> Slot | None:
        """What the replication protocol says of a slot; None before PostgreSQL 15.

        An older server takes the command for SQL, which it calls unsupported as well.
        """
        if self._version < 150000:
            return None
        try:
            with self._connection.cursor() as cursor, bounded(self._connection):
                quoted = name.replace('"', '""')
                cursor.execute(f'READ_REPLICATION_SLOT "{quoted}"')
                row = cursor.fetchone()
        except psycopg2.Error as refused:
            # It reads physical slots only, and calls another kind unsupported.
            return Slot(name, "logical") if refused.pgcode == "0A000" else None
        return Slot(name, "physical" if row and row[0] else "absent")

    def _database_collations(self) -> str:
        if self._version < 150000:
            return _DATABASE_COLLATIONS_14
        return _DATABASE_COLLATIONS.format(icu="datlocale" if self._version >= 170000 else "daticulocale")

    def _libc(self) -> str | None:
        """The version of the upstream's libc, if it has a locale that depends on it; told from PostgreSQL 13 on."""
        answer = self.rows(_LIBC)
        return answer[0][0] if answer else None

    def _collations(self, databases: list[tuple[Any, ...]], libc: str | None) -> tuple[Collation, ...]:
        found = []
        for name, provider, icu, collate, _ctype, recorded, actual in databases:
            locale = icu if provider == "i" else collate
            if provider == "i" or (provider == "c" and not sorts_by_bytes(locale)):
                now = actual or (libc if provider == "c" else None)
                found.append(Collation(f"database {name}", provider, locale or "", recorded, now))
        locale = "coalesce(colllocale, collcollate)"
        if self._version < 170000:
            locale = "coalesce(colliculocale, collcollate)" if self._version >= 150000 else "collcollate"
        used = self.rows(_INDEX_COLLATIONS.format(locale=locale)) or []
        return tuple(found + [Collation(*row) for row in used if row[1] in ("c", "i")])


def _number(settings: Mapping[str, str], name: str) -> int | None:
    return int(settings[name]) if name in settings else None
