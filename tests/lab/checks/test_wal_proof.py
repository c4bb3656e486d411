"""The proof that all WAL is there: against the lab's primary, and against a small upstream that was promoted.

The small one archives into a Barman home of our own, so that segments can be taken away from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from clone_on_host import PLACE, Clone
from lab import Lab
from podman import Host
from standby_host import BINDIR, HOST

WORK = "/tmp/pgfleet-proof"
THERE = f"/var/lib/barman/proof-{HOST}"
WALS = f"{THERE}/own/wals"
GET_WAL = f"ssh barman@barman barman --config {THERE}/barman.conf get-wal own %f >%p"
SIZE = 1 << 20
PRIMARY = {"host": "primary", "user": "replicator"}
OWN = {"host": WORK, "port": "6003", "user": "postgres"}

BARMAN_CONF = f"""\
[barman]
barman_user = barman
barman_home = {THERE}
configuration_files_directory = {THERE}/none
log_file = {THERE}/log

[own]
description = WAL only
conninfo = host={HOST} user=nobody dbname=postgres
ssh_command = ssh postgres@{HOST}
backup_method = rsync
archiver = on
"""

# A primary and its standby with segments of 1 MiB; the standby is promoted in the middle of a segment, writes on, and
# forgets its old WAL. `left` is a base backup from before all that, and `begin` where its replay begins.
BUILD = f"""\
set -eu
umask 077
export PATH={BINDIR}:$PATH LC_ALL=C PGHOST={WORK} PGDATABASE=postgres
cd {WORK}
mkdir wal
initdb -D first --auth=trust --no-sync --no-locale --encoding=UTF8 --wal-segsize=1 >log
cat >>first/postgresql.conf <<END
listen_addresses = ''
unix_socket_directories = '{WORK}'
fsync = off
archive_mode = on
archive_command = 'cp %p {WORK}/wal/%f'
min_wal_size = 2MB
wal_keep_size = 0
END
begin() {{ pg_ctl start -w -s -D $1 -l log -o "-p $2"; }}
write() {{
    for _ in $(seq $2); do
        psql -qXAt -p $1 -c "insert into t select generate_series(1, 3000)" -c "select pg_switch_wal()" >>log
    done
    psql -qX -p $1 -c "insert into t values (0)"
}}
begin first 6002
psql -qX -p 6002 -c "create table t (n int)"
pg_basebackup -p 6002 -D left -c fast -X none --no-sync
pg_basebackup -p 6002 -D second -c fast -R --no-sync
begin second 6003
write 6002 16
pg_ctl stop -s -D first -m fast
pg_ctl promote -w -s -D second
write 6003 4
psql -qX -p 6003 -c checkpoint -c "insert into t values (1)" -c checkpoint
while ls second/pg_wal/archive_status/*.ready >/dev/null 2>&1; do sleep 0.1; done
sed -n 's/^START WAL LOCATION: \\(.*\\) (file .*/\\1/p' left/backup_label
"""

# As Barman's archiver puts segments away.
STORE = f"""\
cd {WALS}
for name in ????????????????????????; do
    directory=${{name%????????}}
    mkdir -p "$directory"
    mv "$name" "$directory/"
done
"""

# Calls on the standby as its database user, as a module would make them.
CALL = """\
import json, sys
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import SshShell
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_start
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import identify
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.walsender import holds_wal
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.restore_command import fetches_segment
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.wal_proof import prove

def barman(host, server, config=None):
    return Barman(SshShell(host), server, config=config)

def run_prove(keywords, begin, size, archive):
    begin = (begin[0], parse_lsn(begin[1]))
    return as_dict(prove(begin, identify(keywords), keywords, size, archive and barman(**archive)))

def run_holds(keywords, name, size):
    return as_dict(holds_wal(keywords, *segment_start(name, size)))

def run_fetch(command, name, size, identifier=None):
    return as_dict(fetches_segment(command, name, size, identifier, "/var/lib/postgresql/15/main"))

def run_peek(archive, first, count):
    return barman(**archive).peek_wal(first, count)

