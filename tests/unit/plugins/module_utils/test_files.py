# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
import stat

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _files
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import MARK
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import inspect as _inspect
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.mounts import (
    in_own_mounts,
    mount_bind,
    mount_tmpfs,
)


@pytest.fixture
def top(tmp_path):
    write_tree(tmp_path / "top", {"a": "1", "base/b": "22", "base/deep/c": "", "lost+found/x": ""})
    (tmp_path / "top/link").symlink_to(tmp_path / "outside")
    write_tree(tmp_path / "outside", {"theirs": "kept"})
    return tmp_path / "top"


def everywhere(_path, _status):
    return True


class TestWriteAtomically:
    def test_replaces_a_file_and_its_mode(self, tmp_path):
        path = tmp_path / "file"
        path.write_text("old", encoding="utf-8")
        path.chmod(0o644)
        _files.write_atomically(str(path), "new \udcff\r\n")
        assert path.read_bytes() == b"new \xff\r\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_takes_another_mode(self, tmp_path):
        _files.write_atomically(str(tmp_path / "file"), "new", 0o640)
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640

    def test_does_not_write_through_a_link(self, tmp_path):
        (tmp_path / "precious").write_text("precious", encoding="utf-8")
        (tmp_path / "link").symlink_to("precious")
        _files.write_atomically(str(tmp_path / "link"), "new")
        assert read_tree(tmp_path) == {"link": "new", "precious": "precious"}

    def test_never_shows_a_part(self, tmp_path):
        path = tmp_path / "file"
        path.write_text("old", encoding="utf-8")
        reader = path.open(encoding="utf-8")
        _files.write_atomically(str(path), "new")
        assert reader.read() == "old"
        reader.close()

    @pytest.mark.parametrize("failing", ["fsync", "replace"])
    def test_leaves_the_old_file_when_it_fails(self, tmp_path, monkeypatch, failing):
        path = tmp_path / "file"
        path.write_text("old", encoding="utf-8")

        def fail(*_arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, failing, fail)
        with pytest.raises(StandbyError, match="No space left on device") as refused:
            _files.write_atomically(str(path), "new")
        assert refused.value.code == "write_failed"
        assert read_tree(tmp_path) == {"file": "old"}

    def test_tells_when_there_is_no_such_directory(self, tmp_path):
        with pytest.raises(StandbyError, match="No such file or directory"):
            _files.write_atomically(str(tmp_path / "absent" / "file"), "new")


class TestReadSmall:
    @pytest.mark.parametrize("content", [b"", b"a\r\nb\rc\n", b"\xff\n"], ids=["empty", "line ends", "no UTF-8"])
    def test_is_what_can_be_written_back(self, tmp_path, content):
        (tmp_path / "file").write_bytes(content)
        _files.write_atomically(str(tmp_path / "copy"), _files.read_small(str(tmp_path / "file")))
        assert (tmp_path / "copy").read_bytes() == content

    @pytest.mark.parametrize("name", ["absent", "file/below"])
    def test_of_nothing_is_none(self, tmp_path, name):
        (tmp_path / "file").write_text("", encoding="utf-8")
        assert _files.read_small(str(tmp_path / name)) is None


def test_boot_id():
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", _files.boot_id())


def test_is_empty(tmp_path):
    assert _files.is_empty(str(tmp_path / "absent"))
    assert _files.is_empty(str(tmp_path))
    for name in ("lost+found", ".snapshot", ".zfs"):
        (tmp_path / name).mkdir()
    (tmp_path / MARK).touch()
    assert _files.is_empty(str(tmp_path))
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert not _files.is_empty(str(tmp_path))
    with pytest.raises(StandbyError, match="Not a directory"):
        _files.is_empty(str(tmp_path / "file"))


class TestPrivateDirectory:
    @pytest.mark.parametrize("mode", [0o700, 0o750], ids=oct)
    @pytest.mark.parametrize("before", [None, 0o755, 0o500], ids=["new", "too open", "too closed"])
    def test_is_there_with_its_mode(self, tmp_path, mode, before):
        place = tmp_path / "a" / "it's $(id)\n"
        if before is not None:
            place.mkdir(parents=True)
            place.chmod(before)
        _files.private_directory(str(place), mode)
        assert stat.S_IMODE(place.stat().st_mode) == mode

    def test_keeps_what_is_in_it(self, tmp_path):
        write_tree(tmp_path / "place", {"file": "precious"})
        _files.private_directory(str(tmp_path / "place"))
        assert read_tree(tmp_path / "place") == {"file": "precious"}

    def test_may_be_somebody_elses_who_lets_us_write(self, tmp_path, monkeypatch):
        def refuse(*_arguments):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(_inspect.os, "chmod", refuse)
        _files.private_directory(str(tmp_path / "place"))
        assert (tmp_path / "place").is_dir()

    @pytest.mark.parametrize("name", ["file", "file/below", "dangling"])
    def test_is_refused_where_something_else_is(self, tmp_path, name):
        (tmp_path / "file").write_text("precious", encoding="utf-8")
        (tmp_path / "dangling").symlink_to("nowhere")
        with pytest.raises(StandbyError, match=f"Cannot create directory {tmp_path}/{name}: ") as refused:
            _files.private_directory(str(tmp_path / name))
        assert refused.value.code == "directory_not_writable"
        assert read_tree(tmp_path) == {"file": "precious", "dangling": "-> nowhere"}


