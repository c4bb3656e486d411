"""A small cluster with two backups, made on a standby and put beside Barman's own."""

from __future__ import annotations

from typing import Any

from clone_on_host import small_backup
from lab import Lab
from podman import Host
from standby_host import BINDIR, HOST

# In memory, so that a copy of it takes well under a second and syncing waits for nobody else.
SMALL = "/tmp/pgfleet-small"
SMALL_AT_BARMAN = f"/var/lib/barman/pgfleet-small-{HOST}"

BUILD_SMALL = f"""\
set -eu
umask 077
export PATH={BINDIR}:$PATH LC_ALL=C PGHOST={SMALL} PGDATABASE=template1
mkdir {SMALL}/wal {SMALL}/fast {SMALL}/first {SMALL}/second
cd {SMALL}
initdb -D cluster --auth=trust --no-sync --no-locale --encoding=UTF8 >initdb.log
cat >>cluster/postgresql.conf <<END
listen_addresses = ''
unix_socket_directories = '{SMALL}'
fsync = off
archive_mode = on
archive_command = 'cp %p {SMALL}/wal/%f'
END
backup() {{
    pg_basebackup -D "$1/data" -T "{SMALL}/fast={SMALL}/$1/$oid" -c fast -X none --no-sync 2>>basebackup.log
}}
pg_ctl -D cluster -w -l log start >/dev/null
psql -qXc "create tablespace fast location '{SMALL}/fast'"
psql -qXc "update pg_database set datistemplate = false" -c "drop database template0" -c "drop database postgres"
psql -qXc "create table kept as select * from generate_series(1, 50000) n"
psql -qXc "create table dropped as select 1" -c "create table quick tablespace fast as select * from kept"
oid=$(psql -qXAtc "select oid from pg_tablespace where spcname = 'fast'")
backup first
psql -qXc "update kept set n = -n where n < 9" -c "drop table dropped" -c "insert into quick values (0)"
psql -qXc "create table made tablespace fast as select * from kept"
backup second
pg_ctl -D cluster -w -m fast stop >/dev/null
rsync -a first second barman@barman:{SMALL_AT_BARMAN}/
echo "$oid" "$(pg_controldata -D cluster | sed -n 's/^Database system identifier: *//p')"
"""


def build_small(lab: Lab, host: Host) -> list[dict[str, Any]]:
    """Two backups, the older one first, as barman_backup_info would tell of them. They are here in SMALL, too."""
    host.run(["install", "--directory", "--mode=700", "--owner=postgres", SMALL])
    lab.barman.run(["install", "--directory", "--owner=barman", SMALL_AT_BARMAN])
    oid, identifier = host.run(["bash", "-c", BUILD_SMALL], user="postgres").stdout.split()
    return [small_backup(name, SMALL_AT_BARMAN, identifier, oid) for name in ("first", "second")]


def remove_small(lab: Lab, host: Host) -> None:
    host.run(["rm", "-rf", SMALL])
    lab.barman.run(["rm", "-rf", SMALL_AT_BARMAN])
