# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy as a whole, with the real rsync, on a small backup."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import begin as _begin
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import commit as _commit
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import overwrite as _overwrite
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import inspect_target
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.verification import Verification
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._methods import rsync as _rsync
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import inspect as _inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import keep_old as _keep_old
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import sync as _sync
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import is_ours
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import control_data
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import rsync_pull as _rsync_pull
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import workers as _workers
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.rsync_pull import RsyncPull
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    BROKEN_SYNC,
    CONNECTS,
    DATA,
    NOT_COPIED,
    PULLS,
    PULLS_A_SHARD,
    TABLESPACE,
    read_tree,
    text_of,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    BACKUP_ID,
    CONTROL_TEXT,
    control_text,
)

CONTROL = "global/pg_control"
COPIED = {name: text for name, text in DATA.items() if name not in NOT_COPIED}
SIZE = sum(len(text.encode()) for name, text in COPIED.items() if name != CONTROL)
SIZE_FAST = sum(len(text) for text in TABLESPACE.values())
TABLE = "base/1/2619"
PAGE = 8192
FAST_FILE = "PG_15_202209061/5/16390"
SETTINGS = "work_mem = '8MB'\n"


def refused(host, **changed):
    with pytest.raises(StandbyError) as error:
        host.copy(**changed)
    return error.value


def everything_below(top):
    """Names, texts and times."""
    texts = read_tree(top)
    return texts, {name: (top / name).lstat().st_mtime_ns for name in texts}


def flip(path: Path, position: int = 0) -> None:
    """Another byte in a file that keeps its size and its time."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def assert_copied(host):
    """All of the backup is here, nothing else, and it is a standby's."""
    here = read_tree(host.pgdata)
    here.pop("backup_manifest", None)
    assert here.pop("standby.signal")
    assert here.pop("pg_tblspc/16388") == f"-> {host.fast}"
    assert here == {**COPIED, "postgresql.auto.conf": SETTINGS}
    assert read_tree(host.fast) == TABLESPACE
    assert is_ours(inspect_target(host.job().target))


def assert_cannot_be_started(host):
    assert not (host.pgdata / CONTROL).exists()
    assert inspect_target(host.job().target).state == "incomplete"


@pytest.fixture
def impatient(monkeypatch):
    """Waits of retries are recorded, not waited for."""
    waits = []
    monkeypatch.setattr(_workers, "time", SimpleNamespace(sleep=waits.append, monotonic=time.monotonic))
    return waits


@pytest.fixture
def interrupted(host):
    """A copy that broke off because one file of the backup could not be read; the file is back."""
    host.hook(f"case $command in {PULLS} rm -f {host.data}/pg_xact/0000 ;; esac")
    assert refused(host).code == "backup_files_missing"
    host.healthy()
    host.forget_calls()
    write_tree(host.data, {"pg_xact/0000": DATA["pg_xact/0000"]})
    return host


@pytest.fixture
def older(host):
    """A finished copy of an older backup of the same cluster; the next one is to replace it."""
    host.copy(backup=host.second_backup())
    host.forget_calls()
    return host


@pytest.fixture
def another(older):
    """A cluster of another system."""
    write_tree(older.pgdata, {CONTROL: control_text(system_identifier=1)})
    return older


# What is there already, and the level of overwrite that a copy over it needs.
THERE = {"resume": ("interrupted", "never"), "delta": ("older", "same_cluster"), "replace": ("another", "always")}


@pytest.fixture(params=THERE)
def used(request):
    """Where something is already: an interrupted copy, or a cluster that may be overwritten."""
    fixture, level = THERE[request.param]
    host = request.getfixturevalue(fixture)
    host.overwrite = {"overwrite": level}
    return host