def test_the_nearest_directory_that_exists(top):
    assert _files.nearest_existing(str(top / "base/nothing/below")) == str(top / "base")
    assert _files.nearest_existing(str(top)) == str(top)


class TestWalk:
    def test_tells_of_everything_and_follows_no_link(self, top):
        found = dict(_files.walk(str(top), everywhere))
        assert sorted(found) == ["a", "base", "base/b", "base/deep", "base/deep/c", "link"]
        assert stat.S_ISLNK(found["link"].st_mode)
        assert found["base/b"].st_size == 2

    def test_enters_only_what_it_may(self, top):
        assert sorted(path for path, _status in _files.walk(str(top), lambda path, _status: path == "base")) == [
            "a", "base", "base/b", "base/deep", "link"
        ]  # fmt: skip

    def test_what_a_file_system_puts_into_its_root_counts_below_it(self, tmp_path):
        write_tree(tmp_path, {"base/lost+found/x": ""})
        found = [path for path, _status in _files.walk(str(tmp_path), everywhere)]
        assert sorted(found) == ["base", "base/lost+found", "base/lost+found/x"]

    def test_what_a_file_system_puts_into_its_root_is_left_out_where_one_is_mounted(self, top):
        def work():
            mount_tmpfs(top / "pg_wal")
            write_tree(top / "pg_wal", {"1": "", "deep/lost+found/x": "", ".snapshot/x": "", ".zfs/x": ""})
            return [path for path, _status in _files.walk(str(top), everywhere) if path.startswith("pg_wal")]

        found = in_own_mounts(work)
        assert sorted(found) == [
            "pg_wal", "pg_wal/1", "pg_wal/deep", "pg_wal/deep/lost+found", "pg_wal/deep/lost+found/x"
        ]  # fmt: skip

    def test_the_mark_of_a_copy_is_left_out_of_the_top_alone(self, tmp_path):
        write_tree(tmp_path, {MARK: "", f"base/{MARK}": ""})
        found = [path for path, _status in _files.walk(str(tmp_path), everywhere)]
        assert sorted(found) == ["base", f"base/{MARK}"]

    def test_a_directory_that_cannot_be_listed_is_a_refusal(self, tmp_path):
        with pytest.raises(StandbyError) as refused:
            list(_files.walk(str(tmp_path / "nothing"), everywhere))
        assert refused.value.code == "directory_unreadable"


class TestRemoval:
    def test_of_some_paths_follows_no_link(self, top, tmp_path):
        _files.remove_below(str(top), ["base", "link"])
        assert read_tree(top) == {"a": "1", "lost+found/x": ""}
        assert read_tree(tmp_path / "outside") == {"theirs": "kept"}

    def test_of_all_leaves_the_directory_and_what_its_file_system_has_put_there(self, top, tmp_path):
        _files.empty(str(top))
        assert read_tree(top) == {"lost+found/x": ""}
        assert read_tree(tmp_path / "outside") == {"theirs": "kept"}

    def test_of_what_is_gone_is_a_refusal(self, top):
        with pytest.raises(StandbyError, match="Cannot remove") as refused:
            _files.remove_below(str(top), ["nothing"])
        assert refused.value.code == "remove_failed"

    def test_of_all_leaves_the_mark_of_a_copy(self, top):
        write_tree(top, {MARK: "run"})
        _files.empty(str(top))
        assert read_tree(top) == {"lost+found/x": "", MARK: "run"}

    @pytest.mark.parametrize(
        "remove", [_files.empty, lambda top: _files.remove_below(top, ["dumps"])], ids=["of all", "of some paths"]
    )
    @pytest.mark.parametrize("where", ["dumps", "dumps/weekly/deep"])
    @pytest.mark.parametrize("bound", [True, False], ids=["bind mount", "file system"])
    def test_ends_at_a_mount_point_before_anything_of_its_directory_is_removed(self, tmp_path, remove, where, bound):
        write_tree(tmp_path / "top", {"dumps/a": "1"})
        write_tree(tmp_path / "outside", {"monday.dump": "precious"})
        place = tmp_path / "top" / where

        def work():
            if bound:
                mount_bind(tmp_path / "outside", place)
            else:
                mount_tmpfs(place)
                write_tree(place, {"monday.dump": "precious"})
            with pytest.raises(StandbyError) as refused:
                remove(str(tmp_path / "top"))
            kept = (place / "monday.dump").read_text(encoding="utf-8")
            return refused.value.code, str(place) in refused.value.refusal.found, kept

        assert in_own_mounts(work) == ("mount_point_inside", True, "precious")
        assert where != "dumps/weekly/deep" or read_tree(tmp_path / "top") == {"dumps/a": "1"}

    def test_of_what_is_on_a_mounted_file_system_leaves_its_lost_and_found(self, tmp_path):
        """The directory is a mount point itself: what is removed is on its own file system."""

        def work():
            mount_tmpfs(tmp_path / "wal")
            write_tree(tmp_path / "wal", {"000000010000000000000001": "x", "archive_status/y": ""})
            _files.empty(str(tmp_path / "wal"))
            return [path.name for path in (tmp_path / "wal").iterdir()]

        assert in_own_mounts(work) == ["lost+found"]


def test_mount_points_are_told_by_their_names(tmp_path):
    def work():
        for name in ("plain", "two words", "back\\slash"):
            mount_tmpfs(tmp_path / name)
        return {os.path.basename(path) for path in _files.mount_points() if path.startswith(f"{tmp_path}/")}

    assert in_own_mounts(work) == {"plain", "two words", "back\\slash"}
