# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _verdict
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import space as _space

GIB = 1 << 30


def codes(verdicts):
    """The errors by their codes; every error has one and tells the next step."""
    found = _verdict.errors(verdicts)
    assert all(verdict.error_code and "Next: " in verdict.msg for verdict in found)
    return [verdict.error_code for verdict in found]


@pytest.mark.parametrize(
    ("needed", "available", "backlog", "expected"),
    [
        pytest.param({"/a": 10}, {"/a": 10}, 0, [], id="exactly"),
        pytest.param({"/a": 11}, {"/a": 10}, 0, ["space_missing"], id="a byte short"),
        pytest.param({"/a": 10}, {"/a": 14}, 5, ["space_missing"], id="WAL does not fit"),
        pytest.param({"/a": 10}, {"/a": 15}, 5, [], id="WAL fits"),
        pytest.param({"/a": 10}, {"/a": 10 + GIB}, 1 << 50, [], id="WAL reserve is bounded"),
        pytest.param({"/a": 10}, {"/a": 10}, -5, [], id="upstream behind the backup"),
        pytest.param({"/a": 10, "/b": 10}, {"/a": 15, "/b": 10}, 5, [], id="WAL goes to the first"),
        pytest.param({"/a": 2, "/b": 2}, {"/a": 1, "/b": 1}, 0, ["space_missing"] * 2, id="both full"),
    ],
)
def test_space(needed, available, backlog, expected):
    assert codes(_space.space(needed, available, backlog)) == expected
