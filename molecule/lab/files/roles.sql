-- Passwords arrive as psql variables, on standard input: an argument list is public.
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replicator';
CREATE ROLE streaming_barman LOGIN REPLICATION PASSWORD :'streaming_barman';
CREATE ROLE barman LOGIN PASSWORD :'barman';
\if :newest_barman
GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean) TO barman;
GRANT EXECUTE ON FUNCTION pg_backup_stop(boolean) TO barman;
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO barman;
GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO barman;
GRANT pg_read_all_settings, pg_read_all_stats, pg_checkpoint TO barman;
\else
-- Older Barmans demand it.
ALTER ROLE barman SUPERUSER;
\endif
