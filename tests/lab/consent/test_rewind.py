"""standby_rewind on real servers: a small primary and its standby on one host, and a failover between them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from clone_on_host import Clone
from lab import Lab
from podman import BOUND, Host, wait_for
from standby_host import BINDIR, HOST

TOP = "/tmp/pgfleet-rewind"
OLD, NEW = f"{TOP}/old", f"{TOP}/new"
STATE = f"{TOP}/.old.standby"
THIRD = f"{TOP}/third"
PORTS = {OLD: 6101, NEW: 6102, THIRD: 6103}
FUNCTIONS = (
    "pg_ls_dir(text,boolean,boolean)",
    "pg_stat_file(text,boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text,bigint,bigint,boolean)",
)

# The old primary goes on writing after the new one was promoted; both are changed in the same places and in others.
BUILD = f"""\
set -eu
umask 077
export PATH={BINDIR}:$PATH LC_ALL=C PGHOST={TOP} PGDATABASE=postgres PGPORT=6101
cd {TOP}
mkdir fast fast_new archive
initdb -D old --username=postgres --auth=trust --no-sync --no-locale --encoding=UTF8 $INITDB >initdb.log
cat >>old/postgresql.conf <<END
listen_addresses = ''
unix_socket_directories = '{TOP}'
port = 6101
fsync = off
logging_collector = on
log_filename = 'server.log'
archive_mode = on
archive_command = 'cp %p {TOP}/archive/%f'
max_wal_size = 64MB
min_wal_size = 32MB
$SETTINGS
END
pg_ctl -D old -w -l start.log start >/dev/null
psql -qXc "create role replicator login replication" -c "create role rewinder login" -c "create role nobody login"
for function in $FUNCTIONS; do psql -qXc "grant execute on function pg_catalog.$function to rewinder"; done
psql -qXc "create tablespace fast location '{TOP}/fast'"
psql -qXc "create table kept as select n, 'before' as who from generate_series(1, 50000) n"
psql -qXc "create table moved tablespace fast as select * from kept"
psql -qXc "select pg_create_physical_replication_slot('left_over', true)"
pg_basebackup -U replicator -D new -R -X stream -c fast -T {TOP}/fast={TOP}/fast_new --no-sync
sed -i 's/^port = .*/port = 6102/' new/postgresql.conf
pg_ctl -D new -w -l start.log start >/dev/null
if [ "$CHECKPOINT" = no ]; then psql -qXc "update kept set who = 'busy'"; fi  # what the next checkpoint has to write
if [ "$THIRD" = yes ]; then
    mkdir fast_third
    pg_basebackup -U replicator -D third -R -X stream -c fast -T {TOP}/fast={TOP}/fast_third --no-sync
    sed -i 's/^port = .*/port = 6103/' third/postgresql.conf
    pg_ctl -D third -w -l start.log start >/dev/null
fi
lsn=$(psql -qXAtc "select pg_current_wal_lsn()")
until [ "$(psql -p 6102 -qXAtc "select pg_last_wal_replay_lsn() >= '$lsn'")" = t ]; do sleep 0.1; done
pg_ctl -D new -w promote >/dev/null
if [ "$CHECKPOINT" = yes ]; then psql -p 6102 -qXc checkpoint; fi
psql -qXc "update kept set who = 'old' where n % 7 = 0" -c "create table lost as select * from kept"
psql -qXc "alter system set work_mem = '7MB'" -c "alter system set primary_conninfo = 'host=stale'"
psql -p 6102 -qXc "update kept set who = 'new' where n % 5 = 0" -c "create table gained as select * from kept"
psql -p 6102 -qXc "insert into moved values (0, 'new')" -c "drop table if exists lost"
pg_ctl -D old -w -m $STOP stop >/dev/null
if [ "$THIRD" = yes ]; then pg_ctl -D third -w -m fast stop >/dev/null; fi
"""
COMPARED = """\
select (select md5(string_agg(n || who, ',' order by n)) from kept),
       (select md5(string_agg(n || who, ',' order by n)) from moved),
       (select count(*) from gained), to_regclass('lost')
