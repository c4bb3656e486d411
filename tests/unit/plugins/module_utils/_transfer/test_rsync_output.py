# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
import subprocess

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.rsync_output import (
    Tally,
    names_in,
    progress_of,
    tally_of,
)


@pytest.fixture
def pull(tmp_path):
    """What the real rsync prints when it copies files of these contents."""

    def run(files, *how):
        source, target = os.fsencode(tmp_path / "source"), os.fsencode(tmp_path / "target")
        for top in (source, target):
            os.mkdir(top)
        for name, content in files.items():
            with open(os.path.join(source, os.fsencode(name)), "wb") as stream:
                stream.write(content)
        told = ["--no-human-readable", "--info=progress2,stats2", *how]
        argv = ["rsync", "--recursive", *told, source + b"/", target + b"/"]
        done = subprocess.run(argv, capture_output=True, check=True, env={**os.environ, "LC_ALL": "C"})
        return done.stdout.decode("utf-8", "surrogateescape")

    return run


class TestTally:
    def test_is_what_rsync_moved(self, pull):
        tally = tally_of(pull({"a": os.urandom(100_000), "b": b"", "c": bytes(1_500_000)}))
        assert tally.literal == 1_600_000
        assert tally.received > 0

    def test_counts_no_file_that_was_not_sent(self, pull, tmp_path):
        tally = tally_of(pull({"a": bytes(8192)}, f"--compare-dest={tmp_path}/source"))
        assert tally.literal == 0

    @pytest.mark.parametrize(
        ("output", "tally"),
        [
            pytest.param("", Tally(0, 0), id="nothing"),
            pytest.param("Literal data: 7 bytes\nTotal bytes received: 9\n", Tally(7, 9), id="plain numbers"),
            pytest.param("Literal data: 1,234,567 bytes\n", Tally(1234567, 0), id="with commas"),
            pytest.param("differs:Literal data: 7 bytes\n", Tally(0, 0), id="a file of that name"),
            pytest.param("Matched data: 7 bytes\nTotal bytes sent: 9\n", Tally(0, 0), id="other numbers"),
        ],
    )
    def test_is_read_off_the_statistics_alone(self, output, tally):
        assert tally_of(output) == tally


class TestProgress:
    def test_is_what_rsync_says_of_its_progress(self, pull):
        counts = [progress_of(line) for line in re.split(r"[\r\n]+", pull({"a": bytes(3_000_000), "b": b"bb"}))]
        known = [count for count in counts if count is not None]
        assert known == sorted(known)
        assert known[-1] == 3_000_002

    @pytest.mark.parametrize(
        ("line", "count"),
        [
            ("        1048576  34%    1.00MB/s    0:00:01 (xfr#1, to-chk=0/2)", 1048576),
            ("0 0%", 0),
            ("", None),
            ("17", None),
            ("17 bytes", None),
            ("-1 5% x", None),
            ("Number of files: 3", None),
            ("differs:5 5% x", None),
            ("\u00b2 5%", None),
            ("1,048,576 34%", None),
        ],
    )
    def test_is_a_number_and_a_percentage_and_nothing_else(self, line, count):
        assert progress_of(line) == count


class TestNames:
    HOSTILE = (
        " lead",
        "trail ",
        "two words",
        "it's",
        "$(id)",
        "-rf",
        "line\nfeed",
        "carriage\rreturn",
        "tab\tstop",
        "\x1b[1m",
        "\x1c",
        "differs:",
        "\\#101",
        "\\#1",
        "\\#999",
        "100% 1",
        "ä",
        "\u2028",
        "\udcff",
    )

    def test_are_those_that_rsync_printed_whatever_they_are(self, pull):
        output = pull(dict.fromkeys(self.HOSTILE, b"x"), "--dry-run", "--out-format=differs:%n")
        assert sorted(names_in(output, "differs:")) == sorted(self.HOSTILE)

    @pytest.mark.parametrize(
        ("output", "names"),
        [
            pytest.param("", [], id="nothing"),
            pytest.param("differs:a\nb\n differs:c\n\nNumber of files: 1\n", ["a"], id="other lines"),
            pytest.param("differs:a\u2028b\x0cc\n", ["a\u2028b\x0cc"], id="a line ends with a line feed alone"),
            pytest.param("differs:\\#303\\#244\n", ["ä"], id="a character of several bytes"),
        ],
    )
    def test_are_in_the_lines_that_begin_with_the_mark(self, output, names):
        assert names_in(output, "differs:") == names
