# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running servers, asked through psycopg2: the standby itself and its upstream. Private to the collection."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import masked
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import in_unit
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import parse_history
from ansible_collections.pgfleet.standby.plugins.module_utils._model import (
    HOT_STANDBY_SETTINGS,
    Instance,
    Receiver,
    Upstream,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.postmaster import is_child_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.bounded import bounded
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text, require_psycopg2

try:
    import psycopg2
    import psycopg2.extensions
    import psycopg2.extras
except ImportError:
    psycopg2 = None  # type: ignore[assignment]
    _PSYCOPG2_ERROR: str | None = traceback.format_exc()
else:
    _PSYCOPG2_ERROR = None

__all__ = [
    "NOTHING_SPARE",
    "LocalServer",
    "asking",
    "identify",
    "local_connection",
    "local_instance",
    "replication_connection",
    "signs_of_use",
]

_CONNECT_SECONDS = 10

# With the primary's default_transaction_isolation=serializable a standby refuses every question (PostgreSQL manual,
# 27.4.5 "Caveats" of hot standby).
# psycopg2 sets another DateStyle than ISO by a question of its own, on which there is no limit.
_OPTIONS = r"-c default_transaction_isolation=read\ committed -c DateStyle=ISO"

_INSTANCE_SQL = """
SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
       (SELECT system_identifier::text FROM pg_control_system()),
       (SELECT timeline_id FROM pg_control_checkpoint()),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END::text,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END
"""

_RECEIVER_SQL = "SELECT status, sender_host, sender_port, slot_name, received_tli FROM pg_stat_wal_receiver"

# PostgreSQL 10 tells the sender only as part of the conninfo, in which it has masked what is secret.
_RECEIVER_SQL_10 = "SELECT status, conninfo, slot_name, received_tli FROM pg_stat_wal_receiver"

# The first object of a user's own has the number 16384 (PostgreSQL source, access/transam.h, FirstNormalObjectId).
_USE_SQL = """
SELECT 'database ' || datname FROM pg_database WHERE oid >= 16384
UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE oid >= 16384
UNION ALL SELECT 'tablespace ' || spcname FROM pg_tablespace WHERE oid >= 16384
UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
UNION ALL SELECT 'client ' || usename FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
UNION ALL SELECT 'relation ' || relname FROM pg_class WHERE oid >= 16384
UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_(toast_)?temp_'
"""

# Known to the server from PostgreSQL 12 on; before that it stood in recovery.conf only.
_DELAY = "recovery_min_apply_delay"

# The code of a login that fails because nothing is spare for it.
NOTHING_SPARE = "walsenders_exhausted"

# A server says no more at that point than its words (PostgreSQL 15, walsender.c, proc.c, postinit.c). The name of a
# setting is the same in every language; in another language the rest is taken for a login that is refused.
_SPARE = re.compile(r"max_wal_senders|too many (clients|connections)|connection slots are reserved")

_SETTINGS_SQL = "SELECT name, setting::int FROM pg_settings WHERE name = ANY(%s)"


def replication_connection(keywords: Mapping[str, str], seconds: int) -> Any:
    """A login by the replication protocol, as the WAL receiver does it, within so many seconds for each host.

    Raises psycopg2.Error when it fails, and StandbyError if psycopg2 is missing.
    """
    require_psycopg2()
    return psycopg2.connect(
        conninfo_text(keywords),
        connection_factory=psycopg2.extras.PhysicalReplicationConnection,
        connect_timeout=seconds,
    )


def identify(keywords: Mapping[str, str]) -> Upstream:
    """Log in to the upstream by the replication protocol, as the WAL receiver will, and ask who it is.

    IDENTIFY_SYSTEM, SHOW and TIMELINE_HISTORY need no more than the REPLICATION attribute
    (PostgreSQL manual, 55.4). Raises StandbyError when the login fails.
    """
    require_psycopg2()
    try:
        connection = replication_connection(keywords, _CONNECT_SECONDS)
    except psycopg2.Error as failed:
        said = (
            f"Cannot log in to the upstream for replication with {masked(keywords)}: {said_by('libpq', str(failed))}."
        )
        if _SPARE.search(str(failed)):
            step = "end one of its WAL senders or connections, or raise the limit there"
            raise StandbyError(Refusal(NOTHING_SPARE, said, step)) from failed
        raise StandbyError(
            Refusal(
                "upstream_unreachable",
                said,
                "check that it runs, its pg_hba.conf (database `replication`), the user's REPLICATION attribute"
                " and ~/.pgpass on the standby. A standby is made without it by upstream_connection=none",
            )
        ) from failed
    with closing(connection), bounded(connection), connection.cursor() as cursor:
        try:
            cursor.execute("IDENTIFY_SYSTEM")
            system_identifier, timeline, lsn, _dbname = _row(cursor)
            settings = {}
            for name in HOT_STANDBY_SETTINGS:
                cursor.execute(f"SHOW {name}")
                settings[name] = int(_row(cursor)[0])
            cursor.execute("SHOW wal_segment_size")  # such as 16MB
            segment_size = in_unit(str(_row(cursor)[0]), "B")
            history: tuple[tuple[int, int], ...] = ()
            if int(timeline) > 1:
                cursor.execute(f"TIMELINE_HISTORY {int(timeline)}")
                content = _row(cursor)[1]
                text = content if isinstance(content, str) else bytes(content).decode("utf-8", "replace")
                history = parse_history(text)
        except psycopg2.Error as failed:
            raise StandbyError(
                Refusal(
                    "upstream_refuses",
                    "The upstream accepts a replication login but refuses to identify itself:"
                    f" {said_by('libpq', str(failed))}.",
                    "see its log, and that host and port are those of a PostgreSQL server",
                )
            ) from failed
        info = connection.info
        return Upstream(
            host=str(info.host),
            port=str(info.port),
            system_identifier=str(system_identifier),
            timeline=int(timeline),
            lsn=parse_lsn(lsn),
            version=connection.server_version,
            settings=settings,
            history=history,
            wal_segment_size=int(segment_size) if segment_size is not None else None,
        )


def _row(cursor: Any) -> tuple[Any, ...]:
    """The row of a question that always has an answer."""
    row = cursor.fetchone()
    if row is None:
        raise psycopg2.ProgrammingError("the server answered with nothing")
    return tuple(row)


@dataclass(frozen=True)
class LocalServer:
    """How the server of a data directory is reached from this host.

    ``host`` is the directory of its socket, or an address. ``pid`` is its postmaster: another server that answers there
    is not asked; None to ask whoever answers. ``user`` is the role to log in as, None for that of the OS user's name.
    """

    host: str
    port: int
    pid: int | None = None
    user: str | None = None


def local_instance(server: LocalServer, dbname: str = "postgres") -> Instance:
    """Ask the server on this host. Raises StandbyError if it does not let us in or answer."""
    with _local_cursor(server, dbname) as cursor:
        cursor.execute(_INSTANCE_SQL)
        version, in_recovery, system_identifier, timeline, receive_lsn, replay_lsn, paused = _row(cursor)
        receiver = _receiver(cursor, version)
        cursor.execute(_SETTINGS_SQL, ([*HOT_STANDBY_SETTINGS, _DELAY],))
        settings = dict(cursor.fetchall())
    return Instance(
        version=version,
        in_recovery=in_recovery,
        system_identifier=system_identifier,
        timeline=timeline,
        receive_lsn=parse_lsn(receive_lsn) if receive_lsn else None,
        replay_lsn=parse_lsn(replay_lsn) if replay_lsn else None,
        receiver=receiver,
        delayed=bool(settings.pop(_DELAY, 0)),
        paused=paused,
        settings=settings,
    )


def _receiver(cursor: Any, version: int) -> Receiver | None:
    cursor.execute(_RECEIVER_SQL if version >= 110000 else _RECEIVER_SQL_10)
    row = cursor.fetchone()
    if row is None:
        return None
    if version >= 110000:
        return Receiver(*row)
    status, conninfo, slot_name, timeline = row
    keywords = psycopg2.extensions.parse_dsn(conninfo or "")
    port = int(keywords.get("port", "5432").split(",")[0])
    return Receiver(status, keywords.get("host") or keywords.get("hostaddr"), port, slot_name, timeline)


def signs_of_use(server: LocalServer) -> list[str]:
    """What a server on this host has that initdb did not make, and its clients; empty when nobody uses it.

    Raises StandbyError if it does not let us in or answer.
    """
    found: list[str] = []
    for dbname in ("postgres", "template1"):
        with _local_cursor(server, dbname) as cursor:
            cursor.execute(_USE_SQL)
            found += [row[0] for row in cursor.fetchall()]
    # Some are seen in both databases.
    return list(dict.fromkeys(found))


@contextmanager
def _local_cursor(server: LocalServer, dbname: str) -> Iterator[Any]:
    """A cursor for questions to the server on this host. Raises StandbyError, for a question without an answer, too."""
    with asking(local_connection(server, dbname), server) as cursor:
        yield cursor


@contextmanager
def asking(connection: Any, server: LocalServer) -> Iterator[Any]:
    """A cursor for questions, each of which is answered within a limit; the connection is closed afterwards.

    Raises StandbyError for a question without an answer.
    """
    with closing(connection), bounded(connection), connection.cursor() as cursor:
        try:
            yield cursor
        except psycopg2.Error as failed:
            raise StandbyError(
                Refusal(
                    "instance_unreachable",
                    f"The server on port {server.port} in {server.host} lets us in and does not answer:"
                    f" {said_by('libpq', str(failed))}.",
                    "see the server's log, then run again",
                )
            ) from failed


def local_connection(server: LocalServer, dbname: str = "postgres") -> Any:
    """A connection to the server on this host. Raises StandbyError."""
    require_psycopg2()
    try:
        connection = psycopg2.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            dbname=dbname,
            connect_timeout=_CONNECT_SECONDS,
            options=_OPTIONS,
        )
    except psycopg2.Error as failed:
        raise StandbyError(
            Refusal(
                "instance_unreachable",
                f"Cannot connect to database {dbname} of the server on port {server.port} in {server.host}:"
                f" {said_by('libpq', str(failed))}.",
                "let the database's OS user log in there (pg_hba.conf, local; a password may be in ~/.pgpass), or name"
                " the role as whom it may in login_user",
            )
        ) from failed
    # A session's process is a child of its postmaster's.
    if server.pid is not None and not is_child_of(connection.get_backend_pid(), server.pid):
        connection.close()
        raise StandbyError(
            Refusal(
                "instance_other_server",
                f"The server that answers on port {server.port} in {server.host} is not the process {server.pid}, which"
                " is the server of the data directory.",
                "ask that server yourself: it may run in a container, or another one may use its port",
            )
        )
    return connection
