# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import in_unit, same_value, truth


@pytest.mark.parametrize(
    ("written", "shown", "vartype", "unit", "same"),
    [
        ("on", "on", "bool", "", True),
        ("true", "on", "bool", "", True),
        ("F", "off", "bool", "", True),
        ("off", "on", "bool", "", False),
        ("LATEST", "latest", "enum", "", True),
        ("latest", "current", "enum", "", False),
        ("host=a", "host=a", "string", "", True),
        ("host=A", "host=a", "string", "", False),
        ("120", "120", "integer", "", True),
        ("30min", "1800000", "integer", "ms", True),
        # How a fraction is rounded, and that 010 is eight, only the server knows.
        (" 1.5 h ", "5400000", "integer", "ms", False),
        ("0770", "0770", "integer", "", True),
        ("010", "10", "integer", "", False),
        ("0x10", "16", "integer", "", False),
        ("-1", "-1", "integer", "8kB", True),
        ("debug", "debug2", "enum", "", False),
        ("1800000", "1800000", "integer", "ms", True),
        ("30 s", "1800000", "integer", "ms", False),
        ("1d", "86400", "integer", "s", True),
        ("1 GB", "131072", "integer", "8kB", True),
        ("16MB", "16384", "integer", "kB", True),
        ("30min", "1800000", "integer", "kB", False),
        ("0.9", "0.9", "real", "", True),
        ("9e-1", "0.9", "real", "", True),
        ("much", "0.9", "real", "", False),
    ],
)
def test_what_a_file_says_and_a_server_shows(written, shown, vartype, unit, same):
    assert same_value(written, shown, vartype, unit) is same


@pytest.mark.parametrize(
    ("text", "meant"),
    [("on", True), ("t", True), ("YES", True), ("1", True), ("of", False), ("n", False), ("o", None), ("maybe", None)],
)
def test_a_boolean_is_a_word_or_its_unambiguous_beginning(text, meant):
    assert truth(text) is meant


@pytest.mark.parametrize("text", ["5 fortnights", "min", "", "1 MB", "5 min 3 s"])
def test_what_is_no_time(text):
    assert in_unit(text, "ms") is None
