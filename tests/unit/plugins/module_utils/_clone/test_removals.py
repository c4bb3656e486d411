# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import struct
import subprocess
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Files, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import removals as _removals
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Target
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.removals import (
    require_no_mount_point_inside,
    require_removable,
    require_removable_whole,
    unremovable,
    unremovable_whole,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.mounts import (
    in_own_mounts,
    mount_bind,
    mount_tmpfs,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import file

ACTIONS = ("resume", "delta", "replace")


@pytest.fixture
def top(tmp_path):
    """A cluster, of which the backup does not know notes, dumps and what is in pg_wal."""
    write_tree(tmp_path / "pg", {"base/1": "1", "pg_wal/000000010000000000000001": "w", "notes": "n", "dumps/a/b": "d"})
    return tmp_path / "pg"


@pytest.fixture
def root(top):
    return Root(None, "/source", str(top), Files([file("base/1", 1, 1)]), ("base", "pg_wal"))


@pytest.fixture
def target(top):
    return Target(str(top), f"{top}.state", "/bin", {})


def told(reasons):
    """Codes, and the words in which the places are named."""
    return [(reason.code, reason.found.partition(": ")[2].partition(". Nothing")[0]) for reason in reasons]


@pytest.mark.parametrize("action", ACTIONS)
def test_what_can_go_is_no_reason(top, root, target, action):
    before = read_tree(top)
    assert unremovable([root], action, target) == []
    assert unremovable_whole(target) == []
    assert read_tree(top) == before


def test_nothing_there_is_no_reason(tmp_path):
    target = Target(f"{tmp_path}/none", f"{tmp_path}/state", "/bin", {1: f"{tmp_path}/no"}, f"{tmp_path}/nowhere")
    assert unremovable([Root(None, "/s", f"{tmp_path}/none", Files(), ())], "clone", target) == []
    assert unremovable_whole(target) == []


class TestOtherFileSystems:
    """Each in a mount namespace of its own, with real mounts."""

    @pytest.mark.parametrize("action", ACTIONS)
    @pytest.mark.parametrize("where", ["dumps", "dumps/a/weekly", "archive", "base/dumps"])
    @pytest.mark.parametrize("bound", [False, True], ids=["file system", "bind mount"])
    def test_in_what_would_go_are_named(self, tmp_path, top, root, target, action, where, bound):
        def work():
            mount_bind(tmp_path, top / where) if bound else mount_tmpfs(top / where)
            return told(unremovable([root], action, target)), told(unremovable_whole(target))

        expected = [("mount_point_inside", f"{top}/{where}")]
        assert in_own_mounts(work) == (expected, expected)

    @pytest.mark.parametrize("action", ACTIONS)
    def test_that_are_directories_of_the_backup_keep_what_is_theirs(self, top, root, target, action):
        """pg_wal on its own file system; what is in it goes, and its lost+found may be root's."""

        def work():
            mount_tmpfs(top / "pg_wal")
            write_tree(top / "pg_wal", {"000000010000000000000009": "x", "archive_status/x": ""})
            return told(unremovable([root], action, target))

        assert in_own_mounts(work) == []

    def test_at_pg_wal_is_in_the_way_of_a_link_to_waldir(self, top, root, target):
        def work():
            mount_tmpfs(top / "pg_wal")
            without = replace(root, directories=("base",))
            return told(unremovable([without], "delta", replace(target, waldir=f"{top}.wal")))

        assert in_own_mounts(work) == [("mount_point_inside", f"{top}/pg_wal")]

    @pytest.mark.parametrize("kind", ["waldir", "tablespace"])
    def test_below_the_other_places_are_named(self, tmp_path, top, root, target, kind):
        other = tmp_path / "other"
        if kind == "waldir":
            roots, changed = [root], replace(target, waldir=str(other))
        else:
            roots, changed = (
                [root, Root(1, "/s", str(other), Files(), ())],
                replace(target, tablespaces={1: str(other)}),
            )

        def work():
            mount_tmpfs(other / "deep/er")
            return told(unremovable(roots, "delta", changed)), told(unremovable_whole(changed))

        expected = [("mount_point_inside", f"{other}/deep/er")]
        assert in_own_mounts(work) == (expected, expected)

    def test_that_are_read_only_are_told(self, top, root, target):
        def work():
            mount_tmpfs(top / "pg_wal")
            write_tree(top / "pg_wal", {"000000010000000000000009": "x"})
            subprocess.run(["mount", "-o", "remount,ro", str(top / "pg_wal")], check=True)
            return told(unremovable([root], "delta", target))

        assert in_own_mounts(work) == [("not_removable", f"{top}/pg_wal/000000010000000000000009")]

    @pytest.mark.parametrize(
        ("where", "refused"), [("pg_wal", True), ("dumps/a", True), (".", False), ("../pg2", False)]
    )
    def test_are_in_the_way_of_what_is_renamed_into_place(self, top, target, where, refused):
        def work():
            mount_tmpfs(top / where)
            try:
                require_no_mount_point_inside(target, "barman")
            except StandbyError as error:
                return error.code
            return None

        assert in_own_mounts(work) == ("mount_point_inside" if refused else None)


class TestRights:
    @pytest.fixture
    def flags(self, monkeypatch):
        """Attributes of files by their paths, as chattr sets them."""
        found = {}

        def ioctl(handle, _request, _given):
            return struct.pack("l", found.get(os.readlink(f"/proc/self/fd/{handle}"), 0))

        monkeypatch.setattr(_removals.fcntl, "ioctl", ioctl)
        return found

    @pytest.mark.parametrize("flag", [0x10, 0x20], ids=["immutable", "append only"])
    @pytest.mark.parametrize("name", ["notes", "dumps/a/b", "base/1"])
    def test_an_attribute_is_told_of(self, top, root, target, flags, flag, name):
        flags[f"{top}/{name}"] = flag
        assert told(unremovable([root], "delta", target)) == [("not_removable", f"{top}/{name}")]

    def test_an_attribute_of_a_directory_keeps_what_is_in_it(self, top, root, target, flags):
        flags[f"{top}/dumps/a"] = 0x10
        assert told(unremovable([root], "replace", target)) == [("not_removable", f"{top}/dumps/a, {top}/dumps/a/b")]

    def test_other_attributes_are_nothing(self, top, root, target, flags):
        flags[f"{top}/notes"] = 0x80000
        assert unremovable([root], "delta", target) == []

    def test_a_file_system_without_attributes_is_asked_once(self, top, root, target, monkeypatch):
        asked = []

        def ioctl(handle, _request, _given):
            asked.append(handle)
            raise OSError(25, "Inappropriate ioctl for device")

        monkeypatch.setattr(_removals.fcntl, "ioctl", ioctl)
        assert unremovable([root], "delta", target) == []
        assert len(asked) == 1

    def test_a_directory_that_cannot_be_written_keeps_what_is_in_it(self, top, root, target, monkeypatch):
        monkeypatch.setattr(_removals.os, "access", lambda path, _mode: not path.endswith("/dumps/a"))
        assert told(unremovable([root], "delta", target)) == [("not_removable", f"{top}/dumps/a/b")]

    def test_a_data_directory_of_ours_gets_its_mode_before(self, top, root, target, monkeypatch):
        monkeypatch.setattr(_removals.os, "access", lambda path, _mode: path != str(top))
        assert unremovable([root], "delta", target) == []

    def test_another_users_files_go_where_the_directory_is_ours(self, top, root, target, monkeypatch):
        monkeypatch.setattr(_removals.os, "geteuid", lambda: os.getuid() + 1)
        found = dict(told(unremovable([root], "delta", target)))
        assert found == {"directory_not_writable": f"{top}/base, {top}/pg_wal"}

    def test_another_users_files_stay_in_a_sticky_directory(self, top, root, target, monkeypatch):
        (top / "dumps/a").chmod(0o1777)
        monkeypatch.setattr(_removals.os, "geteuid", lambda: os.getuid() + 1)
        assert dict(told(unremovable([root], "delta", target)))["not_removable"] == f"{top}/dumps/a/b"

    def test_the_engine_stops_at_the_first_reason(self, top, root, target, flags):
        flags[f"{top}/notes"] = 0x10
        for require in (lambda: require_removable([root], "delta", target), lambda: require_removable_whole(target)):
            with pytest.raises(StandbyError) as refused:
                require()
            assert refused.value.code == "not_removable"

    def test_many_are_counted(self, top, root, target, flags):
        write_tree(top, {f"extra{number}": "" for number in range(7)})
        flags.update({f"{top}/extra{number}": 0x10 for number in range(7)})
        [(_code, places)] = told(unremovable([root], "delta", target))
        assert places.endswith("extra4, and 2 more")
