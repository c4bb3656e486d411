# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pg_rewind's words mean: lines as the programs of 12 to 18 and their servers write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.failures import FAILURES, complaint, helps

PAGE = (Path(__file__).parents[5] / "docs/troubleshooting.md").read_text(encoding="utf-8")
_FAILED = 'pg_rewind: error: connection to server at "p" (10.0.0.1), port 5432 failed: '


@pytest.mark.parametrize(
    ("said", "part_of_step"),
    [
        ('target server needs to use either data checksums or "wal_log_hints = on"', "wal_log_hints=on"),
        ("could not find previous WAL record at 0/2000100", "restore_command"),
        ('could not open file "/srv/pg/pg_wal/000000010000000000000002": No such file or directory', "restore_command"),
        ('could not restore file "000000010000000000000002" from archive', "restore_command"),
        ("could not find common ancestor of the source and target cluster's timelines", "clone it anew"),
        ("source and target clusters are from different systems", "upstream_conninfo"),
        ("clusters are not compatible with this version of pg_rewind", "pg_bindir"),
        ("target server must be shut down cleanly", "crash recovery"),
        ("source data directory must be shut down cleanly", "crash recovery"),
        ("source server must not be in recovery mode", "PostgreSQL 14"),
        ("full_page_writes must be enabled in the source server", "full_page_writes=on"),
        ('"full_page_writes" must be enabled in the source server', "full_page_writes=on"),
        ("could not fetch file list: ERROR:  permission denied for function pg_ls_dir", "pg_ls_dir"),
        ('could not write file "base/5/2619": No space left on device', "df -i"),
    ],
)
def test_what_helps(said, part_of_step):
    lines = ["pg_rewind: connected to server", f"pg_rewind: error: {said}"]
    assert complaint(lines) == said
    assert part_of_step in (helps(lines) or "")


@pytest.mark.parametrize(
    ("said", "part_of_step"),
    [
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.2", user "r", database "postgres"', "database postgres"),
        ('FATAL:  password authentication failed for user "r"', ".pgpass"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ("Connection refused", "firewall"),
    ],
)
def test_a_login_that_fails(said, part_of_step):
    assert complaint([f"{_FAILED}{said}"]).endswith(said)
    assert part_of_step in (helps([f"{_FAILED}{said}"]) or "")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "it said nothing"),
        (["one", "two"], "two"),
        (["pg_rewind: error: first", "more", "pg_rewind: fatal: second"], "first"),
        (["/usr/bin/pg_rewind: warning: x", "pg_rewind: detail: y", "pg_rewind: fatal: second"], "second"),
        (
            ["pg_rewind: error: could not read x", "pg_rewind: error: No space left on device"],
            "No space left on device",
        ),
    ],
    ids=["nothing", "no error", "the first error", "no warning", "what is known"],
)
def test_the_line_that_tells(lines, said):
    assert complaint(lines) == said


def test_of_words_that_are_not_known_nothing_helps():
    assert helps(["pg_rewind: error: something new"]) is None


def test_each_has_a_row_for_people():
    assert [step for _words, step in FAILURES if f"| {step} |" not in PAGE] == []
