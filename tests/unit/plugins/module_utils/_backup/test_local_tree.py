# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _files
from ansible_collections.pgfleet.standby.plugins.module_utils._backup import local_tree as _local_tree
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Files, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
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
    files = Files([file("base/1/a", 2, MTIME), file("base/b", 1, MTIME), file("c", 0, MTIME)])
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


def marks_of(root):
    """What a survey says of each file."""
    names = {_local_tree.MISSING: "missing", _local_tree.COMPLETE: "complete", _local_tree.OTHER: "other"}
    return dict(zip(root.files.paths, (names[mark] for mark in _local_tree.survey(root).marks), strict=True))


def remove_strangers(root):
    _local_tree.remove(root, _local_tree.survey(root).strangers)


def nothing_changes(_top):
    pass


# What happens to the file base/b, with its mark afterwards and whether the file that was there is still the backup's.
CHANGES = [
    pytest.param(nothing_changes, "complete", id="nothing"),
    pytest.param(lambda top: (top / "base/b").unlink(), "missing", id="gone"),
    pytest.param(lambda top: write_tree(top, {"base/b": ""}), "other", id="smaller"),
    pytest.param(lambda top: write_tree(top, {"base/b": "bb"}), "other", id="bigger"),
    pytest.param(lambda top: os.utime(top / "base/b", ns=(1, MTIME + 1)), "other", id="another time"),
]


class TestSurvey:
    @pytest.mark.parametrize(("change", "mark"), CHANGES)
    def test_marks_every_file(self, root, top, change, mark):
        change(top)
        assert marks_of(root) == {"base/1/a": "complete", "base/b": mark, "c": "complete"}
        assert _local_tree.survey(root).strangers == []

    @planted
    def test_tells_what_is_no_part_of_the_tree_and_follows_nothing(self, root, top, outside, kind, plant):
        plant(top / "base" / "new", outside)
        assert _local_tree.survey(root).strangers == ["base/new"]
        assert set(marks_of(root).values()) == {"complete"}

    @planted
    @pytest.mark.parametrize("name", ["base/b", "base/empty"], ids=["for a file", "for a directory"])
    def test_tells_what_has_taken_the_place_of_another_kind(self, root, top, outside, name, kind, plant):
        there = top / name
        there.rmdir() if there.is_dir() else there.unlink()
        plant(there, outside)
        survey = _local_tree.survey(root)
        if kind == ("f" if name == "base/b" else "d"):
            strangers = [] if kind == "f" else ["base/empty/deep"]
        else:
            strangers = [name]
        assert survey.strangers == strangers
        assert marks_of(root)["base/b"] == ("complete" if name != "base/b" else "other" if kind == "f" else "missing")

    def test_takes_a_file_with_a_second_name_elsewhere_for_a_stranger(self, root, top, tmp_path):
        os.link(top / "base/b", tmp_path / "second")
        assert (_local_tree.survey(root).strangers, marks_of(root)["base/b"]) == (["base/b"], "missing")

    def test_of_an_empty_directory_finds_everything_missing(self, root, tmp_path):
        (tmp_path / "new").mkdir()
        survey = _local_tree.survey(replace(root, target=str(tmp_path / "new")))
        assert (set(survey.marks), survey.strangers) == ({_local_tree.MISSING}, [])

    @pytest.mark.parametrize(
        "name", ["two words", "-rf", "it's", "$(id)", "line\nfeed", "umlaut-ä", "\udcff\n"], ids=ascii
    )
    def test_survives_any_name(self, root, top, name):
        with open(os.fsencode(f"{top}/base/{name}"), "wb"):
            pass
        assert _local_tree.survey(root).strangers == [f"base/{name}"]
        os.utime(os.fsencode(f"{top}/base/{name}"), ns=(1, MTIME))
        known = replace(root, files=Files([*root.files, file(f"base/{name}", 0, MTIME)]))
        assert _local_tree.survey(known).strangers == []
        assert set(marks_of(known).values()) == {"complete"}


@planted
def test_strangers_are_removed_and_nothing_else(root, top, outside, kind, plant):
    before = read_tree(top)
    plant(top / "base" / "new", outside)
    plant(top / "base" / "-rf $(id)\n", outside)
    remove_strangers(root)
    assert read_tree(top) == before
    assert (top / "base/empty").is_dir()


def test_an_intact_tree_loses_nothing(root, top):
    before = read_tree(top)
    remove_strangers(root)
    assert read_tree(top) == before


@pytest.mark.parametrize(
    "call",
    [lambda root: _local_tree.remove(root, ["base/1/gone"]), lambda root: _local_tree.remove(root, ["base/1/a/below"])],
    ids=["gone meanwhile", "below a file"],
)
def test_what_cannot_be_removed_is_named(root, top, call):
    with pytest.raises(StandbyError, match=f"Cannot remove {top}/base/1/.*no part of the backup") as refused:
        call(root)
    assert refused.value.code == "remove_failed"


