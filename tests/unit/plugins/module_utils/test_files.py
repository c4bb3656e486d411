# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _files
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree


@pytest.fixture
def top(tmp_path):
    write_tree(tmp_path / "top", {"a": "1", "base/b": "22", "base/deep/c": "", "lost+found/x": ""})
    (tmp_path / "top/link").symlink_to(tmp_path / "outside")
    write_tree(tmp_path / "outside", {"theirs": "kept"})
    return tmp_path / "top"


def everywhere(path):
    return True


class TestReadSmall:
    def test_keeps_line_ends_and_bytes_that_are_no_text(self, tmp_path):
        (tmp_path / "file").write_bytes(b"a\r\nb\xff\n")
        assert _files.read_small(str(tmp_path / "file")) == "a\r\nb\udcff\n"

    @pytest.mark.parametrize("path", ["nothing", "file/below"])
    def test_what_is_not_there_is_none(self, tmp_path, path):
        (tmp_path / "file").write_text("")
        assert _files.read_small(str(tmp_path / path)) is None


class TestWriteAtomically:
    def test_replaces_a_file_and_leaves_nothing_else(self, tmp_path):
        path = tmp_path / "file"
        path.write_text("old")
        _files.write_atomically(str(path), "new\udcff\n", 0o640)
        assert os.listdir(tmp_path) == ["file"]
        assert path.read_bytes() == b"new\xff\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_a_link_is_replaced_and_what_it_leads_to_is_kept(self, tmp_path):
        write_tree(tmp_path, {"target": "kept"})
        (tmp_path / "file").symlink_to(tmp_path / "target")
        _files.write_atomically(str(tmp_path / "file"), "new")
        assert read_tree(tmp_path) == {"target": "kept", "file": "new"}

    def test_a_directory_that_is_not_there_is_a_refusal(self, tmp_path):
        with pytest.raises(StandbyError, match="Cannot write") as refused:
            _files.write_atomically(str(tmp_path / "nowhere" / "file"), "")
        assert refused.value.code == "write_failed"

    def test_a_directory_in_the_place_of_the_file_stays_with_nothing_beside_it(self, tmp_path):
        (tmp_path / "file").mkdir()
        with pytest.raises(StandbyError):
            _files.write_atomically(str(tmp_path / "file"), "")
        assert os.listdir(tmp_path) == ["file"]


class TestDirectories:
    def test_the_nearest_that_exists(self, top):
        assert _files.nearest_existing(str(top / "base/nothing/below")) == str(top / "base")
        assert _files.nearest_existing(str(top)) == str(top)

    def test_empty_is_what_holds_nothing_of_its_own(self, tmp_path):
        assert _files.is_empty(str(tmp_path / "nothing"))
        (tmp_path / "lost+found").mkdir()
        assert _files.is_empty(str(tmp_path))
        (tmp_path / "file").write_text("")
        assert not _files.is_empty(str(tmp_path))

    def test_whether_a_file_is_empty_cannot_be_seen(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StandbyError) as refused:
            _files.is_empty(str(tmp_path / "file"))
        assert refused.value.code == "directory_unreadable"

    @pytest.mark.parametrize("mode", [0o700, 0o750])
    def test_a_private_one_is_made_with_those_above_it_or_gets_its_mode(self, tmp_path, mode):
        for _time in range(2):
            _files.private_directory(str(tmp_path / "a/b"), mode)
            assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == mode
            (tmp_path / "a/b").chmod(0o777)

    def test_a_private_one_cannot_be_made_below_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StandbyError) as refused:
            _files.private_directory(str(tmp_path / "file/below"))
        assert refused.value.code == "directory_not_writable"


class TestWalk:
    def test_tells_of_everything_and_follows_no_link(self, top):
        found = dict(_files.walk(str(top), everywhere))
        assert sorted(found) == ["a", "base", "base/b", "base/deep", "base/deep/c", "link"]
        assert stat.S_ISLNK(found["link"].st_mode)
        assert found["base/b"].st_size == 2

    def test_enters_only_what_it_may(self, top):
        assert sorted(path for path, _status in _files.walk(str(top), {"base"}.__contains__)) == [
            "a", "base", "base/b", "base/deep", "link"
        ]  # fmt: skip

    def test_what_a_file_system_puts_into_its_root_counts_below_it(self, tmp_path):
        write_tree(tmp_path, {"base/lost+found/x": ""})
        found = [path for path, _status in _files.walk(str(tmp_path), everywhere)]
        assert sorted(found) == ["base", "base/lost+found", "base/lost+found/x"]

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
