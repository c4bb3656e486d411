# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _tree
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._inventory import Root
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import file

MTIME = 1_700_000_000_123_456_789


@pytest.fixture
def top(tmp_path):
    """A tree just as its backup has it."""
    write_tree(tmp_path / "top", {"base/1/a": "aa", "base/b": "b", "c": ""})
    (tmp_path / "top/base/empty").mkdir()
    return tmp_path / "top"


@pytest.fixture
def root(top):
    files = (file("base/1/a", 2, MTIME), file("base/b", 1, MTIME), file("c", 0, MTIME))
    return Root(None, "/source", str(top), files, ("base", "base/1", "base/empty"))


@pytest.fixture
def outside(tmp_path):
    write_tree(tmp_path / "outside", {"file": "precious"})
    yield tmp_path / "outside"
    assert read_tree(tmp_path / "outside") == {"file": "precious"}


def plant_directory(path, _outside):
    write_tree(path, {"deep/er/file": "x"})


def plant_file(path, _outside):
    path.write_text("x", encoding="utf-8")


def plant_directory_link(path, outside):
    path.symlink_to(outside)


def plant_file_link(path, outside):
    path.symlink_to(outside / "file")


def plant_hard_link(path, outside):
    path.hardlink_to(outside / "file")


def plant_fifo(path, _outside):
    os.mkfifo(path)


PLANTS = {
    "d": plant_directory,
    "f": plant_file,
    "l": plant_directory_link,
    "l ": plant_file_link,
    "h": plant_hard_link,
    "s": plant_fifo,
}
planted = pytest.mark.parametrize(("kind", "plant"), PLANTS.items(), ids=[p.__name__[6:] for p in PLANTS.values()])


@planted
def test_scan_tells_kinds_and_follows_nothing(top, outside, kind, plant):
    plant(top / "base" / "new", outside)
    found = _tree.scan(str(top))
    assert found["base/new"].kind == kind.strip()
    assert "base/new/file" not in found
    assert ("base/new/deep/er/file" in found) == (kind == "d")


def test_scan_tells_sizes_and_times(top):
    assert _tree.scan(str(top))["base/1/a"] == file("base/1/a", 2, MTIME)


def test_scan_survives_any_name(top):
    with open(os.fsencode(top) + b"/\xff\n", "wb"):
        pass
    assert "\udcff\n" in _tree.scan(str(top))


@planted
def test_tidy_removes_what_is_no_part_of_the_backup(root, top, outside, kind, plant):
    before = read_tree(top)
    plant(top / "base" / "new", outside)
    assert _tree.tidy(root).keys() == {*before, *root.directories}
    assert read_tree(top) == before


@planted
@pytest.mark.parametrize("name", ["base/b", "base/empty"], ids=["for a file", "for a directory"])
def test_tidy_removes_what_has_taken_the_place_of_another_kind(root, top, outside, name, kind, plant):
    there = top / name
    there.rmdir() if there.is_dir() else there.unlink()
    plant(there, outside)
    present = _tree.tidy(root)
    kept = kind == ("d" if name == "base/empty" else "f")
    assert (name in present) == kept
    assert os.path.lexists(there) == kept


def test_tidy_of_an_intact_tree_removes_nothing(root, top):
    before = read_tree(top)
    _tree.tidy(root)
    assert read_tree(top) == before


@pytest.mark.parametrize(
    "call", [_tree.empty, lambda top: _tree.tidy(Root(None, "", top, (), ()))], ids=["empty", "tidy"]
)
def test_the_root_of_a_file_system_keeps_its_lost_and_found(top, call):
    (top / "lost+found").mkdir()
    (top / "base/lost+found").mkdir()
    call(str(top))
    assert [path.name for path in top.iterdir()] == ["lost+found"]


@planted
def test_empty_removes_everything_and_nothing_outside(top, outside, kind, plant):
    plant(top / "new", outside)
    _tree.empty(str(top))
    assert list(top.iterdir()) == []


def test_empty_works_through_a_link_to_the_directory(top, tmp_path):
    (tmp_path / "link").symlink_to(top)
    _tree.empty(str(tmp_path / "link"))
    assert list(top.iterdir()) == []
    assert (tmp_path / "link").is_symlink()


def test_make_directories(tmp_path):
    root = Root(None, "", str(tmp_path), (), ("a", "a/b", "c"))
    _tree.make_directories(root)
    _tree.make_directories(root)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["a", "a/b", "c"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")} == {0o700}


@pytest.mark.parametrize(
    ("change", "complete"),
    [
        pytest.param(lambda top: None, True, id="nothing"),
        pytest.param(lambda top: (top / "base/b").unlink(), False, id="gone"),
        pytest.param(lambda top: (top / "base/b").write_text("bb", encoding="utf-8"), False, id="another size"),
        pytest.param(lambda top: os.utime(top / "base/b", ns=(1, MTIME + 1)), False, id="another time"),
    ],
)
def test_complete_files(root, top, change, complete):
    change(top)
    assert _tree.complete_files(root, _tree.scan(str(top))) == {"base/1/a", "c"} | ({"base/b"} if complete else set())


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param(lambda top: None, [], id="nothing"),
        pytest.param(lambda top: (top / "c").unlink(), ["c: missing"], id="file missing"),
        pytest.param(lambda top: (top / "base/empty").rmdir(), ["base/empty: missing"], id="directory missing"),
        pytest.param(lambda top: (top / "c").write_text("c", encoding="utf-8"), ["c: 1 bytes, not 0"], id="size"),
        pytest.param(lambda top: (top / "new").mkdir(), ["new: not in the backup"], id="directory more"),
        pytest.param(lambda top: (top / "new").symlink_to("c"), ["new: not in the backup"], id="link more"),
        pytest.param(
            lambda top: (top / "d").hardlink_to(top / "c"),
            ["c: of kind h, not f", "d: not in the backup"],
            id="second name",
        ),
    ],
)
def test_difference(root, top, change, found):
    change(top)
    assert _tree.difference(root) == found


@planted
def test_difference_of_kinds(root, top, outside, kind, plant):
    (top / "base/empty").rmdir()
    plant(top / "base/empty", outside)
    found = [line for line in _tree.difference(root) if line.startswith("base/empty:")]
    assert found == ([] if kind == "d" else [f"base/empty: of kind {kind.strip()}, not d"])


def test_sync_runs_once_for_each_file_system(tmp_path, host):
    host.program("sync", f'#!/bin/sh\necho "$@" >>"{tmp_path}/synced"\n')
    _tree.sync([str(tmp_path), str(host.data), "/proc"])
    assert (tmp_path / "synced").read_text(encoding="utf-8") == f"--file-system {tmp_path}\n--file-system /proc\n"


def test_sync_tells_when_a_disk_refuses(tmp_path, host):
    host.program("sync", "#!/bin/sh\necho 'sync: error syncing: Input/output error' >&2\nexit 1\n")
    with pytest.raises(StandbyError, match="Input/output error") as refused:
        _tree.sync([str(tmp_path)])
    assert refused.value.code == "disk_error"


def test_sync_of_a_real_file_system(tmp_path):
    assert _tree.sync([str(tmp_path)]) is None
