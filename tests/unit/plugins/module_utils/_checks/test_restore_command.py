# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restore_command run for real, on files that are WAL segments and on others."""

from __future__ import annotations

import struct
import tempfile

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import restore_command as _restore_command
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.restore_command import fetches_segment
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_name
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import SYSTEM_IDENTIFIER
from ansible_collections.pgfleet.standby.tests.waiting import FOR_EVER, is_gone, more_and_more_seconds, wait_until

SIZE = 1 << 20


def at(segment, offset=0):
    return segment * SIZE + offset


def name(segment, timeline=1):
    return segment_name(timeline, at(segment), SIZE)


class TestFetch:
    SEGMENT = name(5)

    @pytest.fixture(autouse=True)
    def _private_tempdir(self, tmp_path, monkeypatch):
        self.scratch = tmp_path / "scratch"
        self.scratch.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(self.scratch))
        self.data = str(tmp_path / "disk" / "data")
        self.archive = tmp_path / "archive"
        self.archive.mkdir()
        self.store()
        yield
        assert list(self.scratch.iterdir()) == []

    def store(self, number=5, identifier=int(SYSTEM_IDENTIFIER), length=SIZE):
        head = struct.pack("=HHIQI4xQII", 0xD110, 2, 1, at(number), 0, identifier, SIZE, 8192)
        (self.archive / self.SEGMENT).write_bytes(head.ljust(length, b"\0"))

    def fetch(self, command, identifier=SYSTEM_IDENTIFIER):
        verdict = fetches_segment(
            command.replace("ARCHIVE", str(self.archive)), self.SEGMENT, SIZE, identifier, self.data
        )
        assert verdict.check == "restore_command"
        assert verdict.severity == "ok" or "Next: " in verdict.msg
        return verdict

    @pytest.mark.parametrize(
        "command",
        [
            "cp ARCHIVE/%f %p",
            'test "$(basename %p)" != %f && cp "ARCHIVE/%f" "%p"',
            "gzip -c ARCHIVE/%f | gunzip >%p",
            "cp ARCHIVE/%f here && mv here %p",
            "test $(stat -c %%a .) = 700 && cp ARCHIVE/%f %p",
            "test %r = 000000000000000000000000 && cp ARCHIVE/%f %p",
            'test "%%f" = "%%""f" && cp ARCHIVE/%f %p',
            'test "%x" = "%""x" && cp ARCHIVE/%f %p',
            'ln -s "ARCHIVE/%f" %p',
        ],
    )
    def test_succeeds(self, command):
        assert self.fetch(command).severity == "ok"
        assert (self.archive / self.SEGMENT).exists()

    @pytest.mark.parametrize(
        ("temporary", "beside", "place"),
        [(2, 2, "scratch"), (1, 2, "disk"), (1, 1, "scratch"), (0, 9, "disk")],
        ids=["there is room", "only beside the data directory", "nowhere", "none at all"],
    )
    def test_is_tried_where_a_segment_has_room(self, tmp_path, monkeypatch, temporary, beside, place):
        (tmp_path / "disk").mkdir()
        rooms = {str(self.scratch): temporary * SIZE, str(tmp_path / "disk"): beside * SIZE}
        monkeypatch.setattr(_restore_command, "has_room", lambda place, size: rooms[place] >= size)
        note = tmp_path / "note"
        assert self.fetch(f"dirname %p >{note}; cp ARCHIVE/%f %p").severity == "ok"
        assert note.read_text(encoding="utf-8").startswith(f"{tmp_path / place}/pgfleet.")
        assert list((tmp_path / "disk").iterdir()) == []

    @pytest.mark.parametrize(
        ("command", "said"),
        [
            ("cp ARCHIVE/none-%f %p", "exit code 1 (cp: cannot stat"),
            ("exit 3", "exit code 3. Next: "),
            ("echo >&2; echo ' first line ' >&2; echo second >&2; exit 2", "exit code 2 (first line)"),
            ("echo WARNING: old >&2; echo Warning: key >&2; echo ERROR: none >&2; exit 1", "exit code 1 (ERROR: none)"),
            ("echo WARNING: old >&2; exit 1", "exit code 1 (WARNING: old)"),
            ("pgfleet-no-such-program %f %p", "exit code 127 ("),
            ("kill -TERM $$", "exit code -15"),
            ("if", "exit code 2 ("),
        ],
    )
    def test_a_command_that_fails(self, command, said):
        verdict = self.fetch(command)
        assert verdict.error_code == "restore_command_fails"
        assert said in verdict.msg

    def test_the_command_is_not_repeated(self):
        assert "Geh3im" not in self.fetch("PGPASSWORD=Geh3im; exit 1").msg

    @pytest.mark.parametrize(
        ("command", "said"),
        [
            ("true", "there is no file at %p"),
            (": >%p", "it has 0 bytes, a segment has 1048576"),
            ("gzip -c ARCHIVE/%f >%p", "bytes, a segment has 1048576"),
            ("mkdir %p", "bytes, a segment has"),
            ("mkfifo %p", "bytes, a segment has"),
            ("head -c 1048576 /dev/zero >%p", "it does not begin as a WAL segment does"),
        ],
    )
    def test_a_file_that_is_not_the_segment(self, command, said):
        verdict = self.fetch(command)
        assert verdict.error_code == "restore_command_wrong_file"
        assert said in verdict.msg

    @pytest.mark.parametrize(
        ("stored", "said"),
        [
            ({"number": 6}, "it begins at 0/600000, not at 0/500000"),
            ({"identifier": 7}, "system identifier 7, not"),
            ({"length": SIZE + 1}, "it has 1048577 bytes"),
        ],
    )
    def test_another_segment_by_its_name(self, stored, said):
        self.store(**stored)
        verdict = self.fetch("cp ARCHIVE/%f %p")
        assert verdict.error_code == "restore_command_wrong_file"
        assert said in verdict.msg

    def test_the_cluster_may_be_unknown(self):
        self.store(identifier=7)
        assert self.fetch("cp ARCHIVE/%f %p", None).severity == "ok"

    def test_a_file_that_cannot_be_read(self):
        verdict = self.fetch("ln -s %p %p")
        assert (verdict.severity, verdict.error_code) == ("error", "restore_command_wrong_file")

    def test_a_command_that_does_not_end_is_ended_with_what_it_started(self, monkeypatch, tmp_path):
        started = tmp_path / "started"
        for seconds in more_and_more_seconds():
            monkeypatch.setattr(_restore_command, "_FETCH_SECONDS", seconds)
            verdict = self.fetch(f"sleep {FOR_EVER} & echo $! >{started}; sleep {FOR_EVER}")
            assert verdict.error_code == "restore_command_fails"
            assert f"did not end within {seconds} seconds" in verdict.msg
            if started.exists() and started.read_text(encoding="utf-8"):
                break
        wait_until(lambda: is_gone(started.read_text(encoding="utf-8").strip()), "the end of what it had started")
