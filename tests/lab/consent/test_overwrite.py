"""The levels of overwrite on a real host: what is known for unused, what is replaced, and what is kept beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from clone_on_host import FAST, Clone
from lab import Lab
from podman import Host, wait_for
from small_cluster import SMALL, build_small, remove_small
from standby_host import BINDIR, DATA, HOST, STATE
from untouched import look, motionless

PLACE = "/srv/overwrite"
WALDIR, OTHER = f"{PLACE}/wal", f"{PLACE}/other"
LEVELS = ("never", "pristine", "same_cluster", "always")
# All that a copy may write, and what it would keep. The record's directory is not there before a copy begins.
TOUCHED = (DATA, f"{DATA}.old", FAST, f"{FAST}.old", PLACE, STATE)
SQL = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", f"--host={SMALL}", "--port=6002"]


@dataclass
class Small(Clone):
    """A host with two backups of a small cluster to choose from, and clusters that are in the way."""

    backups: list[dict[str, Any]] = field(default_factory=list)

    def start_settings(self) -> dict[str, str]:
        return {
            "listen_addresses": "",
            "unix_socket_directories": SMALL,
            "restore_command": f"cp {SMALL}/wal/%f %p",
        }

    def state_now(self) -> str:
        return str(self.module("pgdata_info", data_directory=DATA)["pgdata"]["state"])

    def initdb(self, *options: str) -> None:
        initdb = [f"{BINDIR}/initdb", "--pgdata", DATA, "--auth=trust", "--no-sync", *options]
        self.host.run(["env", "LC_ALL=C.UTF-8", *initdb], user="postgres")

    def up(self, *settings: str, data: str = DATA) -> None:
        given = " ".join(f"-c {setting}" for setting in ("listen_addresses=", "port=6002", "fsync=off", *settings))
        options = f"-k {SMALL} {given}"
        start = [f"{BINDIR}/pg_ctl", "start", "--wait", "--silent", f"--pgdata={data}", f"--log={SMALL}/log"]
        self.host.run([*start, "--options", options], user="postgres")

    def down(self, mode: str = "fast", data: str = DATA, check: bool = True) -> None:
        stop = [f"{BINDIR}/pg_ctl", "stop", "--wait", "--silent", f"--mode={mode}", f"--pgdata={data}"]
        self.host.run(stop, user="postgres", check=check)

    def sql(self, *statements: str, database: str = "postgres") -> str:
        return self.host.run([*SQL, database], user="postgres", input=";\n".join([*statements, ""])).stdout

    def another(self) -> None:
        """A cluster of another system: WAL elsewhere, a tablespace where the backup has one, and one of its own."""
        self.host.run(["install", "-d", "-m", "700", "-o", "postgres", "-g", "postgres", PLACE, OTHER])
        self.initdb("--waldir", WALDIR)
        self.up()
        self.sql(f"create tablespace mine location '{FAST}'", f"create tablespace other location '{OTHER}'")
        self.sql("create table here as select 1 as n", "create table away tablespace mine as select 2 as n")
        self.sql("create table further tablespace other as select 3 as n")
        self.down()

    def assert_another_works(self, data: str) -> None:
        """It starts, has all its rows, and goes on with its work."""
        self.up(data=data)
        try:
            rows = "select here.n, away.n, further.n from here, away, further where away.n < 4"
            assert self.sql("insert into away values (4)", "checkpoint", rows) == "1|2|3\n"
        finally:
            self.down(data=data)

    def clear(self) -> None:
        for data in (DATA, f"{DATA}.old"):
            self.down("immediate", data, check=False)
        self.host.run(["rm", "-rf", PLACE, f"{DATA}.old", f"{FAST}.old"])
        self.empty()

    def expect_untouched(self, code: str, words: list[str], **options: Any) -> None:
        """Refused by a run and in check mode, and everything is as it was."""
        before = look(self.host, *TOUCHED)
        for check in (True, False):
            refused = self.run(**options, _ansible_check_mode=check)
            assert refused.get("error_code") == code, refused
            for word in [*words, "Next:"]:
                assert word in refused["msg"]
            assert look(self.host, *TOUCHED) == before


@pytest.fixture(scope="module")
def built(lab: Lab) -> Iterator[Small]:
    lab.reset(HOST)
    small = Small.on(lab)
    assert isinstance(small, Small)
    remove_small(lab, small.host)
    try:
        small.backups = build_small(lab, small.host)
        yield small
    finally:
        small.clear()
        remove_small(lab, small.host)
        lab.reset(HOST)


@pytest.fixture
def small(built: Small) -> Iterator[Small]:
    built.clear()
    built.options["backup"] = built.backups[1]
    yield built
    built.clear()


# --- what nobody has used ----------------------------------------------------------------


def test_what_initdb_made_is_pristine_until_it_is_used(small: Small) -> None:
    """Started, looked at, vacuumed by itself, stopped: all that is no use."""
    small.initdb()
    assert small.state_now() == "pristine"
    vacuums = ("autovacuum_vacuum_threshold=0", "autovacuum_vacuum_scale_factor=0", "log_autovacuum_min_duration=0")
    small.up("autovacuum_naptime=1s", *vacuums)
    # It leaves dead rows behind. Whether initdb itself has left the server work depends on how long it took.
    small.sql("analyze")
    wait_for(lambda: "automatic vacuum of table" in small.host.read(f"{SMALL}/log"), "autovacuum")
    assert small.sql("select count(*) > 0 from pg_class, pg_roles", "checkpoint") == "t\n"
    assert small.state_now() == "pristine"
    small.down()
    assert small.state_now() == "pristine"

    small.up()
    small.sql("create role somebody")
    small.down()
    assert small.state_now() == "cluster"


# What leaves something behind, and dropped objects that a vacuum has not come to yet.
USES = (
    "create table t as select 1",
    "create table t as select 1; drop table t",
    "create database d",
    "create view v as select 1",
    "create schema s",
    "create function f() returns int language sql as 'select 1'",
    "create role r; drop role r",
    "select lo_from_bytea(99, 'x')",
    "alter system set work_mem = '8MB'",
    "alter role all set work_mem = '8MB'",
    "select pg_create_physical_replication_slot('s')",
)


def test_what_was_used_is_not_pristine(small: Small) -> None:
    small.initdb()
    small.host.run(["cp", "-a", DATA, f"{SMALL}/unused"])
    found = {}
    try:
        for use in USES:
            small.host.run(["sh", "-euc", f"rm -rf {DATA}; cp -a {SMALL}/unused {DATA}"])
            small.up()
            small.sql(*use.split("; "))
            small.down()
            found[use] = small.state_now()
    finally:
        small.host.run(["rm", "-rf", f"{SMALL}/unused"])
    assert found == dict.fromkeys(USES, "cluster")
    small.expect_untouched("data_directory_cluster", ["overwrite=always"], overwrite="pristine")


def test_what_crashed_is_not_pristine(small: Small) -> None:
    """Nobody knows what is in its WAL."""
    small.initdb()
    small.up()
    small.down("immediate")
    assert small.state_now() == "cluster"


def test_a_new_cluster_of_debians_packages_is_replaced(small: Small) -> None:
    """As they create and start one on installation. A running one is not touched."""
    host = small.host
    host.run(["rm", "-rf", DATA])
    try:
        host.run(["pg_createcluster", "--start", "15", "main"])
        assert small.state_now() == "pristine"
        small.expect_untouched("server_running", ["is never replaced"], overwrite="always")
        small.down()
        small.expect_untouched("data_directory_pristine", ["an unused cluster", "overwrite=pristine"])
        told = small.run(overwrite="pristine", _ansible_check_mode=True)
        done = small.run(overwrite="pristine")
        assert (told["action"], done["action"], done["kept_old"]) == ("replace", "replace", []), (told, done)
        small.assert_healthy()
        assert small.run(overwrite="pristine")["action"] == "none"
    finally:
        host.run(["pg_dropcluster", "--stop", "15", "main"], check=False)
        host.run(["rm", "-rf", "/etc/postgresql/15/main"])


# --- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", LEVELS)
def test_what_is_not_postgresqls_is_never_touched(small: Small, overwrite: str) -> None:
    small.host.run(["sh", "-euc", f"mkdir {DATA}/deep; echo mine >{DATA}/deep/file"], user="postgres")
    words = ["it holds deep", "no overwrite allows", "not PostgreSQL's"]
    small.expect_untouched("data_directory_foreign", words, overwrite=overwrite, keep_old=True)


@pytest.mark.parametrize("overwrite", LEVELS[:3])
def test_another_cluster_takes_consent(small: Small, overwrite: str) -> None:
    small.another()
    small.expect_untouched("data_directory_cluster", ["a cluster of", "overwrite=always"], overwrite=overwrite)
    small.assert_another_works(DATA)


@pytest.mark.parametrize("overwrite", LEVELS)
def test_a_running_server_is_never_replaced(small: Small, overwrite: str) -> None:
    small.another()
    small.up()
    with motionless(small.host, DATA):
        small.expect_untouched("server_running", ["is never replaced"], overwrite=overwrite)
        small.expect_untouched("server_running", ["is never replaced"], overwrite=overwrite, keep_old=True)


def test_the_directory_of_one_database_is_no_cluster(small: Small) -> None:
    small.another()
    database = f"{DATA}/base/1"
    before = look(small.host, *TOUCHED)
    refused = small.run(overwrite="always", data_directory=database, state_directory=f"{PLACE}/state")
    assert refused["error_code"] == "data_directory_foreign", refused
    assert look(small.host, *TOUCHED) == before


# --- replaced ----------------------------------------------------------------------------


def test_another_cluster_is_replaced_with_its_tablespaces(small: Small) -> None:
    small.another()
    other = look(small.host, OTHER, WALDIR)
    done = small.run(overwrite="always")
    assert (done["action"], done["bytes_sent"]) == ("replace", done["bytes"]), done
    assert done["left_behind"] == [OTHER, WALDIR]
    assert look(small.host, OTHER, WALDIR) == other
    assert len(small.host.run(["ls", FAST]).stdout.split()) == 1
    small.assert_healthy()


@pytest.mark.parametrize("damage", ["rm -f {}", "truncate -s 100 {}"], ids=["gone", "cut off"])
def test_a_damaged_cluster_is_replaced(small: Small, damage: str) -> None:
    small.another()
    small.host.run(["sh", "-euc", damage.format(f"{DATA}/global/pg_control")], user="postgres")
    words = ["a damaged cluster of PostgreSQL 15", "overwrite=always"]
    small.expect_untouched("data_directory_damaged", words, overwrite="same_cluster")
    assert small.run(overwrite="always")["action"] == "replace"
    small.assert_healthy()


def test_the_wal_on_a_file_system_of_its_own_is_no_obstacle(small: Small) -> None:
    small.initdb()
    move = f"mv {DATA}/pg_wal {SMALL}/aside; install -d -o postgres -g postgres -m 700 {DATA}/pg_wal"
    small.host.run(["sh", "-euc", f"{move}; mount -t tmpfs -o uid=postgres,gid=postgres,mode=700 none {DATA}/pg_wal"])
    try:
        small.host.run(["sh", "-euc", f"mv {SMALL}/aside/* {DATA}/pg_wal/; rmdir {SMALL}/aside"], user="postgres")
        assert small.state_now() == "pristine"
        small.expect_untouched(
            "keep_old_mount_point", [f"{DATA}/pg_wal is a mount point"], overwrite="pristine", keep_old=True
        )
        assert small.run(overwrite="pristine")["action"] == "replace"
        small.assert_healthy()
    finally:
        small.host.run(["umount", "--lazy", f"{DATA}/pg_wal"])


# --- kept --------------------------------------------------------------------------------


@pytest.mark.parametrize("waldir", [None, WALDIR], ids=["WAL left", "WAL taken"])
def test_what_is_kept_can_be_started(small: Small, waldir: str | None) -> None:
    small.another()
    request = {"overwrite": "always", "keep_old": True, "waldir": waldir}
    before = look(small.host, *TOUCHED)
    told = small.run(**request, _ansible_check_mode=True)
    assert look(small.host, *TOUCHED) == before
    done = small.run(**request)
    kept = [f"{place}.old" for place in (DATA, *([waldir] if waldir else []), FAST)]
    for result in (told, done):
        assert (result["action"], result["kept_old"]) == ("clone", kept), result
    assert done["left_behind"] == [OTHER, *([] if waldir else [WALDIR])]
    small.assert_another_works(f"{DATA}.old")
    small.assert_healthy()
    small.assert_another_works(f"{DATA}.old")
    assert small.run(**request)["action"] == "none"


def test_a_clone_that_is_to_be_newer_can_be_kept(small: Small) -> None:
    small.options["backup"] = small.backups[0]
    assert small.run()["action"] == "clone"
    small.options["backup"] = small.backups[1]
    done = small.run(overwrite="same_cluster", keep_old=True)
    assert (done["action"], done["kept_old"]) == ("clone", [f"{DATA}.old", f"{FAST}.old"]), done
    small.assert_healthy()
    kept = small.module("pgdata_info", data_directory=f"{DATA}.old")["pgdata"]
    assert (kept["state"], kept["control"]["state"]) == ("standby", "in production")


def test_all_reasons_against_keeping_are_told_at_once(small: Small) -> None:
    small.another()
    host = small.host
    host.run(["sh", "-euc", f"mkdir {DATA}.old; chown root {FAST}/..; chmod 755 {FAST}/.."])
    refused = small.run(overwrite="always", keep_old=True, _ansible_check_mode=True)
    assert refused["error_codes"] == ["keep_old_exists", "keep_old_parent"], refused
    small.expect_untouched("keep_old_exists", ["2 problems", f"{DATA}.old", FAST], overwrite="always", keep_old=True)
    host.run(["rmdir", f"{DATA}.old"])
    small.expect_untouched("keep_old_parent", [FAST], overwrite="always", keep_old=True)
    small.assert_another_works(DATA)


def own_file_system(host: Host) -> None:
    host.run(["mount", "-t", "tmpfs", "-o", "uid=postgres,gid=postgres,mode=700", "none", FAST])


def test_a_tablespace_on_a_file_system_of_its_own_cannot_be_kept(small: Small) -> None:
    own_file_system(small.host)
    try:
        small.another()
        words = [f"{FAST} is a mount point", "without keep_old"]
        small.expect_untouched("keep_old_mount_point", words, overwrite="always", keep_old=True)
        assert small.run(overwrite="always")["action"] == "replace"
        small.assert_healthy()
    finally:
        small.host.run(["umount", "--lazy", FAST])
