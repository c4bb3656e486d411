# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy after one that did not end, and what of the files that are here it trusts."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import begin as _begin
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import commit as _commit
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._methods import rsync as _rsync
from ansible_collections.pgfleet.standby.plugins.module_utils._model import MARK
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import control_data
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.marks import Marked
from ansible_collections.pgfleet.standby.tests.copies.methods.whole_copy import (
    CONTROL,
    COPIED,
    FAST_FILE,
    PAGE,
    SIZE,
    SIZE_FAST,
    TABLE,
    assert_cannot_be_started,
    assert_copied,
    flip,
    refused,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    PULLS_A_SHARD,
    TABLESPACE,
    read_tree,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import BACKUP_ID


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


class TestWhatHasComeToItsPlaceSince:
    """A record beside a path gives no right to what is there."""

    @pytest.mark.parametrize("files", [{"notes.txt": "mine"}, {"PG_VERSION": "15\n", "base/1/1259": "to be salvaged"}])
    def test_in_the_data_directory_is_refused_and_stays(self, interrupted, files):
        shutil.rmtree(interrupted.pgdata)
        write_tree(interrupted.pgdata, files)
        error = refused(interrupted)
        assert error.code in ("data_directory_foreign", "data_directory_damaged")
        assert f"not known by a mark to be the unfinished copy of backup {BACKUP_ID}" in error.msg
        assert read_tree(interrupted.pgdata) == files

    def test_in_a_tablespaces_directory_is_refused_and_stays(self, interrupted):
        interrupted.fast.rename(interrupted.root / "away")
        write_tree(interrupted.fast, {"notes.txt": "mine"})
        assert refused(interrupted).code == "target_not_empty"
        assert read_tree(interrupted.fast) == {"notes.txt": "mine"}

    def test_a_copy_of_the_unfinished_copy_is_another_directory(self, interrupted):
        shutil.copytree(interrupted.pgdata, interrupted.root / "copy", symlinks=True)
        interrupted.pgdata.rename(interrupted.root / "away")
        (interrupted.root / "copy").rename(interrupted.pgdata)
        assert refused(interrupted).code == "data_directory_damaged"


def killed_while_marking(moment):
    """In place of the marks: a run that ends before them, or after the first one."""
    put = Marked.put

    def killed(marks):
        if moment != "before the marks":
            put(replace(marks, roots=dict([next(iter(marks.roots.items()))])))
        raise StandbyError(Refusal("interrupted", "ended", "run again"))

    return killed


class TestMarks:
    def test_are_in_every_directory_while_it_is_unfinished_and_nowhere_afterwards(self, host):
        wal = host.root / "standby" / "wal"
        host.hook(f"case $command in {PULLS_A_SHARD} rm -f {host.data}/pg_xact/0000 ;; esac")
        assert refused(host, waldir=str(wal)).code == "backup_files_missing"
        texts = [(top / MARK).read_text(encoding="utf-8") for top in (host.pgdata, host.fast, wal)]
        assert texts == [f"{host.record['marked']['run']}\n"] * 3
        host.healthy()
        write_tree(host.data, {"pg_xact/0000": DATA["pg_xact/0000"]})
        host.copy(waldir=str(wal))
        assert not [top for top in (host.pgdata, host.fast, wal) if (top / MARK).exists()]
        assert "marked" not in host.record

    def test_are_there_before_pg_control_goes(self, older, monkeypatch):
        seen = []
        monkeypatch.setattr(
            _begin.CloneRun,
            "_remove_control",
            lambda _run: seen.extend((top / MARK).exists() for top in (older.pgdata, older.fast)),
        )
        older.copy(overwrite="same_cluster")
        assert seen == [True, True]

    @pytest.mark.parametrize("moment", ["before the marks", "after the first mark"])
    def test_a_run_that_is_killed_there_leaves_the_cluster_as_it_was(self, older, monkeypatch, moment):
        with monkeypatch.context() as patched:
            patched.setattr(Marked, "put", killed_while_marking(moment))
            assert refused(older, overwrite="same_cluster").code == "interrupted"
        assert (older.pgdata / CONTROL).exists()
        assert refused(older).code == "data_directory_cluster"
        assert older.copy(overwrite="same_cluster").action == "delta"
        assert_copied(older)

    @pytest.mark.parametrize("moment", ["before the marks", "after the first mark"])
    def test_a_run_into_nothing_that_is_killed_there_is_done_again(self, host, monkeypatch, moment):
        with monkeypatch.context() as patched:
            patched.setattr(Marked, "put", killed_while_marking(moment))
            assert refused(host).code == "interrupted"
        host.copy()
        assert_copied(host)

    def test_that_a_killed_run_has_left_after_its_last_rename_go_with_the_next(self, host, monkeypatch):
        def killed(_marks):
            raise OSError("killed")

        with monkeypatch.context() as patched:
            patched.setattr(Marked, "take_away", killed)
            with pytest.raises(OSError, match="killed"):
                host.copy()
        assert (host.pgdata / CONTROL).exists()
        assert (host.pgdata / MARK).exists()
        assert host.copy().action == "none"
        assert_copied(host)

    def test_of_the_standby_that_the_backup_was_taken_of_are_not_copied(self, host):
        write_tree(host.data, {MARK: "another\n"})
        host.copy()
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
            refuses = "echo 'barman@backup: Permission denied (publickey).' >&2; exit 255"
            host.hook(f"case $command in {PULLS_A_SHARD} {refuses} ;; esac")
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