print(json.dumps(globals()["run_" + sys.argv[1]](**json.loads(sys.argv[2]))))
"""


@dataclass(frozen=True)
class Proof:
    """The standby of the test, with what it can ask."""

    lab: Lab
    host: Host
    begin: str

    def call(self, name: str, /, **given: Any) -> Any:
        argv = ["env", f"PYTHONPATH={PLACE}/lib", "python3", "-", name, json.dumps(given)]
        return json.loads(self.host.run(argv, user="postgres", input=CALL).stdout)

    def prove(self, **changed: Any) -> dict[str, Any]:
        archive = {"host": "barman@barman", "server": "own", "config": f"{THERE}/barman.conf"}
        given = {"keywords": OWN, "begin": (1, self.begin), "size": SIZE, "archive": archive}
        return dict(self.call("prove", **{**given, **changed}))

    def archive(self) -> None:
        """Put into our Barman's archive what was archived so far, and nothing else."""
        self.there("rm", "-rf", WALS)
        self.there("mkdir", WALS)
        self.host.run(["rsync", "-a", f"{WORK}/wal/", f"barman@barman:{WALS}/"], user="postgres")
        self.there("sh", "-euc", STORE)

    def sql(self, sql: str) -> str:
        psql = [f"{BINDIR}/psql", "-qXAt", "-h", WORK, "-p", "6003", "-d", "postgres", "-c", sql]
        return self.host.run(psql, user="postgres").stdout.strip()

    def there(self, *argv: str) -> str:
        return self.lab.barman.run(argv, user="barman").stdout.strip()

    def archived(self, timeline: int) -> list[str]:
        """The segments of a timeline in our Barman's archive."""
        listed = self.there("find", WALS, "-type", "f", "-name", f"{timeline:08X}*", "-printf", "%f\n").split()
        return sorted(name for name in listed if len(name) == 24)

    def unstage_backup(self, name: str, to: str = f"{THERE}/away") -> None:
        self.there("mv", f"{WALS}/{name[:16]}/{name}", to)


@pytest.fixture(scope="module")
def built(lab: Lab) -> Iterator[Proof]:
    clone = Clone.on(lab, HOST)
    host = clone.host
    remove(lab, host)
    host.run(["install", "--directory", "--mode=700", "--owner=postgres", WORK])
    begin = host.run(["bash", "-c", BUILD], user="postgres").stdout.split()[-1]
    yield Proof(lab, host, begin)
    remove(lab, host)


def remove(lab: Lab, host: Host) -> None:
    stop = f"[ ! -e {WORK}/second/postmaster.pid ] || {BINDIR}/pg_ctl stop -s -D {WORK}/second -m immediate"
    host.run(["sh", "-c", stop], user="postgres", check=False)
    host.run(["rm", "-rf", WORK])
    lab.barman.run(["rm", "-rf", THERE])


@pytest.fixture
def proof(built: Proof) -> Proof:
    """With everything that was archived in our Barman."""
    built.lab.barman.run(["rm", "-rf", THERE])
    built.there("mkdir", "-p", f"{THERE}/none", f"{THERE}/away", f"{THERE}/own/incoming", f"{THERE}/own/streaming")
    built.lab.barman.write(f"{THERE}/barman.conf", BARMAN_CONF)
    built.archive()
    return built


def code_of(verdict: dict[str, Any]) -> str | None:
    """The code of a verdict that is not ok."""
    return verdict["refusal"]["code"] if verdict["refusal"] is not None else None


def outcome(found: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(verdict["severity"], code_of(verdict)) for verdict in found["verdicts"]]


OK = [("ok", None)]
GAP = [("error", "wal_missing")]


def test_everything_is_there(proof):
    found = proof.prove()
    assert outcome(found) == OK
    first, *_others, _last = proof.archived(1)
    assert found["first"] == found["in_archive"] >= first
    assert proof.call("holds", keywords=OWN, name=found["first"], size=SIZE)["held"] is False
    # The upstream writes the last one, so that Barman cannot have it; all the others are on timeline 2 by then.
    assert found["from_upstream"] > proof.archived(2)[-1]
    listed = {*proof.archived(1), *proof.archived(2), found["from_upstream"]}
    fork = proof.archived(2)[0][8:]
    expected = {name for name in listed if name >= found["first"] and not (name < "00000002" and name[8:] >= fork)}
    assert f"all {len(expected)} WAL segments" in found["verdicts"][0]["msg"]
    assert found["bytes"] > (len(expected) - 2) * SIZE


