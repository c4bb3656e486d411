"""overwrite=same_cluster: a stopped cluster is brought to a backup's state, and whatever is not meant is left alone."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from clone_on_host import FAST, Clone, small_backup
from copies_under_way import Copy
from held import MIB, Held
from lab import Lab
from podman import Host, wait_for
from standby_host import BINDIR, DATA, HOST, STATE
from untouched import look, motionless, python

# Backups of our own are here on the Barman host; what the tests keep on the standby is here.
THERE = f"/var/lib/barman/delta-{HOST}"
WORK = "/opt/pgfleet-delta"
WALDIR = "/srv/delta/wal"
OTHER = "/srv/delta/other"
OLD = (DATA, FAST, STATE)
DELTA = {"overwrite": "same_cluster"}
MARK = "#pgfleet-delta"

# As Barman leaves them out.
EMPTIED = ("wal", "tblspc", "subtrans", "notify", "stat_tmp", "snapshots", "serial")
EXCLUDED = " ".join(["--exclude=/postmaster.*", *(f"--exclude=/pg_{name}/*" for name in EMPTIED)])

# A small cluster, and three backups of it: two as Barman's rsync makes them, with the files' own times, and one by
# pg_basebackup, with a manifest. Between the first and the others little changes.
BUILD = f"""\
set -eu
umask 077
export PATH={BINDIR}:$PATH LC_ALL=C PGHOST={WORK} PGPORT=6001 PGDATABASE=postgres
cd {WORK}
mkdir wal later backups backups/first backups/second backups/third
initdb -D primary --auth=trust --no-sync --no-locale --encoding=UTF8 --wal-segsize=1 >log
initdb -D another --auth=trust --no-sync --no-locale --encoding=UTF8 --wal-segsize=1 >>log
pg_ctl start -w -s -D another -l log -o "-k {WORK} -p 6002 -c listen_addresses= -c fsync=off"
psql -qXp 6002 -c "create role somebody"
pg_ctl stop -w -s -D another -m fast
pg_ctl start -w -s -D primary -l log -o "-k {WORK} -c listen_addresses= -c fsync=off -c wal_keep_size=900"
psql -qXc "create tablespace fast location '{FAST}'"
psql -qXc "create table big as select n, repeat('x', 200) as filler from generate_series(1, 60000) n"
psql -qXc "create table quick tablespace fast as select * from big where n < 20000"
psql -qXc "create table dropped as select * from big where n < 1000"
psql -qXc "vacuum freeze" -c checkpoint
oid=$(psql -qXAtc "select oid from pg_tablespace where spcname = 'fast'")
copy() {{
    psql -qXAt >log <<END
select pg_backup_start('$1', true);
\\! rsync -a {EXCLUDED} primary/ backups/$1/data/
\\! rsync -a {FAST}/ backups/$1/$oid/
\\o backups/$1/data/backup_label
select labelfile from pg_backup_stop(true);
END
}}
copy first
psql -qXAtc "select pg_switch_wal()" >log
cp primary/pg_wal/0* wal/
psql -qXc "update big set filler = 'y' where n % 6000 = 0" -c "update quick set filler = 'y' where n = 9"
psql -qXc "create table made tablespace fast as select * from big where n < 500" -c "drop table dropped" -c checkpoint
copy second
pg_basebackup -D backups/third/data -T {FAST}={WORK}/backups/third/$oid -c fast -X none --no-sync 2>>log
find backups/third/data/pg_tblspc -type l -delete
psql -qXAtc "select $oid, system_identifier from pg_control_system()"
pg_ctl stop -w -s -D primary -m fast
cp primary/pg_wal/0* later/
rsync -a backups/ barman@barman:{THERE}/
rm -rf primary backups {FAST}/*
"""

# Changes one byte of each file, and nothing that a directory's listing would show.
TAMPER = """\
import os, sys

for path in sys.argv[1:]:
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(before.st_size // 2)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
"""

# Ends the copying process and its rsyncs, so that none can tidy up.
KILLER = f"""\
import json, os, pathlib, signal

os.kill(json.loads(pathlib.Path("{STATE}/runner").read_text())["pid"], signal.SIGKILL)
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if pathlib.Path("/proc", pid, "cmdline").read_bytes().startswith((b"rsync", b"ssh\\0")):
            os.kill(int(pid), signal.SIGKILL)
    except OSError:
        pass
"""


def pg_ctl(host: Host, verb: str, *arguments: str) -> None:
    argv = [f"{BINDIR}/pg_ctl", verb, "--wait", "--silent", f"--pgdata={DATA}", *arguments]
    host.run(argv, user="postgres")


@dataclasses.dataclass
class Small(Clone):
    """Clones of the small cluster, whose WAL is at hand; a stopped standby that had the first backup is kept."""

    backups: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def start_settings(self) -> dict[str, str]:
        return {
            "listen_addresses": "",
            "unix_socket_directories": WORK,
            "restore_command": f"cp {WORK}/wal/%f %p",
        }

    def to(self, name: str, **options: Any) -> dict[str, Any]:
        """Bring what is there to a backup's state."""
        self.options["backup"] = self.backups[name]
        return self.run(**{**DELTA, **options})

    def interrupted(self, hold: Held, moment: str, **options: Any) -> None:
        """A run that is killed at a moment; every change is a moment in faults/test_every_moment.py."""
        if moment == "before the first file":
            hold.after(0)
            copy = self.start(**{**DELTA, **options})
            hold.wait()
        else:
            hold.at_sync()
            copy = self.start(**{**DELTA, **options})
            # Strangers have gone, the former standby's among them, before the first file is brought.
            wait_for(lambda: self.progress().get("phase") == "syncing", "all but pg_control to be there")
            assert self.host.exists(f"{DATA}/standby.signal")
        self.host.run(["python3", "-"], input=KILLER)
        assert self.finish(copy).get("error_code") == "copy_killed"
        hold.go_on()

    def keep(self) -> None:
        """A standby of the first backup that has run for a moment."""
        assert self.to("first")["action"] == "clone"
        assert self.try_to_start()[0] == 0
        pg_ctl(self.host, "stop", "--mode=fast")
        # From now on there is the rest of the WAL, too.
        keep = f"mkdir {WORK}/old; cp -a --parents {' '.join(OLD)} {WORK}/old; mv {WORK}/later/* {WORK}/wal/"
        self.host.run(["sh", "-euc", keep])

    def restore(self) -> None:
        """That standby, as it was when it was stopped."""
        self.clear()
        self.host.run(["cp", "-a", f"{WORK}/old/.", "/"])

    def clear(self) -> None:
        stop = [f"{BINDIR}/pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={DATA}"]
        self.host.run(stop, user="postgres", check=False)
        self.host.run(["rm", "-rf", "/srv/delta"])
        self.empty()


@pytest.fixture(scope="module")
def kept(lab: Lab) -> Iterator[Small]:
    lab.reset(HOST)
    clone = Small.on(lab)
    assert isinstance(clone, Small)
    host = clone.host
    try:
        host.run(["rm", "-rf", WORK])
        host.run(["install", "-d", "-o", "postgres", WORK])
        lab.barman.run(["rm", "-rf", THERE])
        lab.barman.run(["install", "-d", "-o", "barman", THERE])
        oid, identifier = host.run(["bash", "-c", BUILD], user="postgres").stdout.strip().split("|")
        names = ("first", "second", "third")
        clone.backups = {name: small_backup(name, THERE, identifier, oid) for name in names}
        clone.keep()
        yield clone
    finally:
        lab.reset(HOST)
        host.run(["rm", "-rf", WORK, "/tmp/hasty", "/tmp/hasty.log"])
        lab.barman.run(["rm", "-rf", THERE])


@pytest.fixture
def small(kept: Small) -> Iterator[Small]:
    """The stopped standby of the first backup, and the second one to be brought to."""
    kept.restore()
    kept.options["backup"] = kept.backups["second"]
    yield kept
    kept.clear()


# --- what it does ------------------------------------------------------------------------


def test_a_cluster_becomes_the_backup(small: Small) -> None:
    host = small.host
    before = look(host, *OLD)
    host.run(["install", "-o", "postgres", "-m", "600", "/dev/null", f"{DATA}/stray"])
    assert any(path.startswith(f"{DATA}/pg_wal/0") for path in before)
    assert f"{DATA}/postmaster.opts" in before

    done = small.to("second")
    assert done["action"] == "delta", done
    assert done["bytes_sent"] < done["bytes"] // 5
    assert done["left_behind"] == []
    after = look(host, *OLD)
    gone = {path.removeprefix(f"{DATA}/") for path in set(before) - set(after)}
    assert "postmaster.opts" in gone
    assert not [path for path in after if path.startswith(f"{DATA}/pg_wal/0")]
    assert f"{DATA}/stray" not in after
    assert [path for path in gone if re.fullmatch(r"base/\d+/\d+", path)], "files of the dropped table"
    small.assert_healthy()
    assert small.to("second")["action"] == "none"


def test_check_mode_tells_and_changes_nothing(small: Small) -> None:
    before = look(small.host, *OLD)
    told = small.to("second", _ansible_check_mode=True)
    assert (told["action"], told["changed"], told["finished"]) == ("delta", True, True), told
    assert "a standby of PostgreSQL 15" in told["diff"]["before"]
    assert "a clone of backup second" in told["diff"]["after"]
    assert look(small.host, *OLD) == before


@pytest.mark.parametrize("name", ["second", "third"])
def test_a_change_that_size_and_time_hide_is_found(small: Small, name: str) -> None:
    """With a manifest and without. It is a file that the two backups have alike."""
    hidden = f"{DATA}/base/1/1255"
    python(small.host, TAMPER, hidden)
    shown = ["--format=%s %.9Y"]
    wanted = small.lab.barman.run(["stat", *shown, f"{THERE}/second/data/base/1/1255"]).stdout
    assert small.host.run(["stat", *shown, hidden]).stdout == wanted
    assert small.to(name)["action"] == "delta"
    small.assert_healthy()


def test_with_a_manifest_only_what_differs_is_sent(small: Small) -> None:
    """Although no file has the time of the backup's."""
    damaged = f"{FAST}/{small.host.run(['ls', FAST]).stdout.strip()}"
    quick = small.host.run(["find", damaged, "-type", "f", "-size", "+1000k"]).stdout.strip()
    python(small.host, TAMPER, quick)
    before = look(small.host, *OLD)

    done = small.to("third")
    assert (done["action"], done["verified"]) == ("delta", "manifest"), done
    after = look(small.host, *OLD)
    assert after[quick][-1] != before[quick][-1]
    changed = [path for path in after if path in before and after[path][-1] != before[path][-1]]
    assert len(changed) < 60
    assert sum(path in before for path in after) > 900
    assert done["bytes_sent"] < done["bytes"] // 20
    assert done["bytes_received"] < done["bytes"] // 20
    small.assert_healthy()


# --- what it refuses ---------------------------------------------------------------------


def expect_untouched(small: Small, code: str, words: list[str], *places: str, **options: Any) -> dict[str, Any]:
    before = look(small.host, *OLD, *places)
    refused = small.to("second", **options)
    assert refused["error_code"] == code, refused
    for word in [*words, "Next:"]:
        assert word in refused["msg"]
    assert look(small.host, *OLD, *places) == before
    return refused


def test_without_leave_a_cluster_is_not_touched(small: Small) -> None:
    words = [DATA, "is not empty", "a standby of PostgreSQL 15", "Nothing was changed", "overwrite=same_cluster"]
    expect_untouched(small, "data_directory_cluster", words, overwrite="never")


@pytest.mark.parametrize("overwrite", ["never", "same_cluster"])
def test_another_cluster_is_not_touched(small: Small, overwrite: str) -> None:
    small.empty()
    small.host.run(["cp", "-a", f"{WORK}/another/.", DATA], user="postgres")
    words = [DATA, "a cluster of PostgreSQL 15", "Nothing was changed"]
    expect_untouched(small, "data_directory_cluster", [*words, "overwrite=always"], overwrite=overwrite)
    assert not small.host.exists(STATE)


@pytest.mark.parametrize("overwrite", ["never", "same_cluster"])
def test_a_running_server_is_never_touched(small: Small, overwrite: str) -> None:
    assert small.try_to_start()[0] == 0
    with motionless(small.host, DATA) as pid:
        words = [DATA, f"pid {pid}", "A running server is never replaced", "stop it"]
        expect_untouched(small, "server_running", words, overwrite=overwrite)
    pg_ctl(small.host, "status")


@pytest.mark.parametrize("stranger", ["PG_14_202107181", "notes"])
def test_a_tablespace_that_holds_something_else_is_refused(small: Small, stranger: str) -> None:
    """Another major version's directory, which may be in use, and files of nobody's."""
    make = f"mkdir -p {FAST}/{stranger}; echo mine >{FAST}/{stranger}/file"
    small.host.run(["sh", "-euc", make], user="postgres")
    words = ["tablespace fast", FAST, "is not empty", "Nothing was changed", "tablespace_mapping"]
    expect_untouched(small, "target_not_empty", words)


def test_a_wal_directory_of_somebody_else_is_refused(small: Small) -> None:
    small.host.run(["sh", "-euc", f"mkdir -p {WALDIR}; echo mine >{WALDIR}/file"])
    words = ["for the WAL", WALDIR, "is not empty", "Nothing was changed", "waldir"]
    expect_untouched(small, "target_not_empty", words, WALDIR, waldir=WALDIR)


# --- what was elsewhere ------------------------------------------------------------------


def move_wal(host: Host) -> None:
    """As initdb --waldir or an administrator has it."""
    host.run(["install", "-d", "-o", "postgres", "-g", "postgres", "/srv/delta"])
    move = f"mv {DATA}/pg_wal {WALDIR}; ln -s {WALDIR} {DATA}/pg_wal"
    host.run(["sh", "-euc", move], user="postgres")


def test_the_wal_stays_where_it_was(small: Small) -> None:
    move_wal(small.host)
    done = small.to("second", waldir=WALDIR)
    assert (done["action"], done["left_behind"]) == ("delta", []), done
    assert look(small.host, DATA)[f"{DATA}/pg_wal"][-1] == WALDIR
    assert set(look(small.host, WALDIR)) == {WALDIR, f"{WALDIR}/archive_status"}
    small.assert_healthy()


def test_wal_elsewhere_is_left_behind_and_reported(small: Small) -> None:
    move_wal(small.host)
    before = look(small.host, WALDIR)
    done = small.to("second")
    assert (done["action"], done["left_behind"]) == ("delta", [WALDIR]), done
    assert small.host.run(["stat", "--format=%F", f"{DATA}/pg_wal"]).stdout.strip() == "directory"
    assert look(small.host, WALDIR) == before


def test_a_former_primary_becomes_a_standby(small: Small) -> None:
    """What it had written since is gone; a tablespace that the backup does not know is left and reported."""
    host = small.host
    host.run(["install", "-d", "-o", "postgres", "-g", "postgres", "/srv/delta", OTHER])
    assert small.try_to_start()[0] == 0
    pg_ctl(host, "promote")
    written = "update big set filler = 'z' where n % 3000 = 0; create table since as select * from big where n < 99;"
    more = f"create tablespace other location '{OTHER}';\ncreate table there tablespace other as select * from since;"
    psql = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", f"--host={WORK}", "--port=6000", "postgres"]
    host.run(psql, user="postgres", input=f"{written}\n{more}")
    pg_ctl(host, "stop", "--mode=fast")
    before = look(host, OTHER)
    assert not host.exists(f"{DATA}/standby.signal")

    done = small.to("second")
    assert (done["action"], done["left_behind"]) == ("delta", [OTHER]), done
    assert "a cluster of PostgreSQL 15" in done["diff"]["before"]
    assert done["bytes_sent"] < done["bytes"] // 5
    assert look(host, OTHER) == before
    assert host.exists(f"{DATA}/standby.signal")
    small.assert_healthy()


# --- interruptions -----------------------------------------------------------------------


def test_an_interrupted_delta_cannot_be_started_and_is_resumed(small: Small, hold: Held) -> None:
    for moment in ("before the first file", "all is there but pg_control"):
        small.interrupted(hold, moment)
        assert small.state()["phase"] == "copying"
        small.assert_unstartable()
    done = small.to("second", overwrite="never")
    assert done["action"] in ("resume", "clone"), done
    assert done["bytes_sent"] < done["bytes"] // 5
    small.assert_healthy()


def unfinished(small: Small, hold: Held, name: str) -> None:
    """A copy of a backup that was ended half-way."""
    small.empty()
    small.options["backup"] = small.backups[name]
    copy = Copy.begun(hold, small, 8 * MIB)
    copy.signal([copy.note["pid"]], "TERM")
    assert copy.result()["error_code"] == "interrupted"
    hold.go_on()
    assert small.host.run(["pgrep", "-ax", "rsync"], check=False).stdout == ""


def test_an_unfinished_copy_of_another_backup_is_gone_on_with(small: Small, hold: Held) -> None:
    unfinished(small, hold, "first")
    small.assert_unstartable()
    done = small.to("second", overwrite="never")
    assert done["action"] == "clone", done
    assert done["bytes_sent"] < done["bytes"] * 3 // 4
    small.assert_healthy()


@pytest.mark.parametrize("doubt", ["a cluster", "another backup's copy", "a copy before a reboot"])
def test_doubt_outlives_an_interruption(small: Small, hold: Held, doubt: str) -> None:
    """Of files that are not ours, or may not have reached the disk, size and time prove nothing. That a run began to
    compare, and was killed before it came to a file, makes that file no better."""
    if doubt != "a cluster":
        unfinished(small, hold, "first" if doubt == "another backup's copy" else "second")
    if doubt == "a copy before a reboot":
        state = {**small.state(), "boot_id": "another"}
        small.host.write(f"{STATE}/state.json", json.dumps(state), "postgres", 0o600)
    there = small.lab.barman.run(["find", f"{THERE}/second/data/base/1", "-printf", f"{DATA}/base/1/%f %T@\n"]).stdout
    times = dict(line.split() for line in there.splitlines())
    seen = look(small.host, f"{DATA}/base/1")
    alike = [path for path in seen if times.get(path, "").replace(".", "")[:19] == str(seen[path][3])]
    hidden = [path for path in alike if re.search(r"/\d{4}$", path) and seen[path][-2] > 0]
    assert len(hidden) > 20
    python(small.host, TAMPER, *hidden)

    small.options["backup"] = small.backups["second"]
    small.interrupted(hold, "before the first file", jobs=1, compress="none")
    small.assert_unstartable()
    assert "msg" not in small.to("second")
    small.assert_healthy()


# --- a real one --------------------------------------------------------------------------

CHANGE = f"""\
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 6000 = 0;
DROP TABLE delta_dropped;
CREATE TABLE delta_made AS SELECT generate_series(1, 1000) AS id;
COMMENT ON TABLE delta_made IS '{MARK}';
"""
# Barman's own backup, taken out of its catalogue at once, so that nobody else chooses it.
BACKUP = f"""\
set -eu
mkdir -p {THERE}
said=$(barman backup --wait --wait-timeout 300 pg 2>&1)
place=$(echo "$said" | grep -o '/[^ ]*/base/[0-9T]*' | head -n1)
cp -a --link "$place" {THERE}/
barman delete pg "$(basename "$place")" >/dev/null 2>&1
basename "$place"
"""


@pytest.fixture
def real(lab: Lab) -> Iterator[Clone]:
    """A standby of the newest backup that has run, and a newer backup to bring it to."""
    lab.reset(HOST)
    tidy = "DROP TABLE IF EXISTS delta_dropped, delta_made;"
    clone = Clone.on(lab)
    try:
        lab.primary_sql(f"{tidy}CREATE TABLE delta_dropped AS SELECT generate_series(1, 1000) AS id;", "bench")
        lab.primary_sql("SELECT pg_switch_wal();")
        assert clone.run()["action"] == "clone"
        code, log = clone.try_to_start()
        assert code == 0, log
        psql = ["psql", "-XAtqp", "6000", "bench", "-c", "SELECT count(*) FROM delta_dropped"]
        wait_for(lambda: clone.host.run(psql, user="postgres", check=False).stdout == "1000\n", "replay")
        pg_ctl(clone.host, "stop", "--mode=fast")
        lab.primary_sql(CHANGE, "bench")
        name = lab.barman.run(["bash", "-c", BACKUP], user="barman").stdout.strip()
        clone.options["backup"] |= {"backup_id": name, "directory": f"{THERE}/{name}", "begin_lsn": None}
        yield clone
    finally:
        lab.primary_sql(tidy, "bench")
        lab.reset(HOST)
        lab.barman.run(["rm", "-rf", THERE])


def test_a_standby_is_brought_to_a_newer_backup_of_barmans(real: Clone) -> None:
    done = real.run(**DELTA)
    assert done["action"] == "delta", done
    print(f"{done['bytes_sent']} of {done['bytes']} bytes sent, {done['bytes_received']} received")  # noqa: T201
    assert done["bytes_sent"] < done["bytes"] // 5
    real.assert_healthy()