"""


@dataclass
class Failover:
    """The host with the two clusters, of which the new one runs."""

    clone: Clone

    @property
    def host(self) -> Host:
        return self.clone.host

    def build(
        self, initdb: str = "", stop: str = "fast", checkpoint: bool = True, third: bool = False, settings: str = ""
    ) -> None:
        env = [f"INITDB={initdb}", f"STOP={stop}", f"SETTINGS={settings}", f"FUNCTIONS={' '.join(FUNCTIONS)}"]
        env += [f"CHECKPOINT={'yes' if checkpoint else 'no'}", f"THIRD={'yes' if third else 'no'}"]
        self.remove()
        self.host.run(["install", "--directory", "--mode=700", "--owner=postgres", TOP])
        self.host.run(["env", *env, "bash", "-c", BUILD], user="postgres")

    def remove(self) -> None:
        for directory in PORTS:
            stop = [f"{BINDIR}/pg_ctl", "-D", directory, "-w", "-m", "immediate", "stop"]
            self.host.run(stop, user="postgres", check=False)
        self.host.run(["rm", "-rf", TOP])

    def options(self, **changed: Any) -> dict[str, Any]:
        return {
            "data_directory": OLD,
            "upstream_conninfo": {"host": TOP, "port": 6102, "user": "replicator"},
            "application_name": "old",
            "rewind_user": "rewinder",
            **changed,
        }

    def rewind(self, **changed: Any) -> dict[str, Any]:
        return self.clone.module("standby_rewind", **self.options(**changed))

    def sql(self, port: int, text: str) -> str:
        return self.host.run(
            ["psql", "-qXAt", "-h", TOP, "-p", str(port), "-U", "postgres", "-d", "postgres", "-c", text],
            user="postgres",
        ).stdout.strip()

    def start(self, directory: str = OLD) -> tuple[int, str]:
        """Exit code and log of a start of the old cluster, or another."""
        start = [f"{BINDIR}/pg_ctl", "-D", directory, "-w", "-t", "30", "-l", f"{TOP}/again.log", "start"]
        done = self.host.run(start, user="postgres", check=False)
        return done.returncode, done.stdout + self.host.run(["cat", f"{TOP}/again.log"], check=False).stdout

    def follow(self, directory: str = OLD) -> None:
        """Give the old cluster its recovery settings, start it, and wait until it has replayed all of the new one's.

        Then both hold the same.
        """
        port = PORTS[directory]
        options = {k: v for k, v in self.options(data_directory=directory).items() if k != "rewind_user"}
        told = self.clone.module("standby_recovery", **options, restore_command="none")
        assert told["changed"], told
        code, log = self.start(directory)
        assert code == 0, log
        lsn = self.sql(6102, "select pg_current_wal_lsn()")
        wait_for(lambda: self.sql(port, f"select pg_last_wal_replay_lsn() >= '{lsn}'") == "t", "the standby to follow")
        assert self.sql(port, "select status from pg_stat_wal_receiver") == "streaming"
        assert self.sql(port, "select pg_is_in_recovery()") == "t"
        assert self.sql(port, COMPARED) == self.sql(6102, COMPARED)

    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.host.read(f"{STATE}/state.json")))

    def mode(self) -> str:
        return self.host.run(["stat", "-c", "%a", OLD]).stdout.strip()

    def listing(self) -> str:
        """Everything below the two clusters' directory that a refusal must leave as it is, with checksums."""
        script = f"cd {TOP} && find old fast .old.standby -printf '%y %m %T@ %p %l\\n' 2>/dev/null | sort;"
        script += f" find {OLD} {TOP}/fast -type f -exec md5sum {{}} + | sort"
        return self.host.run(["sh", "-c", script], check=False).stdout

    def programs(self, name: str, text: str) -> str:
        """A directory of the server's programs in which one is another."""
        place = f"{TOP}/bin"
        self.host.run(
            ["sh", "-c", f"mkdir -p {place} && ln -sf {BINDIR}/* {place}/ && rm {place}/{name}"], user="postgres"
        )
        self.host.write(f"{place}/{name}", text, mode=0o755)
        return place


@pytest.fixture(scope="module")
def installed(lab: Lab) -> Clone:
    clone = Clone(lab, lab.host(HOST))
    clone.install()
    return clone


@pytest.fixture
def failover(installed: Clone) -> Iterator[Failover]:
    failover = Failover(installed)
    yield failover
    failover.remove()


def assert_refused(failover: Failover, **changed: Any) -> dict[str, Any]:
    before = failover.listing()
    result = failover.rewind(**changed)
    assert result.get("failed"), result
    assert failover.listing() == before
    return result


