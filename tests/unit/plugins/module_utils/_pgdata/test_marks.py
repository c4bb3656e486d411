# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import MARK
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import marks as _marks
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.marks import (
    Marked,
    moved_from,
    recorded,
    still_ours,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree

RUN = "5f" * 16


@pytest.fixture
def places(tmp_path):
    for name in ("pg", "fast"):
        (tmp_path / name).mkdir()
    return {f"{tmp_path}/{name}": f"{tmp_path}/{name}" for name in ("pg", "fast")}


@pytest.fixture
def marks(places):
    return Marked.of(RUN, places)


def test_a_note_is_read_back(marks):
    assert recorded({"marked": marks.noted}) == marks


@pytest.mark.parametrize("state", [{}, {"marked": None}, {"marked": {}}])
def test_a_record_without_a_note_knows_nothing(state):
    assert (recorded(state).run, still_ours(state)) == (None, ())


class TestPut:
    def test_marks_every_directory_for_us_alone(self, marks, places):
        marks.put()
        for place in places:
            assert read_tree(Path(place)) == {MARK: f"{RUN}\n"}
            assert stat.S_IMODE((Path(place) / MARK).stat().st_mode) == 0o600

    def test_a_second_time_changes_nothing(self, marks, tmp_path):
        marks.put()
        before = (tmp_path / "pg" / MARK).stat()
        marks.put()
        assert (tmp_path / "pg" / MARK).stat() == before

    def test_replaces_the_mark_of_another_run(self, marks, tmp_path):
        write_tree(tmp_path / "pg", {MARK: "another\n"})
        marks.put()
        assert read_tree(tmp_path / "pg") == {MARK: f"{RUN}\n"}

    def test_writes_through_no_link(self, marks, tmp_path):
        write_tree(tmp_path, {"precious": "precious"})
        (tmp_path / "pg" / MARK).symlink_to(tmp_path / "precious")
        marks.put()
        assert (tmp_path / "precious").read_text(encoding="utf-8") == "precious"
        assert not (tmp_path / "pg" / MARK).is_symlink()

    @pytest.mark.parametrize("killed_at", ["write", "fsync"])
    def test_leaves_no_file_of_another_name_when_it_is_killed(self, marks, tmp_path, monkeypatch, killed_at):
        """Any other file would make an empty directory a foreign one for the next run."""

        def kill(*_arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(_marks.os, killed_at, kill)
        with pytest.raises(KeyboardInterrupt):
            marks.put()
        assert [path.name for path in (tmp_path / "pg").iterdir()] == [MARK]

    def test_that_fails_is_told(self, marks, tmp_path):
        (tmp_path / "fast").rmdir()
        with pytest.raises(StandbyError, match=f"Cannot write {tmp_path}/fast/{MARK}") as refused:
            marks.put()
        assert refused.value.code == "write_failed"


class TestTakeAway:
    def test_removes_its_own(self, marks, tmp_path):
        marks.put()
        marks.take_away()
        assert read_tree(tmp_path) == {}

    def test_leaves_those_of_another_run_and_what_is_gone(self, marks, tmp_path):
        write_tree(tmp_path / "pg", {MARK: "another\n"})
        (tmp_path / "fast").rmdir()
        marks.take_away()
        assert read_tree(tmp_path) == {f"pg/{MARK}": "another\n"}


def test_only_directories_with_the_mark_are_still_ours(marks, tmp_path):
    marks.put()
    (tmp_path / "fast" / MARK).unlink()
    assert still_ours({"marked": marks.noted}) == (f"{tmp_path}/pg",)


def test_a_directory_is_known_where_it_was_renamed_to(marks, tmp_path):
    state = {"marked": marks.noted}
    (tmp_path / "pg").rename(tmp_path / "pg.old")
    (tmp_path / "pg").mkdir()
    source = f"{tmp_path}/pg"
    assert moved_from(state, source, f"{source}.old")
    assert not moved_from(state, source, source)
    assert not moved_from(state, source, f"{tmp_path}/nothing")


def test_what_is_not_there_cannot_be_noted(tmp_path):
    with pytest.raises(StandbyError) as refused:
        Marked.of(RUN, {"pg": f"{tmp_path}/nothing"})
    assert refused.value.code == "directory_unreadable"
