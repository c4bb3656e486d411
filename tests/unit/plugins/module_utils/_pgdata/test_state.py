# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import (
    ResultFile,
    now,
    read_clone_state,
    save_state,
    sweep,
)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "lock")


class TestResultFile:
    @pytest.fixture
    def file(self, tmp_path):
        return ResultFile(str(tmp_path))

    def test_holds_nothing_until_there_is_a_result(self, file):
        assert file.read() is None
        file.reserve()
        assert file.read() is None

    @pytest.mark.parametrize("size", [0, 10, 100_000])
    def test_gives_back_what_was_written(self, file, size):
        result = {"run": "x", "error": {"stderr": "ü" * size}}
        file.reserve()
        file.write(result)
        assert file.read() == result

    @pytest.mark.parametrize("text", ["", "{", "7"])
    def test_that_makes_no_sense_holds_nothing(self, tmp_path, file, text):
        (tmp_path / "result.json").write_text(text, encoding="utf-8")
        assert file.read() is None

    def test_forgets_the_result_of_an_earlier_copy(self, file):
        file.reserve()
        file.write({"run": "x"})
        file.reserve()
        assert file.read() is None

    def test_takes_its_room_at_the_beginning(self, tmp_path, file):
        """So a result can be told when the disk is full."""
        file.reserve()
        there = (tmp_path / "result.json").stat()
        file.write({"run": "x"})
        assert (there.st_size, (tmp_path / "result.json").stat().st_ino) == (16 << 10, there.st_ino)

    def test_that_is_gone_stops_nobody(self, tmp_path, file):
        file.write({"run": "x"})
        assert list(tmp_path.iterdir()) == []

    def test_does_not_write_through_a_link(self, tmp_path, file):
        (tmp_path / "precious").write_text("precious", encoding="utf-8")
        (tmp_path / "result.json").symlink_to("precious")
        file.write({"run": "x"})
        assert (tmp_path / "precious").read_text(encoding="utf-8") == "precious"


def test_what_is_saved_is_read_back(tmp_path):
    save_state(str(tmp_path), phase="copying", targets=["/a"], digest=None)
    assert read_clone_state(str(tmp_path)) == {"phase": "copying", "targets": ["/a"], "digest": None}


def test_a_record_that_may_not_be_read_is_refused(tmp_path):
    (tmp_path / "state.json").mkdir()  # not even root may read that as a file
    with pytest.raises(StandbyError, match=f"Cannot read {tmp_path}/state.json: ") as refused:
        read_clone_state(str(tmp_path))
    assert refused.value.code == "state_unreadable"


def test_what_a_killed_run_had_begun_to_write_is_swept_away_and_nothing_else(tmp_path):
    kept = {"lock", "runner", "state.json", "result.json", "progress.json", ".other", "state.json.mine"}
    for name in (*kept, ".state.json.ab12", ".result.json.ab12", "progress.json.140"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    sweep(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_now_is_in_utc(monkeypatch):
    monkeypatch.setattr(time, "gmtime", lambda: time.struct_time((2026, 11, 21, 15, 2, 3, 5, 325, 0)))
    assert now() == "2026-11-21T15:02:03Z"
