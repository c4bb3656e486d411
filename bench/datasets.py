"""The data: clusters of different shapes on the primary, each backed up by Barman and by pgBackRest, once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from hosts import Bench, File, LabError
from podman import wait_for

__all__ = ["BACKREST_CONF", "DATASETS", "TARGET", "Dataset", "prepare"]

TARGET = "/var/lib/postgresql/15/main"  # where every peer restores to
BINDIR = "/usr/lib/postgresql/15/bin"
BACKREST_CONF = "/etc/pgbackrest.conf"
MARKS = "/srv/bench"


@dataclass(frozen=True)
class Dataset:
    """A cluster and its backups. ``older`` is the backup from before the change, where the data changed."""

    name: str
    port: int
    scale: int
    backup_id: str = ""
    older: str = ""
    oid: int = 0  # of its tablespace
    files: int = 0
    bytes: int = 0

    @property
    def directory(self) -> str:
        """The Barman backup's place on the backup host."""
        return f"/var/lib/barman/{self.name}/base/{self.backup_id}"

    @property
    def pgdata(self) -> str:
        return f"/var/lib/postgresql/15/{self.name}"

    @property
    def config(self) -> str:
        return f"/etc/postgresql/15/{self.name}"

    @property
    def tablespace(self) -> str:
        return f"/srv/tablespaces/{self.name}"

    @property
    def trees(self) -> list[tuple[str, str]]:
        """From where on the backup host to where on the target."""
        return [(f"{self.directory}/data", TARGET), (f"{self.directory}/{self.oid}", self.tablespace)]


# --- shapes: scale 140 is about 2 GB -------------------------------------------------


def pgbench(bench: Bench, data: Dataset) -> None:
    options = ["--initialize", "--quiet", "--no-vacuum", "--scale", str(data.scale), "--index-tablespace", data.name]
    bench.primary.run(
        ["pgbench", *options, "--port", str(data.port), "bench"], user="postgres", timeout=120 + 10 * data.scale
    )


def random(bench: Bench, data: Dataset) -> None:
    """Eight rows of 980 random bytes fill a page to 96 %."""
    sql = f"""
    CREATE EXTENSION pgcrypto;
    CREATE TABLE noise TABLESPACE {data.name} AS
        SELECT n, gen_random_bytes(980) AS bytes FROM generate_series(1, 1000) AS n;
    TRUNCATE noise;
    ALTER TABLE noise ALTER bytes SET STORAGE PLAIN;
    INSERT INTO noise SELECT n, gen_random_bytes(980) FROM generate_series(1, {data.scale * 15_000}) AS n;
    """
    psql(bench, data, sql, timeout=120 + 10 * data.scale)


def relations(bench: Bench, data: Dataset) -> None:
    """Tables of one page each; 30,000 at scale 140."""
    count = 30_000 * data.scale // 140
    sql = f"""
    DO $$ BEGIN
        FOR n IN 1 .. {count} LOOP
            EXECUTE format('CREATE TABLE r%s TABLESPACE %I AS SELECT %s AS id', n,
                           CASE WHEN n % 10 = 0 THEN '{data.name}' ELSE 'pg_default' END, n);
            IF n % 500 = 0 THEN COMMIT; END IF;
        END LOOP;
    END $$;
    """
    psql(bench, data, sql, timeout=900)


SHAPES: dict[str, Callable[[Bench, Dataset], None]] = {
    "pgbench": pgbench,
    "random": random,
    "relations": relations,
    "changed": pgbench,
}
DATASETS = tuple(SHAPES)


# --- preparation -----------------------------------------------------------------------

