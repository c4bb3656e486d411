# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose keep it is, and when it goes."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.claims import (
    Step,
    Uses,
    to_claim,
    to_release,
    uses_of,
)

NOW = 1000.0
A, B = {"a": 2000.0}, {"b": 3000.0}
BOTH = {**A, **B}


@pytest.mark.parametrize(
    ("uses", "target", "claims", "ours", "command", "changed"),
    [
        pytest.param(Uses({}), "nokeep", A, True, "keep", True, id="the first one has it kept"),
        pytest.param(Uses(B, True), "full", BOTH, True, None, True, id="the second one joins"),
        pytest.param(Uses({"a": 1500.0}, True), "full", A, True, None, False, id="another run prolongs its claim"),
        pytest.param(Uses({}), "full", A, False, None, True, id="somebody else keeps it"),
        pytest.param(Uses({}), "standalone", A, False, None, True, id="somebody else keeps it less"),
        pytest.param(Uses(A, True), "standalone", A, False, None, False, id="somebody has changed the target since"),
        pytest.param(Uses(BOTH, True), "nokeep", BOTH, True, "keep", True, id="somebody has released it meanwhile"),
        pytest.param(Uses(A, True), "nokeep", A, True, "keep", True, id="a run was killed between record and keep"),
        pytest.param(Uses(A, False), "nokeep", A, True, "keep", True, id="somebody else has released his"),
        pytest.param(Uses({}, True), "full", A, True, None, True, id="what an expired claim has left is taken over"),
    ],
)
def test_a_claim(uses, target, claims, ours, command, changed):
    assert to_claim(uses, target, "a", 2000.0) == Step(Uses(claims, ours), command, changed)


@pytest.mark.parametrize(
    ("uses", "target", "left", "ours", "command", "changed"),
    [
        pytest.param(Uses(A, True), "full", {}, True, "release", True, id="the last one"),
        pytest.param(Uses(BOTH, True), "full", B, True, None, True, id="not the last one"),
        pytest.param(Uses(A), "full", {}, False, None, True, id="somebody else keeps it"),
        pytest.param(Uses(A, True), "standalone", {}, False, None, True, id="somebody has changed the target since"),
        pytest.param(Uses(A, True), "nokeep", {}, False, None, True, id="somebody has released it"),
        pytest.param(Uses({}, True), "full", {}, True, "release", True, id="all others have expired"),
        pytest.param(Uses(B, True), "full", B, True, None, False, id="one that claims nothing"),
        pytest.param(Uses({}), "nokeep", {}, False, None, False, id="a second time"),
    ],
)
def test_a_release(uses, target, left, ours, command, changed):
    assert to_release(uses, target, "a") == Step(Uses(left, ours), command, changed)


def test_what_has_expired_counts_no_longer():
    record = {"claims": {"a": NOW, "b": NOW + 1}, "ours": True, "server": "pg"}
    assert uses_of(record, NOW) == Uses({"b": NOW + 1}, True)
    assert uses_of({}, NOW) == Uses({})