# --- what it does ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [{"initdb": "--data-checksums"}, {"settings": "wal_log_hints = on"}, {"initdb": "-k --allow-group-access"}],
    ids=["checksums", "hints", "group access"],
)
def test_a_former_primary_follows_the_new_one(failover, how):
    failover.build(**how)
    group = "group" in how.get("initdb", "")
    told = failover.rewind(_ansible_check_mode=True)
    assert told["changed"], told
    result = failover.rewind()
    assert result.get("changed"), result
    same = ("rewound_to", "reason", "kept", "bytes", "diff")
    assert [told[name] for name in same] == [result[name] for name in same]
    left = failover.host.read(f"{NEW}/pg_wal/00000002.history").split()
    assert result["rewound_to"] == {"timeline": int(left[0]), "lsn": left[1]}
    assert result["kept"] == ["log", "pg_hba.conf", "pg_ident.conf", "postgresql.auto.conf", "postgresql.conf"]
    assert failover.mode() == ("750" if group else "700")
    assert failover.host.run(["find", OLD, "-not", "-type", "l", "-perm", "/007" if group else "/077"]).stdout == ""
    auto = failover.host.read(f"{OLD}/postgresql.auto.conf")
    assert "7MB" in auto
    assert "stale" not in auto
    assert "port = 6101" in failover.host.read(f"{OLD}/postgresql.conf")
    assert "database system is shut down" in failover.host.read(f"{OLD}/log/server.log")
    assert failover.host.run(["ls", f"{OLD}/pg_replslot"]).stdout == ""
    assert (failover.state()["phase"], failover.state()["backup_id"]) == ("committed", None)
    known = failover.clone.module("pgdata_info", data_directory=OLD)["pgdata"]
    assert (known["state"], known["ours"]) == ("standby", True)
    assert not failover.host.exists(f"{STATE}/own")
    failover.follow()
    stop = [f"{BINDIR}/pg_ctl", "-D", OLD, "-w", "-m", "fast", "stop"]
    failover.host.run(stop, user="postgres")
    assert failover.rewind()["error_code"] == "not_diverged"


def test_a_standby_that_followed_the_old_one(failover):
    failover.build(initdb="-k", third=True)
    # A standby keeps WAL no longer than it has to.
    result = failover.rewind(data_directory=THIRD, restore_command=f"cp {TOP}/archive/%f '%p'")
    assert result.get("changed"), result
    failover.follow(THIRD)


def test_wal_that_is_gone_comes_from_the_archive(failover):
    failover.build(initdb="-k")
    fork = failover.host.read(f"{NEW}/pg_wal/00000002.history").split()[1]
    number = int(fork.split("/")[1], 16) >> 24
    failover.host.run(
        ["sh", "-c", f"cp -n {OLD}/pg_wal/0000000100000000* {TOP}/archive/; rm {OLD}/pg_wal/00000001*{number:02X}"]
    )
    failover.host.run(["chown", "-R", "postgres", f"{TOP}/archive"])
    result = assert_refused(failover)
    assert result["error_code"] == "rewind_impossible"
    assert "WAL from before the fork is not in" in result["msg"]
    result = assert_refused(failover, restore_command="false")
    assert "restore_command did not bring it" in result["msg"]
    result = failover.rewind(restore_command=f"cp {TOP}/archive/%f '%p'")
    assert result.get("changed"), result
    failover.follow()


# --- what it refuses -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "changed", "said"),
    [
        pytest.param({}, {}, "neither data checksums nor wal_log_hints", id="hints"),
        pytest.param({"initdb": "-k", "stop": "immediate"}, {}, "server was not shut down", id="crash"),
        pytest.param({"initdb": "-k"}, {"rewind_user": "nobody"}, "GRANT EXECUTE ON FUNCTION", id="rights"),
        pytest.param({"initdb": "-k"}, {"rewind_user": "unknown"}, 'role "unknown" does not exist', id="no such role"),
        pytest.param({"initdb": "-k", "checkpoint": False}, {}, "has not completed a checkpoint", id="checkpoint"),
        pytest.param({"initdb": "-k", "settings": "full_page_writes = off"}, {}, "full_page_writes", id="torn pages"),
    ],
)
def test_what_makes_it_impossible(failover, how, changed, said):
    failover.build(**how)
    result = assert_refused(failover, **changed)
    assert result["error_code"] == "rewind_impossible"
    assert said in result["msg"]


def test_a_tablespace_that_is_not_here(failover):
    failover.build(initdb="-k")
    failover.host.run(["mkdir", f"{TOP}/newer"], user="postgres")
    failover.sql(6102, f"create tablespace newer location '{TOP}/newer'")
    result = assert_refused(failover)
    assert "tablespaces that are not here: newer" in result["msg"]