@pytest.mark.parametrize(
    "call",
    [_files.empty, lambda top: remove_strangers(Root(None, "", top, Files(), ()))],
    ids=["empty", "strangers of an empty tree"],
)
def test_the_root_of_a_file_system_keeps_its_lost_and_found(top, call):
    (top / "lost+found").mkdir()
    (top / "base/lost+found").mkdir()
    call(str(top))
    assert [path.name for path in top.iterdir()] == ["lost+found"]


@planted
def test_empty_removes_everything_and_nothing_outside(top, outside, kind, plant):
    plant(top / "new", outside)
    _files.empty(str(top))
    assert list(top.iterdir()) == []


@planted
def test_clear_leaves_nothing_but_the_directories_of_the_tree(root, top, outside, kind, plant):
    """One of them may be a mount point."""
    plant(top / "new", outside)
    plant(top / "base/1/new", outside)
    write_tree(top, {"other/file": "x"})
    before = (top / "base/1").stat().st_ino
    _local_tree.clear(root)
    left = {str(path.relative_to(top)) for path in top.rglob("*")}
    assert (left, (top / "base/1").stat().st_ino) == (set(root.directories), before)


def test_clear_takes_a_link_in_place_of_a_directory_away(root, top, outside):
    (top / "base/empty").rmdir()
    (top / "base/empty").symlink_to(outside)
    _local_tree.clear(root)
    assert not (top / "base/empty").is_symlink()


def test_empty_works_through_a_link_to_the_directory(top, tmp_path):
    (tmp_path / "link").symlink_to(top)
    _files.empty(str(tmp_path / "link"))
    assert list(top.iterdir()) == []
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(("group_access", "mode"), [(False, 0o700), (True, 0o750)], ids=["alone", "with group access"])
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o777], ids=oct)
def test_directories_are_made_with_the_mode_of_the_source(tmp_path, group_access, mode, mask):
    root = Root(None, "", str(tmp_path), Files(), ("a", "a/b", "c", "c/ -rf$(id)"), group_access=group_access)
    (tmp_path / "c").mkdir(mode=0o777)
    before = os.umask(mask)
    try:
        _local_tree.make_directories(root)
        _local_tree.make_directories(root)
    finally:
        os.umask(before)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == list(root.directories)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")} == {mode}


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "a").write_text("", encoding="utf-8")
    with pytest.raises(StandbyError, match=f"{tmp_path}/a/b: Not a directory") as refused:
        _local_tree.make_directories(Root(None, "", str(tmp_path), Files(), ("a/b",)))
    assert refused.value.code == "disk_error"


@pytest.mark.parametrize(("change", "mark"), CHANGES)
def test_a_file_is_complete_when_a_survey_says_so(root, top, change, mark):
    change(top)
    assert _local_tree.is_complete(root, root.files.positions()["base/b"]) == (mark == "complete")


def test_a_link_to_a_complete_file_is_not_complete(root, top):
    (top / "base/b").rename(top / "elsewhere")
    (top / "base/b").symlink_to(top / "elsewhere")
    assert not _local_tree.is_complete(root, root.files.positions()["base/b"])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param(nothing_changes, [], id="nothing"),
        pytest.param(lambda top: os.utime(top / "c", ns=(1, 1)), [], id="time"),
        pytest.param(lambda top: (top / "lost+found").mkdir(), [], id="lost+found"),
        pytest.param(lambda top: (top / "c").unlink(), ["c: missing"], id="file missing"),
        pytest.param(lambda top: (top / "base/empty").rmdir(), ["base/empty: missing"], id="directory missing"),
        pytest.param(lambda top: (top / "c").write_text("c", encoding="utf-8"), ["c: 1 bytes, not 0"], id="size"),
        pytest.param(lambda top: (top / "new").mkdir(), ["new: not in the backup"], id="directory more"),
        pytest.param(lambda top: (top / "new").symlink_to("c"), ["new: not in the backup"], id="link more"),
        pytest.param(
            lambda top: (top / "d").hardlink_to(top / "c"),
            ["c: no plain file", "d: not in the backup"],
            id="second name",
        ),
        pytest.param(
            lambda top: shutil.rmtree(top / "base/1"),
            ["base/1/a: missing", "base/1: missing"],
            id="directory with a file",
        ),
    ],
)
def test_difference(root, top, change, found):
    change(top)
    assert _local_tree.difference(root) == sorted(found)


@planted
def test_difference_of_a_kind_in_place_of_a_directory(root, top, outside, kind, plant):
    (top / "base/empty").rmdir()
    plant(top / "base/empty", outside)
    wrong = ["base/empty/deep: not in the backup"]
    if kind != "d":
        wrong = ["base/empty: missing", "base/empty: not in the backup"]
    assert _local_tree.difference(root) == wrong


@planted
def test_difference_of_a_kind_in_place_of_a_file(root, top, outside, kind, plant):
    (top / "c").unlink()
    plant(top / "c", outside)
    assert _local_tree.difference(root) == ["c: 1 bytes, not 0" if kind == "f" else "c: no plain file"]
