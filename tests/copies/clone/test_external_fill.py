# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import begin as _begin
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import commit as _commit
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import external_fill as _external_fill
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.checksums import Verifier
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.external_fill import (
    Filler,
    FillResult,
    fill,
    preview_fill,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.holding_directory import HOLDING_DIRECTORY
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.roots import plan
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import private_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import sync as _sync
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    NOT_COPIED,
    TABLESPACE,
    broken_sync,
    read_tree,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.waiting import BOUND

CONTROL = "global/pg_control"
SEGMENT = "000000010000000000000002"


@dataclass
class Tool(Filler):
    """Brings the backup as it is, pg_control among the first, and what it likes beside."""

    host: object
    plain: bool = True
    refuses: bool = False
    changes: tuple = ()

    def require(self, job):
        if self.refuses:
            raise StandbyError(Refusal("refused", "no way", "run again"))

    def roots(self, job):
        return plan(job.barman_host, job.backup, job.target) if self.plain else None

    def fill(self, job, holding, lock, progress):
        shutil.copytree(self.host.data, holding.data, dirs_exist_ok=True)
        shutil.copytree(self.host.tablespace, holding.tablespaces[16388], dirs_exist_ok=True)
        Path(holding.data, "pg_tblspc/16388").symlink_to(holding.tablespaces[16388])
        write_tree(Path(holding.data), {"left.by.tool": "x"} if self.plain else {})
        write_tree(Path(holding.data), dict(self.changes))
        with open(self.host.root / "fills", "a", encoding="utf-8") as fills:
            fills.write("x")
        return FillResult(job, ("it warned",))


class WithWal(Tool):
    """Brings WAL as well, and cannot go on."""

    BESIDE = ("pg_wal",)

    def name(self, job):
        return uuid.uuid4().hex

    def fill(self, job, holding, lock, progress):
        filled = super().fill(job, holding, lock, progress)
        shutil.rmtree(f"{holding.data}/pg_wal", ignore_errors=True)
        write_tree(Path(holding.wal or f"{holding.data}/pg_wal"), {SEGMENT: "records"})
        return filled


class Place:
    def __init__(self, host):
        self.host = host

    def run(self, tool=None, **changed):
        job, work = self.host.job(method="barman", **changed), self.host.root / "work"
        private_directory(job.target.state_directory)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        with contextlib.chdir(work):
            return fill(tool or Tool(self.host), job, Progress(f"{job.target.state_directory}/progress.json"))

    @property
    def fills(self):
        """How often it was filled."""
        path = self.host.root / "fills"
        return len(path.read_text(encoding="utf-8")) if path.exists() else 0

    def assert_whole(self):
        found = read_tree(self.host.pgdata)
        assert found.pop("standby.signal")
        assert found.pop("pg_tblspc/16388") == f"-> {self.host.fast}"
        assert found.pop("postgresql.auto.conf") == "work_mem = '8MB'\n"
        found.pop("backup_manifest", None)
        assert found == {n: t for n, t in DATA.items() if n not in {*NOT_COPIED, "postgresql.auto.conf"}}
        assert read_tree(self.host.fast) == TABLESPACE
        assert self.host.record["phase"] == "committed"
        for top in (self.host.pgdata, self.host.fast):
            assert not (top / HOLDING_DIRECTORY).exists()


@pytest.fixture
def place(host):
    return Place(host)


class TestFill:
    @pytest.mark.parametrize("plain", [True, False])
    @pytest.mark.parametrize("manifest", [True, False])
    def test_makes_a_standby_of_what_a_tool_brings(self, place, plain, manifest):
        if manifest:
            place.host.write_manifest()
        done = place.run(Tool(place.host, plain))
        place.assert_whole()
        verified = "manifest" if manifest else "size" if plain else "none"
        assert (done.action, done.verified, done.said) == ("clone", verified, ("it warned",))
        assert done.sent == done.bytes
        assert place.run().action == "none"
        assert place.fills == 1

    def test_puts_the_wal_elsewhere(self, place):
        wal = place.host.root / "standby" / "wal"
        place.run(waldir=str(wal))
        assert (place.host.pgdata / "pg_wal").readlink() == wal

    def test_replaces_a_cluster_of_the_same_system(self, place):
        place.run()
        write_tree(place.host.pgdata, {"stranger": "x"})
        done = place.run(again=True, overwrite="same_cluster")
        assert done.action == "replace"
        place.assert_whole()

    def test_keeps_the_old_one(self, place):
        place.run()
        done = place.run(again=True, overwrite="same_cluster", keep_old=True)
        assert done.action == "clone"
        assert list(done.kept_old) == [f"{place.host.pgdata}.old", f"{place.host.fast}.old"]
        place.assert_whole()

    @pytest.mark.parametrize("change", [{"base/1/1259": "s" * 8192}, {"base/1/1259": "r"}, {"pg_hba.conf": "x" * 19}])
    def test_calls_nothing_complete_that_is_not_the_backup(self, place, change):
        place.host.write_manifest()
        with pytest.raises(StandbyError) as caught:
            place.run(Tool(place.host, changes=tuple(change.items())))
        assert caught.value.code == "manifest_mismatch"
        assert next(iter(change)) in caught.value.msg
        assert not (place.host.pgdata / CONTROL).exists()

    def test_waits_in_vain_for_what_an_earlier_attempt_still_writes(self, place, monkeypatch):
        left = place.host.pgdata / HOLDING_DIRECTORY / "earlier"
        left.mkdir(parents=True)
        place.host.state.mkdir()
        (place.host.state / "state.json").write_text(
            json.dumps({"phase": "copying", "data_directory": str(place.host.pgdata)}), encoding="utf-8"
        )
        process = place.host.start("rsync-there", left)
        try:
            monkeypatch.setattr(_external_fill, "_LEAVE_SECONDS", 0.0)
            with pytest.raises(StandbyError) as caught:
                place.run()
        finally:
            process.communicate()
        assert caught.value.code == "clone_running"
        assert str(process.pid) in caught.value.msg
        assert place.run().action == "replace"

    def test_leaves_no_thread_that_compares_behind(self, place, monkeypatch):
        place.host.write_manifest()

        def differing(verifier, top, promises):
            raise StandbyError(Refusal("verification_failed", "no memory", "run again"))

        monkeypatch.setattr(Verifier, "differing", differing)
        before = set(threading.enumerate())
        with pytest.raises(StandbyError):  # held, so that nothing ends because it is forgotten
            place.run()
        left = set(threading.enumerate()) - before
        for thread in left:
            thread.join(BOUND)
        assert not [thread for thread in left if thread.is_alive()]

    @pytest.mark.parametrize("elsewhere", [False, True])
    def test_keeps_the_wal_that_a_tool_brings(self, place, elsewhere):
        wal = place.host.root / "standby" / "wal" if elsewhere else None
        place.run(WithWal(place.host, plain=False), **({"waldir": str(wal)} if wal else {}))
        assert (place.host.pgdata / "pg_wal" / SEGMENT).read_text(encoding="utf-8") == "records"
        assert (place.host.pgdata / "pg_wal").is_symlink() == elsewhere
        assert not (place.host.pgdata / "pg_wal" / HOLDING_DIRECTORY).exists()
        assert (place.host.pgdata / CONTROL).exists()

    @pytest.mark.parametrize(
        ("killed_at", "action"),
        [("committing", "resume"), ("the rename", "resume"), ("its record", "none")],
    )
    def test_killed_while_it_commits_is_ended_by_the_next_run_without_another_fill(
        self, place, monkeypatch, killed_at, action
    ):
        """What holds pg_control goes only when that is in its place."""

        class Killed(BaseException):
            pass

        def killed(*_given, **_more):
            raise Killed

        rename, record = os.rename, _begin._record

        def recorded(job, phase, *given, **more):
            if (killed_at, phase) in (("committing", "committing"), ("its record", "committed")):
                raise Killed
            record(job, phase, *given, **more)

        final = str(place.host.pgdata / CONTROL)
        with monkeypatch.context() as patched:
            patched.setattr(_begin, "_record", recorded)
            if killed_at == "the rename":
                patched.setattr(_commit.os, "rename", lambda *paths: killed() if paths[1] == final else rename(*paths))
            with pytest.raises(Killed):
                place.run()
        assert (place.host.pgdata / CONTROL).exists() == (action == "none")
        assert (place.run().action, place.fills) == (action, 1)
        place.assert_whole()

    def test_killed_between_the_rename_and_its_record_leaves_no_holding_directory(self, place, monkeypatch):
        class Killed(BaseException):
            pass

        rmtree = shutil.rmtree

        def killed(path, **how):
            if str(path).endswith(HOLDING_DIRECTORY):
                raise Killed
            rmtree(path, **how)

        with monkeypatch.context() as patched:
            patched.setattr(_commit.shutil, "rmtree", killed)
            with pytest.raises(Killed):
                place.run()
        assert (place.host.pgdata / CONTROL).exists()
        assert (place.run().action, place.fills) == ("none", 1)
        place.assert_whole()

    def test_begins_anew_after_a_disk_has_failed(self, place, monkeypatch):
        with monkeypatch.context() as patched:
            patched.setattr(_sync, "_syncfs", broken_sync)
            with pytest.raises(StandbyError) as caught:
                place.run()
        assert caught.value.code == "disk_error"
        assert not (place.host.pgdata / CONTROL).exists()
        assert preview_fill(Tool(place.host), place.host.job(method="barman")).action == "replace"
        assert (place.run().action, place.fills) == ("replace", 2)

    def test_begins_anew_where_a_tool_cannot_go_on(self, place, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(_external_fill, "finish", lambda *_given: sys.exit("killed"))
            with pytest.raises(SystemExit):
                place.run(WithWal(place.host, plain=False))
        assert preview_fill(WithWal(place.host, plain=False), place.host.job(method="barman")).action == "replace"
        assert (place.run(WithWal(place.host, plain=False)).action, place.fills) == ("replace", 2)


class TestRefusal:
    def test_comes_before_the_first_change(self, place):
        with pytest.raises(StandbyError):
            place.run(Tool(place.host, refuses=True))
        assert not place.host.pgdata.exists()
        assert not (place.host.state / "state.json").exists()

    def test_a_preview_refuses_as_well(self, place):
        with pytest.raises(StandbyError):
            preview_fill(Tool(place.host, refuses=True), place.host.job())
        seen = preview_fill(Tool(place.host), place.host.job())
        assert (seen.action, seen.bytes > 0) == ("clone", True)

    def test_a_mount_point_inside_is_refused(self, place, monkeypatch):
        real = _external_fill.observe

        def observe(top, reused):
            [first, *_rest], links = real(top, reused)
            return [_external_fill.replace(first, mount_points=(top, f"{top}/pg_wal"))], links

        monkeypatch.setattr(_external_fill, "observe", observe)
        with pytest.raises(StandbyError) as caught:
            place.run()
        assert caught.value.code == "mount_point_inside"
        assert "pg_wal is a mount point" in caught.value.msg


CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.chmod"}


def killed(place, at):
    """Fill in a process that ends before its change of that number, the filling counted for one; whether it did."""
    child = os.fork()
    if child == 0:
        count, inside, filling = 0, str(place.host.root / "standby"), False

        class Counted(Tool):
            def fill(self, *arguments):
                nonlocal filling
                filling = True
                filled = super().fill(*arguments)
                filling = False
                return filled

        def watch(event, arguments):
            nonlocal count
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_CREAT)
            ours = str(arguments[0]).startswith(inside) and "progress" not in str(arguments[0])
            if ours and not filling and (event in CHANGES or writes):
                count += 1
                if count == at:
                    os._exit(9)

        try:
            sys.addaudithook(watch)
            place.run(Counted(place.host, plain=False))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_kill_before_any_change_leaves_nothing_that_starts_or_all(place):
    kinds = dict.fromkeys(("unstartable", "complete", "resumed"), 0)
    at = 0
    while killed(place, at := at + 1):
        if (place.host.pgdata / CONTROL).exists():
            kinds["complete"] += 1
            assert place.host.record["phase"] in ("committing", "committed")
        else:
            kinds["unstartable"] += 1
        before = place.fills
        foreseen = preview_fill(Tool(place.host, plain=False), place.host.job(method="barman")).action
        done = place.run(Tool(place.host, plain=False))
        assert foreseen == done.action
        kinds["resumed"] += done.action == "resume"
        assert (place.fills == before) == (done.action in ("resume", "none"))
        place.assert_whole()
        shutil.rmtree(place.host.root / "standby")
        place.host.pgdata.parent.mkdir()
    assert kinds["unstartable"] >= 30
    assert kinds["complete"] >= 2
    assert kinds["resumed"] >= 20