def test_a_running_server(failover):
    failover.build(initdb="-k")
    result = failover.rewind(data_directory=NEW)
    assert result["error_code"] == "server_running"


# --- when it is interrupted ------------------------------------------------------------

HALF_WAY = f"""\
#!/bin/bash
case $* in *--dry-run*) exec {BINDIR}/pg_rewind "$@" ;; esac
(ulimit -f 2048; {BINDIR}/pg_rewind "$@")
echo $? >{TOP}/half_way
echo $$ >{TOP}/sleeper
exec sleep 100000
"""
WAITS = f"""\
#!/bin/bash
case $* in *--dry-run*) exec {BINDIR}/pg_rewind "$@" ;; esac
until [ -e {TOP}/go ]; do sleep 0.1; done
exec {BINDIR}/pg_rewind "$@"
"""
AND_A_START = f"""\
#!/bin/bash
case $* in *--dry-run*) exec {BINDIR}/pg_rewind "$@" ;; esac
{BINDIR}/pg_ctl -D {OLD} -w -t {BOUND:.0f} -l {TOP}/hasty.log start >/dev/null 2>&1
echo $? >{TOP}/hasty
exec {BINDIR}/pg_rewind "$@"
"""


def assert_unstartable(failover: Failover) -> None:
    code, log = failover.start()
    assert code != 0, log
    assert "has invalid permissions" in log, log
    single = [f"{BINDIR}/postgres", "--single", "-D", OLD, "postgres"]
    done = failover.host.run(single, user="postgres", check=False)
    assert done.returncode != 0
    assert "has invalid permissions" in done.stderr


def test_a_kill_half_way_leaves_what_cannot_be_started(failover):
    failover.build(initdb="-k")
    bindir = failover.programs("pg_rewind", HALF_WAY)
    before = failover.listing()
    command = failover.clone.argv("standby_rewind", failover.options(pg_bindir=bindir))
    running = subprocess.Popen(
        failover.host.command(command, "postgres"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=failover.host.podman.env,
    )
    try:
        wait_for(lambda: failover.host.exists(f"{TOP}/half_way"), "pg_rewind to break off")
        assert failover.host.read(f"{TOP}/half_way").strip() != "0"
        assert failover.listing() != before
        assert failover.rewind(attach_timeout=0)["finished"] is False
        # The process that rewinds, and who waits for it. What it has started holds the lock on.
        pids = failover.host.run(["pgrep", "-f", "python3 .*/standby_rewind.py"]).stdout.split()
        failover.host.run(["kill", "-9", *pids])
        running.wait(BOUND)
        assert_unstartable(failover)
        assert failover.mode() == "702"
        assert failover.state()["phase"] == "rewinding"
        result = assert_refused(failover)
        assert result["error_code"] == "rewind_unfinished"
        assert "overwrite=same_cluster" in result["msg"]
        assert failover.host.read(f"{STATE}/own/postgresql.conf").count("port = 6101") == 1
    finally:
        running.send_signal(signal.SIGKILL)
        failover.host.run(["sh", "-c", f"kill -9 $(cat {TOP}/sleeper)"], check=False)


def test_it_goes_on_without_who_has_begun_it_and_the_next_call_attaches(failover):
    failover.build(initdb="-k")
    bindir = failover.programs("pg_rewind", WAITS)
    begun = failover.rewind(pg_bindir=bindir, attach_timeout=0)
    assert (begun["changed"], begun["finished"]) == (True, False)
    assert failover.rewind(pg_bindir=bindir, attach_timeout=0)["run"] == begun["run"]
    failover.host.run(["touch", f"{TOP}/go"])
    done = failover.rewind(pg_bindir=bindir, attach_run=begun["run"])
    assert (done["finished"], failover.mode()) == (True, "700"), done
    failover.follow()


def test_a_failure_half_way_leaves_what_cannot_be_started(failover):
    failover.build(initdb="-k")
    bindir = failover.programs("pg_rewind", HALF_WAY.replace("exec sleep 100000", "exit 1"))
    result = failover.rewind(pg_bindir=bindir)
    assert result["error_code"] == "rewind_failed", result
    assert_unstartable(failover)


def test_a_server_that_is_started_meanwhile_does_not_start(failover):
    failover.build(initdb="-k")
    result = failover.rewind(pg_bindir=failover.programs("pg_rewind", AND_A_START))
    assert result.get("changed"), result
    assert failover.host.read(f"{TOP}/hasty").strip() != "0"
    assert "has invalid permissions" in failover.host.read(f"{TOP}/hasty.log")
    failover.follow()