class TestWholeCopy:
    def test_brings_every_file_and_says_so(self, host):
        outcome = host.copy()
        assert (outcome.action, outcome.files) == ("clone", len(COPIED) + len(TABLESPACE))
        assert (outcome.bytes, outcome.sent, outcome.retries) == (SIZE + SIZE_FAST, SIZE + SIZE_FAST, 0)
        assert outcome.received > 0
        assert (outcome.before, outcome.left_behind) == ("it is absent", ())
        assert_copied(host)

    def test_makes_the_directories_that_were_empty(self, host):
        host.copy()
        for name in ("base/empty", "pg_notify", "pg_wal/archive_status", "pg_replslot"):
            assert (host.pgdata / name).is_dir()

    @pytest.mark.parametrize(("there", "files", "directories"), [(0o600, 0o600, 0o700), (0o640, 0o640, 0o750)])
    @pytest.mark.parametrize("host_state", ["fresh", "over a cluster of the other kind"])
    def test_gives_the_group_the_access_that_the_backup_gives_it(self, host, there, files, directories, host_state):
        wal = host.root / "standby" / "wal"
        host.write_manifest()
        if host_state != "fresh":
            (host.data / "PG_VERSION").chmod(0o640 if there == 0o600 else 0o600)
            host.copy(backup=host.second_backup(), waldir=str(wal))
        (host.data / "PG_VERSION").chmod(there)
        host.copy(waldir=str(wal), overwrite="same_cluster")
        modes = {
            path: stat.S_IMODE(path.stat().st_mode)
            for top in (host.pgdata, host.fast, wal)
            for path in [top, *top.rglob("*")]
            if not path.is_symlink()
        }
        assert modes == {path: directories if path.is_dir() else files for path in modes}
        assert stat.S_IMODE(host.state.stat().st_mode) == 0o700

    def test_keeps_times(self, host):
        host.copy()
        assert (host.pgdata / "base/1/1259").stat().st_mtime_ns == 1_700_000_000_123_456_789

    def test_goes_into_an_empty_mount_point(self, host):
        (host.pgdata / "lost+found").mkdir(parents=True)
        (host.fast / "lost+found").mkdir(parents=True)
        assert host.copy().action == "clone"
        assert (host.pgdata / "lost+found").is_dir()
        assert (host.fast / "lost+found").is_dir()

    def test_puts_the_wal_elsewhere(self, host):
        wal = host.root / "standby" / "wal"
        host.copy(waldir=str(wal))
        assert (host.pgdata / "pg_wal").readlink() == wal
        assert (wal / "archive_status").is_dir()

    @pytest.mark.parametrize("jobs", [1, 5])
    def test_takes_any_number_of_workers(self, host, jobs):
        host.copy(jobs=jobs)
        assert_copied(host)
        assert host.connects() <= jobs

    def test_of_a_backup_without_tablespaces(self, host):
        assert host.copy(backup=host.backup(tablespaces=())).files == len(COPIED)
        assert not host.fast.exists()

    def test_verifies_host_keys_on_every_connection(self, host):
        host.copy()
        connections = [call for call in host.calls() if call[0] != "-G"]
        assert len(connections) >= 4
        for call in connections:
            assert call[:6] == ["-T", "-x", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]

    def test_sends_all_it_asks_over_the_connections_that_it_opened(self, host):
        host.copy(jobs=1)
        shared = [" ".join(call[6:10]) for call in host.calls() if call[0] != "-G"]
        assert shared[0] == "-o ControlMaster=yes -o ControlPath=ssh-0"
        assert set(shared[1:]) == {"-o ControlMaster=no -o ControlPath=ssh-0"}

    def test_records_what_was_copied(self, host):
        host.copy()
        record = host.record
        assert (record["phase"], record["backup_id"], record["server"]) == ("committed", BACKUP_ID, "pg")
        assert (record["data_directory"], record["targets"]) == (str(host.pgdata), [str(host.fast)])

    def test_tells_its_phases(self, host, monkeypatch):
        entered = []
        real = _rsync.Progress.enter
        monkeypatch.setattr(
            _rsync.Progress,
            "enter",
            lambda progress, phase, total=0: entered.append((phase, total)) or real(progress, phase, total),
        )
        host.copy(verify="checksum")
        total = SIZE + SIZE_FAST
        assert entered == [("copying", total), ("verifying", total), ("syncing", 0), ("committing", 0)]

    def test_measures_nothing_that_cannot_pay_on_a_fast_link(self, host, monkeypatch):
        asked = []
        monkeypatch.setattr(_rsync_pull, "are_worth_measuring", lambda queue: True)
        monkeypatch.setattr(_rsync_pull, "take_samples", lambda queue, count: asked.append(count) or ([], queue))
        monkeypatch.setattr(_rsync.Connection, "rate", lambda connection: 1e9)
        assert (host.copy(compress="auto").compress, asked) == ("lz4", [1])

    def test_does_not_measure_the_link_for_a_small_copy(self, host, monkeypatch):
        monkeypatch.setattr(_rsync.Connection, "rate", lambda connection: pytest.fail("it was measured"))
        assert host.copy(compress="auto").compress == "lz4"

    @pytest.mark.parametrize(("compress", "chosen"), [("auto", "zstd"), ("none", "none"), ("lz4", "lz4")])
    def test_measures_what_compression_pays_when_it_is_to_choose(self, host, monkeypatch, compress, chosen):
        measured = []

        def take_samples(queue, count):
            [data] = [shard for shard in queue if shard.root.oid is None]
            samples = [Shard(data.root, [position]) for position in range(count)]
            rest = [Shard(data.root, data.positions[count:]), *(shard for shard in queue if shard is not data)]
            return samples, rest

        monkeypatch.setattr(_rsync_pull, "are_worth_measuring", lambda queue: True)
        monkeypatch.setattr(_rsync_pull, "take_samples", take_samples)
        monkeypatch.setattr(_rsync.Connection, "rate", lambda connection: 0)
        monkeypatch.setattr(_rsync_pull, "chosen_by", lambda choices, samples: measured.extend(samples) or "zstd")
        assert host.copy(compress=compress).compress == chosen
        assert measured == (["lz4", "none", "zstd"] if compress == "auto" else [])
        assert_copied(host)


class TestSecondRun:
    def test_changes_nothing_and_does_not_even_ask_barman(self, host):
        host.copy()
        before = everything_below(host.pgdata), everything_below(host.fast), host.record
        host.forget_calls()
        outcome = host.copy()
        assert (outcome.action, outcome.files, outcome.sent) == ("none", 0, 0)
        assert "a standby of PostgreSQL 15" in outcome.before
        assert host.calls() == []
        assert (everything_below(host.pgdata), everything_below(host.fast), host.record) == before

    def test_records_what_was_kept_although_a_record_was_lost(self, older):
        older.copy(overwrite="same_cluster", keep_old=True)
        older.change_record(phase="committing")
        assert older.copy().action == "none"
        assert older.record["kept_old"] == [f"{older.pgdata}.old", f"{older.fast}.old"]

    def test_of_another_backup_is_refused(self, older):
        before = everything_below(older.pgdata)
        assert refused(older).code == "data_directory_cluster"
        assert everything_below(older.pgdata) == before

    def test_records_a_commit_whose_record_was_lost(self, host):
        host.copy()
        committed = host.record
        host.change_record(phase="committing")
        assert host.copy().action == "none"
        assert {**host.record, "at": None} == {**committed, "at": None}