LOADING = "-c wal_level=minimal -c max_wal_senders=0 -c fsync=off -c autovacuum=off -c max_wal_size=20GB"
# Settings of a source at rest: nothing writes while we measure.
SETTINGS = """\
listen_addresses = '*'
max_wal_senders = 10
max_connections = 100
wal_level = replica
archive_mode = on
archive_command = 'barman-wal-archive b-barman {name} %p'
autovacuum = off
shared_preload_libraries = 'repmgr'
"""
BARMAN_CONF = """\
[barman]
barman_user = barman
barman_home = /var/lib/barman
configuration_files_directory = /etc/barman.d
log_file = /var/log/barman/barman.log
immediate_checkpoint = true
"""
SERVER_CONF = """\
[{name}]
description = {name}
conninfo = host=b-primary port={port} user=postgres dbname=postgres
ssh_command = ssh postgres@b-primary
backup_method = rsync
backup_options = concurrent_backup
reuse_backup = off
parallel_jobs = 2
archiver = on
"""
BACKREST_GLOBAL = """\
[global]
repo1-path=/var/lib/pgbackrest
process-max=2
compress-type=lz4
start-fast=y
archive-check=n
log-level-console=warn
log-level-file=off
lock-path=/tmp/pgbackrest
"""


def prepare(bench: Bench, name: str, scale: int, say: Callable[[str], None]) -> Dataset:
    """The data set at that scale, made unless it is there."""
    mark = f"{MARKS}/{name}.json"
    if bench.primary.exists(mark):
        found = Dataset(**json.loads(bench.primary.read(mark)))
        if found.scale == scale:
            return found
        say(f"{name} is there at scale {found.scale} and is made anew")
        bench.primary.run(["rm", mark])
    began = time.monotonic()
    data = Dataset(name, 5432 + DATASETS.index(name), scale)
    make_cluster(bench, data)
    configure_backups(bench, data)
    data = take_backup(bench, data)
    if name == "changed":
        change(bench, data)
        data = replace(take_backup(bench, data), older=data.backup_id)
    backrest(bench, data)
    bench.primary.run(["mkdir", "-p", MARKS])
    bench.primary.write(mark, json.dumps(asdict(data)))
    say(f"{name}: {data.files} files, {data.bytes / 1e6:.0f} MB, made in {time.monotonic() - began:.0f} s")
    return data


def psql(bench: Bench, data: Dataset, sql: str, db: str = "bench", timeout: float = 60) -> str:
    argv = ["psql", "-XAtq", "--set", "ON_ERROR_STOP=1", "--port", str(data.port), "--dbname", db]
    return bench.primary.run(argv, user="postgres", input=sql, timeout=timeout).stdout.strip()


def make_cluster(bench: Bench, data: Dataset) -> None:
    host = bench.primary
    if host.exists(data.config):  # half made, or of another scale
        host.run(["pg_dropcluster", "--stop", "15", data.name], timeout=300)
        host.run(["rm", "-rf", data.config, data.tablespace], timeout=300)
        repository = [f"/var/lib/pgbackrest/{kind}/{data.name}" for kind in ("archive", "backup")]
        bench.barman.run(["rm", "-rf", f"/var/lib/barman/{data.name}", *repository], timeout=300)
    host.run(["pg_createcluster", "--locale", "C.UTF-8", "--port", str(data.port), "15", data.name])
    host.run(["install", "-d", "-m", "700", "-o", "postgres", "-g", "postgres", data.tablespace])
    pg_ctl = [f"{BINDIR}/pg_ctl", "--wait", "--silent", "--pgdata", data.config]
    host.run([*pg_ctl, "--log", f"/tmp/{data.name}.log", "--options", LOADING, "start"], user="postgres")
    psql(bench, data, f"CREATE TABLESPACE {data.name} LOCATION '{data.tablespace}'", "postgres")
    psql(bench, data, "CREATE DATABASE bench", "postgres")
    SHAPES[data.name](bench, data)
    host.run([*pg_ctl, "stop"], user="postgres", timeout=600)
    # These hosts share a network of their own with nobody, so addresses are enough.
    hba = host.read(f"{data.config}/pg_hba.conf")
    hba += "".join(f"host {database} all {bench.subnet} trust\n" for database in ("all", "replication"))
    host.put(
        [
            File(f"{data.config}/pg_hba.conf", hba, "postgres", 0o640),
            File(f"{data.config}/conf.d/bench.conf", SETTINGS.format(name=data.name), "postgres"),
        ]
    )
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "start", "--no-block", f"postgresql@15-{data.name}"])
    ready = ["pg_isready", "--port", str(data.port)]
    wait_for(lambda: host.run(ready, check=False).returncode == 0, f"cluster {data.name} to accept connections")
    register_repmgr(bench, data)


