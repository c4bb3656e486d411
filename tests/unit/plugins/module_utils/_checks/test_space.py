# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.space import space
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._checks.verdicts import found

GIB = 1 << 30


@pytest.mark.parametrize(
    ("needed", "available", "wal", "expected"),
    [
        pytest.param({"/srv": 10}, {"/srv": 10}, 0, [], id="just fits"),
        pytest.param({"/srv": 11}, {"/srv": 10}, 0, ["/srv"], id="does not fit"),
        pytest.param({"/srv": 10}, {"/srv": 19}, 10, ["/srv"], id="no room for WAL"),
        pytest.param({"/srv": 10}, {"/srv": 10 + GIB}, 5 * GIB, [], id="no more than 1 GiB is kept for WAL"),
        pytest.param({"/srv": 10}, {"/srv": 10}, -1, [], id="ahead of the upstream"),
        pytest.param({"/srv": 1, "/fast": 10}, {"/srv": 6, "/fast": 10}, 5, [], id="WAL goes to the data directory"),
        pytest.param({"/srv": 2, "/fast": 2}, {"/srv": 1, "/fast": 1}, 0, ["/srv", "/fast"], id="both"),
    ],
)
def test_the_room_of_each_file_system(needed, available, wal, expected):
    verdicts = space(needed, available, wal)
    assert found(verdicts) == [("error", "space_missing")] * len(expected)
    assert [path for path in needed if f"The file system of {path} " in "".join(v.msg for v in verdicts)] == expected
