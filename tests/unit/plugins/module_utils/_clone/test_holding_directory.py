# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.holding_directory import (
    HOLDING_DIRECTORY,
    HoldingDirectory,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree

FILES = {
    "PG_VERSION": "15\n",
    "base/1/2600": "pages",
    CONTROL: "control",
    "backup_label": "START",
    "postgresql.auto.conf": "jit = on",
}
HELD = {f"{HOLDING_DIRECTORY}/{CONTROL}", f"{HOLDING_DIRECTORY}/postgresql.auto.conf"}
FAST = {"PG_15_202209061/16384/16400": "rows"}


class Tool:
    """The places of a program that fills directories in its own order."""

    def __init__(self, top, run="run"):
        self.top, self.fast = top / "main", top / "fast"
        self.holding = HoldingDirectory(str(self.top), {16388: str(self.fast)}, run)

    def fill(self):
        self.holding.make()
        for place, files in ((self.holding.data, FILES), (self.holding.tablespaces[16388], FAST)):
            write_tree(type(self.top)(place), files)
        return self

    def held(self):
        self.fill()
        self.holding.hold()
        return self


def files_of(top):
    """The names of the plain files."""
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.fixture
def tool(tmp_path):
    for name in ("main", "fast"):
        (tmp_path / name).mkdir()
    return Tool(tmp_path)


class TestPlaces:
    def test_are_inside_of_what_they_are_for(self, tool):
        assert tool.holding.data == f"{tool.top}/{HOLDING_DIRECTORY}/run"
        assert tool.holding.tablespaces == {16388: f"{tool.fast}/{HOLDING_DIRECTORY}/run"}

    def test_are_made_for_us_alone(self, tool):
        tool.holding.make()
        for place in (tool.holding.data, *tool.holding.tablespaces.values()):
            assert os.listdir(place) == []
            assert os.stat(place).st_mode & 0o077 == 0
            assert os.stat(os.path.dirname(place)).st_mode & 0o077 == 0

    def test_tell_how_much_is_there(self, tool):
        assert tool.holding.bytes == 0
        tool.fill()
        assert tool.holding.bytes == sum(map(len, [*FILES.values(), *FAST.values()]))


class TestHold:
    def test_takes_pg_control_out_of_the_way(self, tool):
        assert not tool.holding.whole
        tool.held()
        assert tool.holding.whole
        assert CONTROL in files_of(tool.top / HOLDING_DIRECTORY)
        assert not os.path.exists(tool.holding.data)
        assert f"data/{CONTROL}" not in files_of(tool.top / HOLDING_DIRECTORY)

    def test_fails_where_there_is_none(self, tool):
        tool.fill()
        os.unlink(os.path.join(tool.holding.data, CONTROL))
        with pytest.raises(StandbyError) as caught:
            tool.holding.hold()
        assert caught.value.code == "lift_failed"
        for word in (CONTROL, "No such file", "cannot be started", "Next:"):
            assert word in caught.value.msg


class TestLift:
    def test_brings_everything_but_pg_control_into_its_place(self, tool):
        tool.held().holding.lift()
        assert files_of(tool.top) == {*FILES} - {CONTROL} | HELD
        assert files_of(tool.fast) == {*FAST}
        assert os.listdir(tool.fast) == ["PG_15_202209061"]

    def test_through_a_link_to_the_data_directory(self, tmp_path):
        for name in ("elsewhere", "fast"):
            (tmp_path / name).mkdir()
        (tmp_path / "main").symlink_to("elsewhere")
        Tool(tmp_path).held().holding.lift()
        assert (tmp_path / "main").is_symlink()
        assert (tmp_path / "elsewhere/PG_VERSION").exists()

    @pytest.mark.parametrize("stop", range(7))
    def test_goes_on_where_it_was_interrupted(self, tool, monkeypatch, stop):
        tool.held()
        count = 0
        real = os.rename

        def rename(source, target):
            nonlocal count
            if count == stop:
                raise KeyboardInterrupt
            count += 1
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", rename)
            try:
                tool.holding.lift()
            except KeyboardInterrupt:
                assert not (tool.top / CONTROL).exists()
        again = Tool(tool.top.parent, "another")
        again.holding.lift()
        assert files_of(tool.top) == {*FILES} - {CONTROL} | HELD
        assert files_of(tool.fast) == {*FAST}

    def test_brings_the_settings_as_they_came(self, tool):
        tool.held().holding.lift()
        (tool.top / "postgresql.auto.conf").write_text("changed", encoding="utf-8")
        tool.holding.lift()
        assert read_tree(tool.top)["postgresql.auto.conf"] == FILES["postgresql.auto.conf"]

    def test_says_what_is_in_the_way(self, tool):
        tool.held()
        write_tree(tool.top, {"base/mine": "mine"})
        with pytest.raises(StandbyError) as caught:
            tool.holding.lift()
        assert caught.value.code == "lift_failed"
        assert "base" in caught.value.msg


def test_what_is_there_is_told_as_of_a_backup(tool):
    (tool.top / "lost+found").mkdir()
    tool.held().holding.lift()
    (tool.top / "link").symlink_to("PG_VERSION")
    listed = {entry.path: entry for entry in tool.holding.entries()}
    assert {path for path, entry in listed.items() if entry.kind == "f"} == {
        *(f"data/{name}" for name in FILES),
        *(f"16388/{name}" for name in FAST),
    }
    assert {path for path, entry in listed.items() if entry.kind == "d"} >= {"data/base", "data/global"}
    assert listed["data/link"].kind == "l"
    assert listed["data/base/1/2600"].size == len("pages")


def test_all_attempts_are_removed_and_nothing_else(tool):
    tool.fill()
    Tool(tool.top.parent, "another").held()
    write_tree(tool.top, {"mine": "mine"})
    tool.holding.remove()
    tool.holding.remove()
    assert read_tree(tool.top).keys() == {"mine"}
    assert read_tree(tool.fast) == {}