@pytest.mark.parametrize(("timeline", "index"), [(1, -2), (2, 0), (2, 1)], ids=["old", "fork", "new"])
def test_a_gap_is_named(proof, timeline, index):
    name = proof.archived(timeline)[index]
    proof.unstage_backup(name)
    found = proof.prove()
    assert outcome(found) == GAP
    assert found["verdicts"][0]["msg"].startswith(f"WAL segment {name} is missing.")
    assert found["from_upstream"] is None


def test_the_first_one_is_missing(proof):
    name = proof.prove()["first"]
    proof.unstage_backup(name)
    found = proof.prove()
    assert outcome(found) == GAP
    assert f"WAL segment {name} is missing. Replay begins with {name};" in found["verdicts"][0]["msg"]
    assert found["in_archive"] is None


def test_a_segment_that_is_left_over_at_the_upstream_speaks_for_no_other(proof):
    """A walsender sends one that is older than what was removed, unless it was there when that was removed."""
    first = proof.prove()["first"]
    third = proof.archived(1)[proof.archived(1).index(first) + 2]
    left = f"{WORK}/second/pg_wal/{first}"
    restart = f"pg_ctl restart -w -s -D {WORK}/second -l {WORK}/log -m fast -o '-p 6003'"
    proof.host.run(["cp", f"{WORK}/wal/{first}", left], user="postgres")
    refused = proof.call("holds", keywords=OWN, name=first, size=SIZE)
    assert refused["held"] is False, refused
    proof.host.run(["sh", "-c", f"{BINDIR}/{restart}"], user="postgres")
    proof.archive()  # it switched to another segment, and may have removed what was archived of those before
    assert proof.call("holds", keywords=OWN, name=first, size=SIZE)["held"] is True
    assert outcome(proof.prove()) == OK
    proof.unstage_backup(third)
    found = proof.prove()
    proof.host.run(["rm", left])
    assert outcome(found) == GAP
    assert found["verdicts"][0]["msg"].startswith(f"WAL segment {third} is missing.")


@pytest.mark.parametrize("place", ["incoming", "streaming"])
def test_a_segment_that_barman_has_not_archived_yet(proof, place):
    proof.unstage_backup(proof.archived(2)[1], f"{THERE}/own/{place}/")
    assert outcome(proof.prove()) == OK


def test_a_partial_segment_is_none(proof):
    name = proof.archived(2)[1]
    proof.unstage_backup(name, f"{THERE}/own/streaming/{name}.partial")
    assert outcome(proof.prove()) == GAP


def test_barman_lists_on_after_some_gaps_but_the_proof_does_not(proof):
    """Barman takes a missing segment whose number is a power of two for the end of a group of 4 GiB."""
    archive = {"host": "barman@barman", "server": "own", "config": f"{THERE}/barman.conf"}
    first = proof.prove()["first"]
    name = next(name for name in proof.archived(1) if int(name[16:], 16) in (16, 32) and name > first)
    proof.unstage_backup(name)
    beyond = "000000010000000100000000"
    proof.there("mkdir", f"{WALS}/{beyond[:16]}")
    proof.there("touch", f"{WALS}/{beyond[:16]}/{beyond}")
    assert beyond in proof.call("peek", archive=archive, first=first, count=100)
    found = proof.prove()
    assert outcome(found) == GAP
    assert found["verdicts"][0]["msg"].startswith(f"WAL segment {name} is missing.")


@pytest.mark.parametrize("place", [WALS, f"{THERE}/own/incoming"], ids=["archive", "incoming"])
def test_a_promoted_copy_has_left_its_history(proof, place):
    """Every standby of this archive would follow it, and end on a timeline that nobody writes."""
    left = f"2\\t{proof.sql('select pg_current_wal_lsn()')}\\tno recovery target specified\\n"
    proof.there("sh", "-euc", f"mkdir -p {place}; printf '{left}' >{place}/00000003.history")
    found = proof.prove()
    assert outcome(found) == [*OK, ("error", "archive_timeline_ahead")]
    assert "has 00000003.history for server own, which left timeline 2 at " in found["verdicts"][1]["msg"]


