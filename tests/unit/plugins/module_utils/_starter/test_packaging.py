# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.packaging import packaging_file


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("", {}),
        ("  # environment variables for postgres processes", {}),
        ("TZ = UTC", {"TZ": "UTC"}),
        ("TZ UTC # ours", {"TZ": "UTC"}),
        ("LD_LIBRARY_PATH = '/opt/oracle/lib'", {"LD_LIBRARY_PATH": "/opt/oracle/lib"}),
        ("WORDS='it''s \\'so\\'' # ours", {"WORDS": "it's 'so'"}),
        ("EMPTY = ''", {"EMPTY": ""}),
        ("NUMBER=-17", {"NUMBER": "-17"}),
        ("include_dir 'more.d'", {}),
    ],
)
def test_lines_that_pg_ctlcluster_takes(line, values):
    file = packaging_file(f"FIRST = 1\n{line}\n")
    assert (file.values, file.mistake) == ({"FIRST": "1", **values}, None)


@pytest.mark.parametrize(
    "line",
    [
        "LD_LIBRARY_PATH = /opt/oracle/lib",
        "export TZ=UTC",
        'TZ = "UTC"',
        "TZ",
        "TZ = 'UTC",
        "TZ =",
        "TZ = two words",
    ],
)
def test_lines_that_end_it(line):
    file = packaging_file(f"# ours\nFIRST = 1\n{line}\nLAST = 2\n{line}\n")
    assert (file.values, file.mistake) == ({"FIRST": "1", "LAST": "2"}, 3)
