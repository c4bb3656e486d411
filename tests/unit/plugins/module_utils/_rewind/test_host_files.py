# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind import host_files as _host_files
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.host_files import (
    HostFiles,
    host_file_names,
    room_missing,
    tablespaces_inside,
    unwritable,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree

CLUSTER = {
    "PG_VERSION": "15\n",
    "backup_label.old": "label",
    "base/1/1259": "data",
    "core": "dump",
    "current_logfiles": "stderr log/server.log",
    "global/pg_control": "control",
    "pg_xact/0000": "commits",
    "postmaster.opts": "postgres",
    "standby.signal": "",
}
OWN = {
    "conf.d/own.conf": "work_mem = 1MB",
    "pg_hba.conf": "own",
    "postgresql.auto.conf": "own",
    "postgresql.conf": "own",
}
LOG = {"log/server.log": "what happened"}


@pytest.fixture
def top(tmp_path):
    top = tmp_path / "pgdata"
    write_tree(top, {**CLUSTER, **OWN, **LOG})
    (top / "server.key").symlink_to("/etc/ssl/private/own.key")
    (top / "pg_wal").symlink_to(tmp_path / "wal")
    return top


@pytest.fixture
def own(top, tmp_path):
    return HostFiles(str(top), str(tmp_path / "state/own"), str(tmp_path / "state/own.moved"))


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_names(top):
    assert host_file_names(str(top)) == (
        "conf.d",
        "log",
        "pg_hba.conf",
        "postgresql.auto.conf",
        "postgresql.conf",
        "server.key",
    )


class TestWhatIsNotTheClusters:
    """What is neither the cluster's nor known as the host's stays, and is not copied."""

    @pytest.fixture(autouse=True)
    def archive(self, top):
        write_tree(top, {"archive/000000010000000000000001": "precious", "notes.txt": "precious"})

    def test_is_renamed_out_of_the_way_and_back(self, top, own, tmp_path):
        before, inode = read_tree(top), (top / "archive/000000010000000000000001").stat().st_ino
        own.set_aside()
        assert not (top / "archive").exists()
        assert not (top / "notes.txt").exists()
        assert {"archive", "notes.txt"} <= set(own.names)
        write_tree(top, {"archive/theirs": "of the upstream"})
        own.put_back()
        assert read_tree(top) == before
        assert (top / "archive/000000010000000000000001").stat().st_ino == inode
        assert not (tmp_path / "state/own.moved").exists()

    def test_comes_back_when_what_is_done_meanwhile_fails(self, top, own):
        before = read_tree(top)
        own.set_aside()
        with pytest.raises(ValueError, match="killed"), own.returned_on_failure():
            raise ValueError("killed")
        assert read_tree(top) == before

    def test_is_never_lost_when_something_has_taken_its_place(self, top, own, tmp_path):
        own.set_aside()
        write_tree(top, {"archive/theirs": "of the upstream"})
        with pytest.raises(ValueError, match="killed"), own.returned_on_failure():
            raise ValueError("killed")
        kept = read_tree(tmp_path / "state/own.moved")
        assert kept["archive/000000010000000000000001"] == "precious"
        with pytest.raises(StandbyError, match="Cannot bring archive back") as refused:
            HostFiles(str(top), str(tmp_path / "state/own"), str(tmp_path / "state/own.moved")).set_aside()
        assert refused.value.code == "write_failed"
        assert read_tree(tmp_path / "state/own.moved") == kept

    def test_of_a_run_that_was_killed_comes_back_first(self, top, own, tmp_path):
        before = read_tree(top)
        own.set_aside()
        again = HostFiles(str(top), str(tmp_path / "state/own"), str(tmp_path / "state/own.moved"))
        again.set_aside()
        again.put_back()
        assert read_tree(top) == before

    def test_is_copied_to_another_file_system_if_there_is_room(self, top):
        before = read_tree(top)
        with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
            own = HostFiles(str(top), f"{place}/own", f"{place}/own.moved")
            own.set_aside()
            assert read_tree(Path(place))["own/archive/000000010000000000000001"] == "precious"
            shutil.rmtree(top / "archive")  # as pg_rewind does
            own.put_back()
        assert read_tree(top) == before

    @pytest.mark.parametrize(("far", "refused"), [(True, True), (False, False)], ids=["elsewhere", "beside"])
    def test_is_refused_before_anything_where_it_does_not_fit(self, top, tmp_path, monkeypatch, far, refused):
        write_tree(top, {"archive/large": "x" * 100_000})
        before = read_tree(top)
        real = os.statvfs(top)
        status = type("Status", (), {"f_bavail": 50_000, "f_frsize": 1, "f_flag": real.f_flag})
        monkeypatch.setattr(_host_files.os, "statvfs", lambda _path: status)
        with tempfile.TemporaryDirectory(dir="/dev/shm" if far else tmp_path) as place:
            own = HostFiles(str(top), f"{place}/own", f"{place}/own.moved")
            assert (room_missing(str(top), f"{place}/own") is not None) is refused
            if refused:
                with pytest.raises(StandbyError) as told:
                    own.set_aside()
                assert told.value.code == "space_missing"
            else:
                own.set_aside()
                own.put_back()
        assert read_tree(top) == before


class TestTablespacesInside:
    @pytest.mark.parametrize("path", ["ts1", "tablespaces/ts1"])
    @pytest.mark.parametrize("linked", [True, False])
    def test_are_named(self, top, path, linked):
        write_tree(top / path, {"PG_15_202209061/5/16390": "pages"})
        if linked:
            (top / "pg_tblspc").mkdir()
            (top / "pg_tblspc/16388").symlink_to(top / path)
        found = tablespaces_inside(str(top))
        assert f"{top}/{path if linked else path.split('/')[0]}" in found

    def test_of_the_wal_are_named_as_well(self, top):
        (top / "pg_wal").unlink()
        (top / "wal").mkdir()
        (top / "pg_wal").symlink_to("wal")
        assert tablespaces_inside(str(top)) == [f"{top}/wal"]

    def test_elsewhere_are_no_matter(self, top, tmp_path):
        write_tree(top, {"archive/PG_notes": "x"})
        write_tree(tmp_path / "fast", {"PG_15_202209061/5/1": "x"})
        (top / "pg_tblspc").mkdir()
        (top / "pg_tblspc/1").symlink_to(tmp_path / "fast")
        assert tablespaces_inside(str(top)) == []


def test_what_a_server_left_is_not_its_own(top, monkeypatch):
    monkeypatch.chdir(top)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(".s.PGSQL.5432")
    assert ".s.PGSQL.5432" not in host_file_names(str(top))


def test_comes_back_over_what_has_arrived(top, own):
    before = read_tree(top)
    own.set_aside()
    write_tree(top, dict.fromkeys((*OWN, "log/other.log", "conf.d/other.conf"), "of the upstream"))
    (top / "server.key").unlink()
    write_tree(top, {"server.key": "of the upstream", "pg_xact/0000": "newer"})
    own.put_back()
    assert read_tree(top) == {**before, "pg_xact/0000": "newer"}


def test_comes_back_where_it_was_removed(top, own):
    before = read_tree(top)
    own.set_aside()
    for name in OWN:
        (top / name).unlink()
    own.put_back()
    assert read_tree(top) == before


def test_keeps_modes_though_it_makes_the_originals_writable(top, own):
    (top / "pg_hba.conf").chmod(0o400)
    own.set_aside()
    assert mode_of(top / "pg_hba.conf") == 0o600
    own.put_back()
    assert mode_of(top / "pg_hba.conf") == 0o400


def test_the_place_is_private_and_of_this_time(own, tmp_path):
    write_tree(tmp_path, {"elsewhere/precious": "x", "state/own/of_another_day": "x"})
    own.set_aside()
    place = tmp_path / "state" / "own"
    assert mode_of(place) == 0o700
    assert not (place / "of_another_day").exists()
    own.forget()
    assert not place.exists()
    place.symlink_to(tmp_path / "elsewhere")
    own.forget()
    assert not place.is_symlink()
    assert read_tree(tmp_path / "elsewhere") == {"precious": "x"}


def test_logs_are_no_reason_to_fail(top, own, monkeypatch):
    def refuse(*_paths):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(_host_files.os, "rename", refuse)
    own.set_aside()
    assert "log" not in own.names
    assert (top / "log/server.log").exists()


def test_what_cannot_be_kept_stops_it(top, own, monkeypatch):
    def refuse(source, _target, **_how):
        raise OSError(errno.ENOSPC, "No space left on device", source)

    monkeypatch.setattr(_host_files.shutil, "copy2", refuse)
    with pytest.raises(StandbyError, match=r"pg_hba\.conf .* No space left") as failed:
        own.set_aside()
    assert failed.value.code == "write_failed"
    assert (top / "log/server.log").exists()


def test_what_cannot_be_brought_back_is_told(own, tmp_path):
    own.set_aside()
    (tmp_path / "state/own/pg_hba.conf").unlink()
    with pytest.raises(StandbyError, match=r"Cannot bring pg_hba\.conf back") as failed:
        own.put_back()
    assert failed.value.code == "write_failed"


def test_unwritable(top, monkeypatch):
    assert unwritable(str(top)) == []
    monkeypatch.setattr(_host_files.os, "geteuid", lambda: os.getuid() + 1)
    assert unwritable(str(top)) == ["conf.d", "log", "pg_hba.conf", "postgresql.auto.conf", "postgresql.conf"]