def register_repmgr(bench: Bench, data: Dataset) -> None:
    """repmgr clones only what it knows."""
    psql(bench, data, "CREATE ROLE repmgr LOGIN SUPERUSER REPLICATION; CREATE DATABASE repmgr OWNER repmgr", "postgres")
    conf = f"/etc/repmgr-{data.name}.conf"
    lines = [
        "node_id=1",
        "node_name='b-primary'",
        f"conninfo='host=b-primary port={data.port} user=repmgr dbname=repmgr'",
        f"data_directory='{data.pgdata}'",
        f"pg_bindir='{BINDIR}'",
    ]
    bench.primary.write(conf, "".join(f"{line}\n" for line in lines))
    bench.primary.run(["repmgr", "-f", conf, "primary", "register"], user="postgres")


def change(bench: Bench, data: Dataset) -> None:
    """Touch every hundredth page of the table and no index: a deleted row stays where it is."""
    rows = "(ctid::text::point)[0]::bigint % 100 = 0 AND (ctid::text::point)[1] = 1"
    psql(bench, data, f"DELETE FROM pgbench_accounts WHERE {rows}", timeout=60 + 5 * data.scale)


def configure_backups(bench: Bench, data: Dataset) -> None:
    barman = bench.barman
    barman.run(["mkdir", "-p", "/etc/barman.d", "/tmp/pgbackrest"])
    barman.run(["install", "-d", "-o", "barman", "-g", "barman", "/var/log/barman", "/var/lib/pgbackrest"])
    barman.run(["chown", "barman:barman", "/tmp/pgbackrest"])
    barman.put(
        [
            File("/etc/barman.conf", BARMAN_CONF),
            File(f"/etc/barman.d/{data.name}.conf", SERVER_CONF.format(name=data.name, port=data.port)),
        ]
    )


def take_backup(bench: Bench, data: Dataset) -> Dataset:
    barman = bench.barman
    barman.run(["barman", "switch-wal", "--force", "--archive", "--archive-timeout", "60", data.name], user="barman")
    barman.run(["barman", "backup", "--wait", data.name], user="barman", timeout=1800)
    shown = json.loads(barman.run(["barman", "-f", "json", "show-backup", data.name, "latest"], user="barman").stdout)
    backup = shown[data.name]
    if backup["status"] != "DONE":
        raise LabError(f"the Barman backup of {data.name} is {backup['status']}")
    oid = psql(bench, data, f"SELECT oid FROM pg_tablespace WHERE spcname = '{data.name}'", "postgres")
    taken = replace(data, backup_id=backup["backup_id"], oid=int(oid))
    # Newer Barmans look for what describes a backup in a place of its own.
    info, meta = f"{taken.directory}/backup.info", f"/var/lib/barman/{data.name}/meta"
    barman.run(["install", "-d", meta], user="barman")
    barman.run(["cp", info, f"{meta}/{taken.backup_id}-backup.info"], user="barman")
    sizes = barman.run(["find", taken.directory, "-type", "f", "-printf", "%s\\n"]).stdout.split()
    return replace(taken, files=len(sizes), bytes=sum(map(int, sizes)))


def backrest(bench: Bench, data: Dataset) -> None:
    stanza = f"[{data.name}]\npg1-path={data.pgdata}\npg1-port={data.port}\n"
    here = f"{BACKREST_GLOBAL}{stanza}pg1-host=b-primary\npg1-host-user=postgres\n"
    conf = f"{BACKREST_CONF}.{data.name}"
    bench.barman.write(conf, here)
    bench.primary.write(BACKREST_CONF, f"{BACKREST_GLOBAL}{stanza}")
    command = ["pgbackrest", f"--config={conf}", f"--pg1-host-config={BACKREST_CONF}", f"--stanza={data.name}"]
    bench.barman.run([*command, "stanza-create"], user="barman")
    bench.barman.run([*command, "backup", "--type=full"], user="barman", timeout=1800)
