# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there and not in the backup: files go, and what a link leads to stays."""

from __future__ import annotations

import os

import pytest
from ansible_collections.pgfleet.standby.tests.copies.methods.whole_copy import (
    CONTROL,
    COPIED,
    assert_copied,
    everything_below,
    refused,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    TABLESPACE,
    read_tree,
    text_of,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL_TEXT


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
        used.mark(used.pgdata, used.fast, wal)
        write_tree(wal, {"000000010000000000000009": "x", "archive_status/9.done": "x"})
        (wal / "lost+found").mkdir()
        there = wal.stat().st_ino
        used.copy(waldir=str(wal), **used.overwrite)
        assert (sorted(path.name for path in wal.iterdir()), wal.stat().st_ino) == (
            ["archive_status", "lost+found"],
            there,
        )

    def test_a_wal_elsewhere_does_not_move_without_a_word(self, host):
        """Without waldir it would be on the data directory's file system."""
        wal = host.root / "standby" / "wal"
        host.copy(backup=host.second_backup(), waldir=str(wal))
        write_tree(wal, {"000000010000000000000009": "x"})
        before = everything_below(host.pgdata)
        error = refused(host, overwrite="same_cluster")
        assert (error.code, f"waldir={wal}" in error.msg) == ("waldir_missing", True)
        assert everything_below(host.pgdata) == before
        (host.pgdata / "pg_wal").unlink()  # who wants it there says so
        host.copy(overwrite="same_cluster")
        assert read_tree(wal) == {"000000010000000000000009": "x"}
        assert not (host.pgdata / "pg_wal").is_symlink()
        assert_copied(host)

    def test_a_wal_elsewhere_may_stay_there_when_the_old_cluster_is_kept(self, host):
        wal = host.root / "standby" / "wal"
        host.copy(backup=host.second_backup(), waldir=str(wal))
        outcome = host.copy(overwrite="same_cluster", keep_old=True)
        assert (host.pgdata.parent / "pgdata.old/pg_wal").resolve() == wal
        assert f"{host.pgdata}.old" in outcome.kept_old
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

    def test_for_the_directory_of_the_wal(self, used):
        """The backup's cluster may have it like that, and is not brought to the backup's state without a word."""
        elsewhere = used.root / "elsewhere"
        (used.pgdata / "pg_wal").rename(elsewhere)
        write_tree(elsewhere, {"canary": "precious"})
        (used.pgdata / "pg_wal").symlink_to(elsewhere)
        if used.overwrite["overwrite"] == "same_cluster":
            assert refused(used, **used.overwrite).code == "waldir_missing"
        else:
            used.copy(**used.overwrite)
            assert_copied(used)
        assert read_tree(elsewhere) == {"canary": "precious"}

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