class TestOrder:
    """What there is of the copy at each moment, as the programs see it that are started meanwhile."""

    WITNESS = """\
#!/bin/sh
cd '{pgdata}' 2>/dev/null || cd /
there=
grep -q '"phase": "copying"' '{state}/state.json' 2>/dev/null && there="$there recorded"
[ ! -e global/pg_control ] || there="$there control"
[ ! -L pg_tblspc/16388 ] || there="$there link"
[ ! -e standby.signal ] || there="$there signal"
[ ! -e postgresql.auto.conf ] || grep -q recovery_target postgresql.auto.conf || there="$there settings"
[ ! -e stranger ] || there="$there stranger"
echo "$1:$there" >>'{root}/seen'
"""
    FINISHED = "recorded link signal settings"
    OLD = "control link signal stranger"

    @pytest.fixture
    def seen(self, host, monkeypatch):
        """Each kind of moment when it came first."""
        monkeypatch.setattr(_sync, "_PAUSE", 60)
        host.write_manifest("CRC32C")  # the kind that takes a program to compare
        witness = host.program("witness", self.WITNESS.format(pgdata=host.pgdata, state=host.state, root=host.root))

        def looking(*place):
            subprocess.run([witness, "look"], check=True)
            return control_data(*place)

        def moments(**changed):
            told = f"""case $command in
                {PULLS_A_SHARD} {witness} pull ;; {PULLS} {witness} fetch ;; *) {witness} ask ;;
            esac"""
            host.hook(told)
            host.program("sync", f"#!/bin/sh\nexec {witness} sync\n")
            host.program("pg_verifybackup", f"#!/bin/sh\nexec {witness} verify\n")
            for unit in (_commit, _inspect):
                monkeypatch.setattr(unit, "control_data", looking)
            host.copy(jobs=1, **changed)
            return list(dict.fromkeys((host.root / "seen").read_text(encoding="utf-8").splitlines()))

        return moments

    def test_of_a_copy_into_an_empty_directory(self, seen):
        assert seen() == [
            "ask:",
            "fetch:",
            "pull: recorded",
            "verify: recorded",
            f"sync: {self.FINISHED}",
            f"fetch: {self.FINISHED}",
            f"look: {self.FINISHED}",
            f"verify: {self.FINISHED}",
        ]

    def test_of_a_copy_over_a_cluster(self, older, seen):
        write_tree(older.pgdata, {"stranger": "x", "postgresql.auto.conf": DATA["postgresql.auto.conf"]})
        assert seen(overwrite="same_cluster") == [
            f"look: {self.OLD}",
            f"ask: {self.OLD}",
            f"fetch: {self.OLD}",
            "verify: recorded",
            "pull: recorded",
            f"sync: {self.FINISHED}",
            f"fetch: {self.FINISHED}",
            f"look: {self.FINISHED}",
            f"verify: {self.FINISHED}",
        ]

    def test_over_a_cluster_the_record_is_first_and_a_durable_end_of_pg_control_second(self, older, monkeypatch):
        write_tree(older.pgdata, {"stranger": "x"})
        synced = []

        def fsync_directory(path):
            synced.append(path)
            assert older.record["phase"] == "copying"
            assert not (older.pgdata / CONTROL).exists()
            assert (older.pgdata / "stranger").exists()

        monkeypatch.setattr(_begin, "fsync_directory", fsync_directory)
        older.copy(overwrite="same_cluster")
        assert synced == [str(older.pgdata / "global")]
        assert_copied(older)


class TestReplace:
    """A cluster that goes as a whole: nothing of it is a basis for the new one."""

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda _top: None, id="another cluster"),
            pytest.param(lambda top: (top / CONTROL).unlink(), id="without pg_control"),
            pytest.param(lambda top: write_tree(top, {CONTROL: "garbage"}), id="with a damaged pg_control"),
            pytest.param(lambda top: shutil.rmtree(top / "global"), id="without global"),
        ],
    )
    def test_brings_all_of_the_backup(self, another, change):
        change(another.pgdata)
        write_tree(another.pgdata, {"base/1/4711": "x", "pg_wal/000000010000000000000009": "x"})
        write_tree(another.fast, {"PG_15_202209061/9/1": "x"})
        assert refused(another, overwrite="same_cluster").code.startswith("data_directory_")
        outcome = another.copy(overwrite="always")
        assert (outcome.action, outcome.sent) == ("replace", SIZE + SIZE_FAST)
        assert outcome.before.startswith("it holds a")
        assert_copied(another)

    def test_of_an_unused_cluster(self, another, monkeypatch):
        real = _overwrite.inspect_target
        monkeypatch.setattr(_begin, "inspect_target", lambda target: replace(real(target), state="pristine"))
        assert refused(another).code == "data_directory_pristine"
        assert another.copy(overwrite="pristine").action == "replace"
        assert_copied(another)

    def test_has_a_durable_end_of_pg_control_before_anything_else_goes(self, another, monkeypatch):
        write_tree(another.pgdata, {"stranger": "x"})
        seen = []

        def fsync_directory(path):
            there = [(another.pgdata / name).exists() for name in (CONTROL, "stranger", "PG_VERSION")]
            seen.append((path, another.record["phase"], there, bool(read_tree(another.fast))))

        monkeypatch.setattr(_begin, "fsync_directory", fsync_directory)
        another.copy(overwrite="always")
        assert seen == [(str(another.pgdata / "global"), "copying", [False, True, True], True)]

    @pytest.mark.parametrize("call", [1, 2])
    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_that_is_interrupted_is_resumed(self, another, monkeypatch, call, moment):
        clear, calls = _rsync._local_tree.clear, []

        def interrupted(root):
            calls.append(root)
            if moment == "after" or len(calls) < call:
                clear(root)
            if len(calls) == call:
                raise StandbyError(Refusal("interrupted", "ended", "run again"))

        with monkeypatch.context() as patched:
            patched.setattr(_rsync._local_tree, "clear", interrupted)
            assert refused(another, overwrite="always").code == "interrupted"
        assert_cannot_be_started(another)
        assert another.copy().action == "clone"
        assert_copied(another)

    def test_leaves_what_the_backup_does_not_use(self, another):
        outcome = another.copy(backup=another.backup(tablespaces=()), overwrite="always")
        assert (outcome.action, outcome.left_behind) == ("replace", (str(another.fast),))
        assert read_tree(another.fast) == TABLESPACE

    def test_is_refused_when_a_server_was_started_meanwhile(self, another, monkeypatch):
        before = read_tree(another.pgdata)
        real = _overwrite.inspect_target
        monkeypatch.setattr(_rsync, "inspect_target", lambda target: replace(real(target), pid=4711))
        assert refused(another, overwrite="always").code == "server_running"
        assert read_tree(another.pgdata) == before


