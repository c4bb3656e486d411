# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pwd

import pytest

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def make(tmp_path, run):
    def module(check_mode=False, **options):
        return run("standby_directories", check_mode, data_directory=f"{tmp_path}/main//", os_user=ME, **options)

    return module


def test_all_of_them(tmp_path, make):
    spaces = [{"name": "fast", "oid": 16388, "location": f"{tmp_path}/fast", "bytes": None}]
    expected = [f"{tmp_path}/{name}" for name in ("main", ".main.standby", "wal", "fast")]
    options = {"waldir": f"{tmp_path}/wal", "tablespaces": spaces}
    checked = make(check_mode=True, **options)
    assert (checked["changed"], checked["made"], os.listdir(tmp_path)) == (True, expected, [])
    made = make(**options)
    assert (made["changed"], made["made"]) == (True, expected)
    assert made["diff"]["after"].splitlines() == expected
    assert make(**options)["changed"] is False


def test_a_state_directory_elsewhere(tmp_path, make):
    assert make(state_directory=f"{tmp_path}/state")["made"] == [f"{tmp_path}/main", f"{tmp_path}/state"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"waldir": "wal"}, "path_dangerous"),
        ({"waldir": "/etc"}, "path_dangerous"),
        ({"state_directory": "{top}/main/state"}, "path_overlap"),
        ({"tablespaces": [{"name": "fast", "location": "{top}/main/fast"}]}, "path_overlap"),
    ],
)
def test_places_that_no_database_may_use(tmp_path, make, options, code):
    text = {name: value.format(top=tmp_path) for name, value in options.items() if isinstance(value, str)}
    spaces = [dict(space, location=space["location"].format(top=tmp_path)) for space in options.get("tablespaces", [])]
    refused = make(**text, **({"tablespaces": spaces} if spaces else {}))
    assert (refused["failed"], refused["error_code"]) == (True, code)
    assert os.listdir(tmp_path) == []