def test_barman_is_down_but_the_upstream_has_all(proof):
    archive = {"host": "barman@nowhere.invalid", "server": "own"}
    now = proof.sql("select pg_current_wal_lsn()")
    found = proof.prove(begin=(2, now), archive=archive)
    assert outcome(found) == [("ok", None), ("warning", "wal_archive_unreachable")]
    assert outcome(proof.prove(archive=archive)) == [("error", "wal_unproven")]


def test_a_server_that_barman_does_not_know(proof):
    found = proof.prove(archive={"host": "barman@barman", "server": "nosuch", "config": f"{THERE}/barman.conf"})
    assert outcome(found) == [("error", "wal_unproven")]
    assert "nosuch" in found["verdicts"][0]["msg"]


def test_what_is_not_in_the_history(proof):
    assert outcome(proof.prove(begin=(3, proof.begin))) == [("warning", "wal_unproven")]


def test_asking_leaves_nothing_behind(proof):
    slots = proof.sql("select count(*) from pg_replication_slots")
    proof.prove()
    proof.prove(begin=(2, proof.sql("select pg_current_wal_lsn()")))
    assert proof.sql("select count(*) from pg_replication_slots") == slots
    assert proof.sql("select count(*) from pg_stat_replication") == "0"


def test_one_is_really_fetched(proof):
    name = proof.prove()["in_archive"]
    identifier = proof.sql("select system_identifier from pg_control_system()")
    assert proof.call("fetch", command=GET_WAL, name=name, size=SIZE, identifier=identifier)["severity"] == "ok"
    other = proof.call("fetch", command=GET_WAL, name=name, size=SIZE, identifier="1")
    assert code_of(other) == "restore_command_wrong_file"
    proof.unstage_backup(name)
    gone = proof.call("fetch", command=GET_WAL, name=name, size=SIZE)
    assert code_of(gone) == "restore_command_fails"
    assert f"ERROR: WAL file '{name}' not found in server 'own'" in gone["msg"]
    assert proof.host.run(["sh", "-c", "ls -d /tmp/pgfleet.* || :"]).stdout == ""


def test_the_forks_segment_of_the_new_timeline_is_fetched(proof):
    """It begins with what was copied from the old timeline, whose number its first page has."""
    fork = proof.archived(2)[0]
    assert proof.call("fetch", command=GET_WAL, name=fork, size=SIZE)["severity"] == "ok"


class TestPrimary:
    """The lab's own, with Barman's own server."""

    SIZE = 16 << 20
    RESTORE = "barman-wal-restore --spool-dir /tmp/pgfleet-proof/spool barman pg %f %p"

    def test_what_it_has_and_has_not(self, lab, built):
        current = lab.primary_sql("select pg_walfile_name(pg_current_wal_lsn() - 1)")
        assert built.call("holds", keywords=PRIMARY, name=current, size=self.SIZE) == {"held": True, "reason": ""}
        name = "000000010000000000000001"
        if lab.primary_sql(f"select count(*) from pg_ls_waldir() where name = '{name}'") == "0":
            gone = built.call("holds", keywords=PRIMARY, name=name, size=self.SIZE)
            assert gone["held"] is False
            assert f"requested WAL segment {name} has already been removed" in gone["reason"]

    def test_what_it_cannot_tell(self, built):
        for name in ("0000000100000FFF00000000", "000000070000000000000001"):
            told = built.call("holds", keywords=PRIMARY, name=name, size=self.SIZE)
            assert told["held"] is None
            assert told["reason"]

    def test_a_backup_of_barmans(self, lab, built):
        shown = lab.barman.run(["barman", "-f", "json", "show-backup", "pg", "latest"], user="barman").stdout
        base = json.loads(shown)["pg"]["base_backup_information"]
        begin = (base["timeline"], base["begin_lsn"])
        archive = {"host": "barman@barman", "server": "pg"}
        found = built.call("prove", keywords=PRIMARY, begin=begin, size=self.SIZE, archive=archive)
        assert outcome(found) == OK
        assert found["first"] == found["in_archive"] == base["begin_wal"]
        identifier = lab.primary_sql("select system_identifier from pg_control_system()")
        fetched = built.call(
            "fetch", command=self.RESTORE, name=base["begin_wal"], size=self.SIZE, identifier=identifier
        )
        assert fetched["severity"] == "ok"