class TestRewinding:
    """A cluster that an interrupted pg_rewind has left is neither startable nor a copy of ours."""

    @pytest.fixture
    def rewinding(self, older):
        flip(older.pgdata / TABLE)
        older.change_record(phase="rewinding")
        return older

    @pytest.mark.parametrize("overwrite", ["never", "pristine", "same_cluster", "always"])
    def test_becomes_the_backup(self, rewinding, overwrite):
        outcome = rewinding.copy(overwrite=overwrite)
        assert (outcome.action, outcome.before) == (
            "delta",
            "it holds a cluster that an interrupted pg_rewind has left",
        )
        assert_copied(rewinding)

    def test_of_another_cluster_takes_consent(self, rewinding):
        rewinding.change_record(system_identifier="1")
        assert "overwrite=always" in refused(rewinding, overwrite="same_cluster").msg
        assert rewinding.copy(overwrite="always").action == "replace"
        assert_copied(rewinding)

    @pytest.mark.parametrize("gone", [CONTROL, "."])
    def test_may_have_lost_its_pg_control(self, rewinding, gone):
        place = rewinding.pgdata / gone
        place.unlink() if gone == CONTROL else shutil.rmtree(place)
        assert rewinding.copy().action == "delta"
        assert_copied(rewinding)


class TestKeepOld:
    """What would be overwritten is renamed aside, and the copy is one into an empty directory."""

    @pytest.fixture(params=["delta", "replace"])
    def old(self, request):
        """A cluster with a tablespace and its WAL elsewhere, and a file of its own."""
        host = request.getfixturevalue("host")
        self.wal = host.root / "standby" / "wal"
        host.copy(backup=host.second_backup(), waldir=str(self.wal))
        write_tree(self.wal, {"000000010000000000000009": "w"})
        write_tree(host.pgdata, {"base/1/4711": "x"})
        if request.param == "replace":
            write_tree(host.pgdata, {CONTROL: control_text(system_identifier=1)})
        host.request = {"overwrite": "always", "keep_old": True, "waldir": str(self.wal)}
        self.before = {name: read_tree(host.pgdata.parent / name) for name in ("pgdata", "fast", "wal")}
        host.forget_calls()
        return host

    @staticmethod
    def everything_but_the_record(host):
        places = [place for place in host.pgdata.parent.iterdir() if place != host.state]
        return {place.name: everything_below(place) for place in places}

    def assert_kept(self, host):
        top = host.pgdata.parent
        links = {"pg_tblspc/16388": f"-> {top}/fast.old", "pg_wal": f"-> {top}/wal.old"}
        assert read_tree(top / "pgdata.old") == {**self.before["pgdata"], **links}
        assert read_tree(top / "fast.old") == self.before["fast"]
        assert read_tree(top / "wal.old") == self.before["wal"]

    def assert_copied(self, host):
        assert (host.pgdata / "pg_wal").readlink() == self.wal
        (host.pgdata / "pg_wal").unlink()
        assert_copied(host)

    def test_keeps_the_old_cluster_as_it_was(self, old):
        outcome = old.copy(**old.request)
        kept = tuple(f"{old.pgdata.parent}/{name}.old" for name in ("pgdata", "fast", "wal"))
        assert (outcome.action, outcome.sent, outcome.kept_old) == ("clone", SIZE + SIZE_FAST, kept)
        assert (outcome.left_behind, old.record["kept_old"]) == ((), list(kept))
        self.assert_kept(old)
        self.assert_copied(old)

    def test_leaves_what_the_backup_does_not_use_to_the_old_cluster(self, old):
        before = read_tree(old.fast)
        outcome = old.copy(**{**old.request, "waldir": None}, backup=old.backup(tablespaces=()))
        assert outcome.kept_old == (f"{old.pgdata}.old",)
        assert outcome.left_behind == (str(old.fast), str(self.wal))
        assert read_tree(old.fast) == before
        assert (old.pgdata.parent / "pgdata.old/pg_tblspc/16388").readlink() == old.fast

    def test_a_second_run_keeps_nothing_more(self, old):
        old.copy(**old.request)
        outcome = old.copy(**old.request)
        assert (outcome.action, outcome.kept_old) == ("none", ())
        self.assert_kept(old)

    def test_is_recorded_before_anything_is_renamed(self, old, monkeypatch):
        seen = []

        def keep(keep_plan):
            seen.append({name: old.record[name] for name in ("phase", "moves", "links", "kept_old")})
            assert (old.pgdata / CONTROL).exists()
            raise StandbyError(Refusal("interrupted", "ended", "run again"))

        with monkeypatch.context() as patched:
            patched.setattr(_begin, "rename_aside", keep)
            assert refused(old, **old.request).code == "interrupted"
        top = old.pgdata.parent
        assert seen == [
            {
                "phase": "keeping",
                "moves": [[f"{top}/{name}", f"{top}/{name}.old"] for name in ("pgdata", "fast", "wal")],
                "links": {"pg_tblspc/16388": f"{top}/fast.old", "pg_wal": f"{top}/wal.old"},
                "kept_old": [f"{top}/{name}.old" for name in ("pgdata", "fast", "wal")],
            }
        ]
        # Nothing has happened yet: the cluster is whole, and still needs consent.
        assert {name: read_tree(top / name) for name in self.before} == self.before
        assert refused(old, waldir=str(self.wal)).code == "data_directory_cluster"
        assert old.copy(**old.request).action == "clone"
        self.assert_kept(old)

    @pytest.mark.parametrize(
        ("name", "number"), [*(("rename", number) for number in range(1, 6)), ("symlink", 1), ("symlink", 2)]
    )
    def test_goes_on_where_it_was_interrupted(self, old, monkeypatch, name, number):
        """Whether the next run wants to keep anything or not: what has begun to move is kept as a whole."""
        real, calls = getattr(os, name), []

        def interrupted(source, target, **named):
            if not str(target).startswith(str(old.pgdata.parent)) or ".old" not in str(target):
                return real(source, target, **named)
            calls.append(target)
            if len(calls) == number:
                raise KeyboardInterrupt
            return real(source, target, **named)

        with monkeypatch.context() as patched:
            patched.setattr(os, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                old.copy(**old.request)
        request = old.request
        if (name, number) != ("rename", 1):
            assert_cannot_be_started(old)
            request = {"waldir": str(self.wal)}
        told, outcome = _overwrite.preview(old.job(**request)), old.copy(**request)
        assert (outcome.action, outcome.left_behind, len(outcome.kept_old)) == ("clone", (), 3)
        assert outcome.kept_old == told.kept_old
        self.assert_kept(old)
        self.assert_copied(old)

    def test_of_a_resumed_copy_is_told(self, old):
        old.hook(f"case $command in {PULLS} rm -f {old.data}/pg_xact/0000 ;; esac")
        assert refused(old, **old.request).code == "backup_files_missing"
        old.healthy()
        write_tree(old.data, {"pg_xact/0000": DATA["pg_xact/0000"]})
        outcome = old.copy(waldir=str(self.wal))
        assert (outcome.action, len(outcome.kept_old)) == ("resume", 3)
        self.assert_kept(old)
        self.assert_copied(old)

    def test_waits_for_nobody_who_has_started_a_half_kept_cluster(self, old, monkeypatch):
        def fail(*_given):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(_keep_old, "_point", fail)
            with pytest.raises(KeyboardInterrupt):
                old.copy(**old.request)
        top, record = old.pgdata.parent, old.record
        before = self.everything_but_the_record(old)
        server = old.start("postgres", top / "pgdata.old")
        error = refused(old, **old.request)
        server.communicate()
        assert (error.code, f"{top}/pgdata.old" in error.msg) == ("server_running", True)
        assert (self.everything_but_the_record(old), old.record) == (before, record)

    @pytest.mark.parametrize("name", ["pgdata", "fast", "wal"])
    def test_is_refused_before_anything_changes(self, old, name):
        top = old.pgdata.parent
        write_tree(top / f"{name}.old", {"precious": "x"})
        before = self.everything_but_the_record(old)
        assert refused(old, **old.request).code == "keep_old_exists"
        assert self.everything_but_the_record(old) == before


class TestInterruptedCopy:
    def test_cannot_be_started(self, interrupted):
        assert_cannot_be_started(interrupted)

    def test_resumes_and_sends_only_what_is_missing(self, interrupted):
        outcome = interrupted.copy(verify="size")
        assert (outcome.action, outcome.sent) == ("resume", len(DATA["pg_xact/0000"]))
        assert (outcome.files, outcome.bytes) == (len(COPIED) + len(TABLESPACE), SIZE + SIZE_FAST)
        assert outcome.before == f"it holds an unfinished copy of backup {BACKUP_ID}"
        assert_copied(interrupted)

    def test_brings_a_file_of_another_size_or_time_up_to_date(self, interrupted):
        (interrupted.pgdata / "base/1/1259").write_text("short", encoding="utf-8")
        flip(interrupted.pgdata / TABLE, 2 * PAGE)
        os.utime(interrupted.pgdata / TABLE, ns=(1, 1))
        # Of a file that is there only the pages that differ are sent.
        assert interrupted.copy().sent == len(DATA["pg_xact/0000"]) + len(DATA["base/1/1259"]) + PAGE
        assert_copied(interrupted)

    def test_says_manifest_only_when_every_file_was_compared(self, host):
        """The files of the first attempt, too: that attempt may have ended before it compared them."""
        host.write_manifest()
        host.hook(f"case $command in {PULLS_A_SHARD} rm -f {host.data}/pg_xact/0000 ;; esac")
        assert refused(host).code == "backup_files_missing"
        host.healthy()
        write_tree(host.data, {"pg_xact/0000": DATA["pg_xact/0000"]})
        flip(host.pgdata / TABLE)
        outcome = host.copy()
        assert (outcome.action, outcome.verified) == ("resume", "manifest")
        assert outcome.sent == len(DATA["pg_xact/0000"]) + len(DATA[TABLE])
        assert_copied(host)

    def test_of_another_backup_begins_anew(self, interrupted):
        other = interrupted.second_backup()
        assert interrupted.copy(backup=other).action == "clone"
        assert interrupted.record["backup_id"] == other.backup_id
        assert read_tree(interrupted.fast) == TABLESPACE

    def test_of_a_backup_that_has_changed_begins_anew(self, interrupted):
        write_tree(interrupted.data, {"base/1/new": "new"})
        assert interrupted.copy().action == "clone"
        assert (interrupted.pgdata / "base/1/new").exists()

    def test_with_another_place_for_a_tablespace_begins_anew(self, interrupted):
        other = interrupted.root / "standby" / "other"
        assert interrupted.copy(tablespaces={16388: str(other)}).action == "clone"
        assert read_tree(other) == TABLESPACE

    def test_after_the_last_file_resumes_too(self, host, monkeypatch):
        with monkeypatch.context() as damaged:
            damaged.setattr(_commit, "control_data", lambda *place: control_data("/nowhere"))
            assert refused(host).code == "control_data_unreadable"
        assert (host.pgdata / "standby.signal").exists()
        assert_cannot_be_started(host)
        outcome = host.copy()
        # What a standby has instead of the backup's own settings is not the backup's: it is sent once more.
        assert (outcome.action, outcome.sent) == ("resume", len(DATA["postgresql.auto.conf"]))
        assert_copied(host)


class TestTrust:
    """Size and time prove a file's contents only when this very copy wrote it since the last boot."""

    @pytest.mark.parametrize(
        ("changed", "is_trusted"),
        [
            pytest.param({}, True, id="same copy, same boot"),
            pytest.param({"boot_id": "another"}, False, id="another boot"),
            pytest.param({"boot_id": None}, False, id="no boot"),
            pytest.param({"digest": "another"}, False, id="another set of files"),
        ],
    )
    def test_of_an_interrupted_copy(self, interrupted, changed, is_trusted):
        flip(interrupted.pgdata / TABLE)
        interrupted.change_record(**changed)
        interrupted.copy(verify="size")
        assert ((interrupted.pgdata / TABLE).read_text(encoding="utf-8") != DATA[TABLE]) is is_trusted

    @pytest.mark.parametrize("has_manifest", [False, True])
    def test_of_a_cluster(self, host, has_manifest):
        if has_manifest:
            host.write_manifest()
        host.copy(backup=host.second_backup())
        flip(host.pgdata / TABLE, 2 * PAGE)
        flip(host.fast / FAST_FILE, PAGE)
        outcome = host.copy(overwrite="same_cluster", jobs=1)
        # Whatever tells which pages are right: no more than the wrong ones are sent, and the settings.
        assert (outcome.action, outcome.sent) == ("delta", 2 * PAGE + len(DATA["postgresql.auto.conf"]))
        assert "a standby of PostgreSQL 15" in outcome.before
        assert_copied(host)

    @pytest.mark.parametrize("host_state", ["over a cluster", "after another boot"])
    @pytest.mark.parametrize("ends", ["while times are changed", "before the contents are compared"])
    def test_is_not_won_by_an_attempt_that_ends_too_early(self, request, monkeypatch, host_state, ends):
        """The next one continues the same copy in the same boot, but nobody has compared the files yet."""
        host = request.getfixturevalue("older" if host_state == "over a cluster" else "interrupted")
        flip(host.pgdata / TABLE)
        if host_state != "over a cluster":
            host.change_record(boot_id="another")
        if ends == "while times are changed":

            def doubt(_root, _positions):
                raise StandbyError(Refusal("interrupted", "ended", "run again"))

            with monkeypatch.context() as patched:
                patched.setattr(_rsync._local_tree, "mark_unverified", doubt)
                assert refused(host, verify="size", overwrite="same_cluster").code == "interrupted"
        else:
            host.hook(f"case $command in {PULLS_A_SHARD} echo 'Permission denied' >&2; exit 255 ;; esac")
            assert refused(host, verify="size", overwrite="same_cluster").code == "ssh_auth"
            host.healthy()
        assert_cannot_be_started(host)
        host.copy(verify="size")
        assert_copied(host)

    def test_what_a_manifest_shows_to_be_right_becomes_as_if_it_had_been_copied(self, older):
        older.write_manifest()
        for name in ("base/1/1259", TABLE):
            (older.pgdata / name).chmod(0o640)
        os.utime(older.pgdata / TABLE, ns=(1, 1))
        older.copy(overwrite="same_cluster")
        found = [(older.pgdata / name).stat() for name in ("base/1/1259", TABLE)]
        assert {status.st_mtime_ns for status in found} == {1_700_000_000_123_456_789}
        assert {stat.S_IMODE(status.st_mode) for status in found} == {0o600}

    def test_a_manifest_spares_the_barman_host_the_reading(self, host):
        host.write_manifest()
        host.copy(backup=host.second_backup())
        host.forget_calls()
        names = host.root / "names"
        host.program("rsync", RECORDING_RSYNC.format(real=shutil.which("rsync"), names=names))
        flip(host.pgdata / TABLE)
        host.copy(overwrite="same_cluster")
        asked = set(names.read_text(encoding="utf-8").split("\n"))
        assert asked == {"./backup_manifest", f"./{TABLE}", "./postgresql.auto.conf", f"./{CONTROL}", ""}


# Takes down the names of the files that are asked for.
RECORDING_RSYNC = """\
#!/bin/sh
for word; do
    case $word in --files-from=?*) tr '\\0' '\\n' <"${{word#*=}}" >>'{names}' ;; esac
done
exec {real} "$@"
"""


class TestStrangers:
    def test_go(self, used):
        write_tree(used.pgdata, {"base/extra/file": "x", ".rsync.tmp": "x", "global/pg_control.new": "x"})
        write_tree(used.pgdata, {"pg_wal/000000010000000000000009": "x", "pg_wal/archive_status/9.done": "x"})
        write_tree(used.pgdata, {"recovery.signal": "", "backup_label.old": "x", "postmaster.opts": "x"})
        write_tree(used.fast, {"PG_15_202209061/5/99": "x"})
        os.mkfifo(used.pgdata / "base" / "fifo")
        used.copy(**used.overwrite)
        assert_copied(used)

    def test_go_from_a_directory_of_the_wal_which_stays(self, used):
        wal = used.root / "standby" / "wal"
        (used.pgdata / "pg_wal").rename(wal)
        (used.pgdata / "pg_wal").symlink_to(wal)
        used.change_record(targets=[*used.record["targets"], str(wal)])
        write_tree(wal, {"000000010000000000000009": "x", "archive_status/9.done": "x"})
        (wal / "lost+found").mkdir()
        there = wal.stat().st_ino
        used.copy(waldir=str(wal), **used.overwrite)
        assert (sorted(path.name for path in wal.iterdir()), wal.stat().st_ino) == (
            ["archive_status", "lost+found"],
            there,
        )

    def test_of_a_wal_elsewhere_that_is_wanted_inside_now_are_left_behind(self, host):
        wal = host.root / "standby" / "wal"
        host.copy(backup=host.second_backup(), waldir=str(wal))
        write_tree(wal, {"000000010000000000000009": "x"})
        outcome = host.copy(overwrite="same_cluster")
        assert outcome.left_behind == (str(wal),)
        assert read_tree(wal) == {"000000010000000000000009": "x"}
        assert not (host.pgdata / "pg_wal").is_symlink()
        assert_copied(host)

    def test_tablespaces_that_the_backup_does_not_have_are_left_behind(self, host):
        host.copy(backup=host.second_backup())
        outcome = host.copy(backup=host.backup(tablespaces=()), overwrite="same_cluster")
        assert outcome.left_behind == (str(host.fast),)
        assert read_tree(host.fast) == TABLESPACE
        assert read_tree(host.pgdata).keys() == COPIED.keys() | {"standby.signal"}


class TestPlantedLinks:
    """What a link leads to is never written and never removed."""

    FILES = (
        "data: base/1/1259",
        "data: postgresql.auto.conf",
        "data: standby.signal",
        "data: global/pg_control.new",
        "data: pg_wal/000000010000000000000003",
        "data: pg_wal/archive_status/x",
        "fast: PG_15_202209061/5/16390",
    )
    DIRECTORIES = (
        "data: base",
        "data: base/1",
        "data: pg_xact",
        "data: pg_wal",
        "data: pg_wal/archive_status",
        "fast: PG_15_202209061",
        "fast: PG_15_202209061/5",
    )

    @staticmethod
    def place(host, name):
        tree, _colon, path = name.partition(": ")
        return {"data": host.pgdata, "fast": host.fast}[tree] / path

    @pytest.mark.parametrize("name", FILES)
    @pytest.mark.parametrize("link", ["hardlink_to", "symlink_to"])
    def test_for_a_file(self, used, name, link):
        canary = used.root / "elsewhere" / "canary"
        write_tree(used.root / "elsewhere", {"canary": "precious"})
        planted = self.place(used, name)
        planted.unlink(missing_ok=True)
        getattr(planted, link)(canary)
        used.copy(**used.overwrite)
        assert read_tree(used.root / "elsewhere") == {"canary": "precious"}
        assert canary.stat().st_nlink == 1
        assert_copied(used)

    @pytest.mark.parametrize("name", DIRECTORIES)
    def test_for_a_directory(self, used, name):
        elsewhere = used.root / "elsewhere"
        planted = self.place(used, name)
        planted.rename(elsewhere)
        # Of the same names as the backup's.
        for path in elsewhere.rglob("*"):
            if path.is_file():
                path.write_text("precious", encoding="utf-8")
        write_tree(elsewhere, {"canary": "precious"})
        before = everything_below(elsewhere)
        planted.symlink_to(elsewhere)
        used.copy(**used.overwrite)
        assert everything_below(elsewhere) == before
        assert not planted.is_symlink()
        assert_copied(used)

    def test_for_the_directory_of_tablespaces(self, interrupted):
        elsewhere = interrupted.root / "elsewhere"
        write_tree(elsewhere, {"canary": "precious"})
        (interrupted.pgdata / "pg_tblspc").rmdir()
        (interrupted.pgdata / "pg_tblspc").symlink_to(elsewhere)
        interrupted.copy()
        assert read_tree(elsewhere) == {"canary": "precious"}
        assert_copied(interrupted)

    @pytest.mark.parametrize("link", ["hardlink_to", "symlink_to"])
    def test_for_pg_control(self, older, link):
        canary = older.root / "canary"
        write_tree(older.root, {"canary": CONTROL_TEXT})
        (older.pgdata / CONTROL).unlink()
        getattr(older.pgdata / CONTROL, link)(canary)
        older.copy(overwrite="same_cluster")
        assert text_of(canary) == CONTROL_TEXT
        assert canary.stat().st_nlink == 1
        assert_copied(older)

    def test_for_the_directory_of_pg_control(self, older):
        elsewhere = older.root / "elsewhere"
        (older.pgdata / "global").rename(elsewhere)
        before = everything_below(elsewhere)
        (older.pgdata / "global").symlink_to(elsewhere)
        older.copy(overwrite="same_cluster")
        assert everything_below(elsewhere) == before
        assert_copied(older)


class TestVerification:
    @pytest.mark.parametrize(
        ("verify", "has_manifest", "verified"),
        [
            ("none", True, "size"),
            ("size", True, "size"),
            ("manifest", False, "size"),
            ("manifest", True, "manifest"),
            ("checksum", False, "checksum"),
            ("checksum", True, "checksum"),
        ],
    )
    def test_says_what_it_was(self, host, verify, has_manifest, verified):
        if has_manifest:
            host.write_manifest()
        outcome = host.copy(verify=verify)
        assert (outcome.verified, outcome.sent) == (verified, outcome.bytes)
        assert_copied(host)

    # What learns of a file that has arrived, and then compares it.
    COMPARES = pytest.mark.parametrize(
        ("verify", "unit", "name", "code"),
        [
            ("manifest", Verification, "check", "manifest_mismatch"),
            ("checksum", RsyncPull, "differing", "verification_failed"),
        ],
        ids=["manifest", "checksum"],
    )

    @staticmethod
    def before_comparing(monkeypatch, unit, name, work):
        real = getattr(unit, name)
        monkeypatch.setattr(unit, name, lambda *given: work() or real(*given))

    @pytest.mark.parametrize("verify", ["size", "checksum"])
    def test_without_the_manifest_needs_nothing_that_can_compute_its_checksums(self, host, verify):
        host.write_manifest("CRC32C")
        host.copy(verify=verify)
        assert_copied(host)

    @COMPARES
    @pytest.mark.parametrize("tree", ["pgdata", "fast"])
    def test_sends_a_file_once_more_that_has_changed_here(self, host, monkeypatch, verify, unit, name, code, tree):
        host.write_manifest()
        damaged = getattr(host, tree) / {"pgdata": TABLE, "fast": FAST_FILE}[tree]
        left = [damaged]

        def work():
            if left and damaged.exists():
                flip(left.pop())

        self.before_comparing(monkeypatch, unit, name, work)
        outcome = host.copy(verify=verify, jobs=1)
        assert left == []
        assert (outcome.verified, outcome.sent) == (verify, outcome.bytes + damaged.stat().st_size)
        assert_copied(host)

    @COMPARES
    def test_fails_when_that_does_not_help(self, host, monkeypatch, verify, unit, name, code):
        host.write_manifest()
        damaged = host.pgdata / TABLE

        def work():
            if damaged.exists() and damaged.read_text(encoding="utf-8") == DATA[TABLE]:
                flip(damaged)

        self.before_comparing(monkeypatch, unit, name, work)
        error = refused(host, verify=verify, jobs=1)
        assert (error.code, error.result["differences"]) == (code, [str(damaged)])
        assert_cannot_be_started(host)

    @pytest.mark.parametrize(
        ("verify", "code"),
        [("none", None), ("size", None), ("checksum", None), ("manifest", "manifest_mismatch")],
    )
    @pytest.mark.parametrize("damaged", ["data: base/1/2619", "tablespace: PG_15_202209061/5/16390"])
    def test_knows_damage_in_the_backup_by_its_manifest_alone(self, host, verify, code, damaged):
        tree, _colon, path = damaged.partition(": ")
        host.write_manifest()
        flip(getattr(host, tree) / path)
        if code is None:
            assert host.copy(verify=verify).action == "clone"
            return
        error = refused(host, verify=verify)
        here = {"data": host.pgdata, "tablespace": host.fast}[tree] / path
        assert (error.code, error.result["differences"]) == (code, [str(here)])
        assert_cannot_be_started(host)

    def test_refuses_pg_control_that_is_not_as_promised(self, host):
        host.write_manifest()
        flip(host.data / CONTROL, 8191)  # behind what its own checksum is about
        error = refused(host)
        assert error.code == "manifest_mismatch"
        assert CONTROL in error.msg
        assert_cannot_be_started(host)

    @pytest.mark.parametrize("verify", ["none", "size", "manifest", "checksum"])
    def test_finds_what_is_too_much(self, host, verify):
        # The file arrives, but somebody writes into the directory while the copy runs.
        host.hook(f'case $command in {PULLS_A_SHARD} : >"{host.pgdata}/base/planted" ;; esac')
        error = refused(host, verify=verify)
        assert error.code == "verification_failed"
        assert error.result["differences"] == [f"{host.pgdata}/base/planted: not in the backup"]
        assert_cannot_be_started(host)


class TestRefusals:
    """Whatever is refused: nothing was changed."""

    @pytest.fixture(autouse=True)
    def _untouched(self, host):
        write_tree(host.root / "standby", {"beside": "x"})
        yield
        assert not host.pgdata.exists()
        assert not host.fast.exists()
        assert not (host.state / "state.json").exists()

    def test_checksums_that_nothing_here_can_compute(self, host):
        host.write_manifest("CRC32C")
        error = refused(host)
        assert error.code == "verifier_missing"
        assert "CRC32C" in error.msg

    @pytest.mark.parametrize(
        ("damage", "code"),
        [
            pytest.param(lambda host: (host.data / TABLE).unlink(), "backup_inconsistent", id="a file is gone"),
            pytest.param(lambda host: os.truncate(host.data / TABLE, 5), "backup_inconsistent", id="a file is short"),
            pytest.param(lambda host: flip(host.data / "backup_manifest", 200), "manifest_invalid", id="its manifest"),
        ],
    )
    def test_a_backup_that_does_not_hold_what_its_manifest_promises(self, host, damage, code):
        host.write_manifest()
        damage(host)
        assert refused(host).code == code

    def test_a_backup_that_cannot_be_listed(self, host):
        assert refused(host, backup=host.backup(directory="/nowhere")).code == "backup_files_missing"

    def test_a_barman_host_that_cannot_be_reached(self, host):
        host.hook("echo 'Host key verification failed.' >&2; exit 255")
        assert refused(host).code == "ssh_host_key"

    def test_a_barman_host_without_rsync(self, host):
        host.hook("case $command in *rsync*) echo 'sh: rsync: not found' >&2; exit 127 ;; esac")
        assert refused(host).code == "rsync_missing_remote"

    def test_a_compression_that_one_end_does_not_have(self, host):
        host.hook("case $command in *version*) echo 'rsync  version 3.1.3'; exit ;; esac")
        assert refused(host, compress="zstd").code == "compress_unsupported"

    def test_a_copy_whose_last_processes_still_write(self, host):
        host.state.mkdir()
        other = Lock(str(host.state / "lock"), {"pid": 1})
        other.take()
        error = refused(host, lock_timeout=0.1)
        other.release()
        assert error.code == "clone_running"
        assert "after 0.1 seconds" in error.msg


class TestFailures:
    def test_of_the_line_are_tried_again_and_counted(self, host, impatient):
        host.hook(f'case $command in {PULLS_A_SHARD} mkdir "{host.root}/once" 2>/dev/null && exit 255 ;; esac')
        outcome = host.copy(jobs=1)
        assert (outcome.retries, len(impatient)) == (1, 1)
        assert_copied(host)

    def test_of_a_connection_while_nothing_was_sent_are_mended_before_the_end(self, host):
        host.hook(f'case $command in {CONNECTS} echo $$ >"{host.root}/master" ;; esac')
        dead = "until grep -q ') Z' /proc/$pid/stat; do sleep 0.01; done"
        host.program("sync", f'#!/bin/sh\npid=$(cat "{host.root}/master")\nkill -9 $pid\n{dead}\n')
        host.copy(jobs=1)
        assert host.connects() == 2
        assert_copied(host)

    def test_of_a_worker_that_cannot_connect_end_the_copy(self, host):
        host.hook(
            f"case $command in {CONNECTS} mkdir '{host.root}/once' 2>/dev/null"
            " || { echo 'Permission denied (publickey).' >&2; exit 255; } ;; *nice*--server*) sleep 0.2 ;; esac"
        )
        assert refused(host, jobs=2).code == "ssh_auth"
        assert_cannot_be_started(host)

    def test_of_the_disk_end_it_at_once(self, host, impatient):
        program = host.program("rsync", FULL_RSYNC.format(real=shutil.which("rsync")))
        error = refused(host)
        assert (error.code, impatient) == ("disk_full", [])
        assert_cannot_be_started(host)
        program.unlink()
        assert host.copy().action == "resume"
        assert_copied(host)

    def test_of_a_sync_leave_what_cannot_be_started_nor_trusted(self, host):
        program = host.program("sync", BROKEN_SYNC)
        assert refused(host).code == "disk_error"
        assert_cannot_be_started(host)
        program.unlink()
        flip(host.pgdata / TABLE)
        assert host.copy().action == "resume"
        assert_copied(host)


# The disk is full as soon as a shard is pulled.
FULL_RSYNC = """\
#!/bin/sh
case $* in
*--inplace*) echo 'rsync: [receiver] write failed on "x": No space left on device (28)' >&2; exit 11 ;;
esac
exec {real} "$@"
"""
