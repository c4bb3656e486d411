# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose keep it is, and when it goes."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.claims import (
    Claims,
    Seen,
    claims_of,
    renewed,
    to_claim,
    to_release,
)

NOW = 1000.0
A, B = {"a": 2000.0}, {"b": 3000.0}
BOTH = {**A, **B}


@pytest.mark.parametrize(
    ("uses", "target", "claims", "ours", "command", "changed"),
    [
        pytest.param(Claims({}), "nokeep", A, True, "keep", True, id="the first one has it kept"),
        pytest.param(Claims(B, True), "full", BOTH, True, None, True, id="the second one joins"),
        pytest.param(Claims({"a": 1500.0}, True), "full", A, True, None, False, id="another run prolongs its claim"),
        pytest.param(Claims({}), "full", A, False, None, True, id="somebody else keeps it"),
        pytest.param(Claims({}), "standalone", A, False, None, True, id="somebody else keeps it less"),
        pytest.param(Claims(A, True), "standalone", A, False, None, False, id="somebody has changed the target since"),
        pytest.param(Claims(BOTH, True), "nokeep", BOTH, True, "keep", True, id="somebody has released it meanwhile"),
        pytest.param(Claims(A, True), "nokeep", A, True, "keep", True, id="a run was killed between record and keep"),
        pytest.param(Claims(A, False), "nokeep", A, True, "keep", True, id="somebody else has released his"),
        pytest.param(Claims({}, True), "full", A, True, None, True, id="what an expired claim has left is taken over"),
    ],
)
def test_a_claim(uses, target, claims, ours, command, changed):
    step = to_claim(uses, Seen(target), "a", 2000.0)
    assert (step.uses, step.command, step.changed) == (Claims(claims, ours), command, changed)


@pytest.mark.parametrize(
    ("uses", "target", "left", "ours", "command", "changed"),
    [
        pytest.param(Claims(A, True), "full", {}, True, "release", True, id="the last one"),
        pytest.param(Claims(BOTH, True), "full", B, True, None, True, id="not the last one"),
        pytest.param(Claims(A), "full", {}, False, None, True, id="somebody else keeps it"),
        pytest.param(Claims(A, True), "standalone", {}, False, None, True, id="somebody has changed the target since"),
        pytest.param(Claims(A, True), "nokeep", {}, False, None, True, id="somebody has released it"),
        pytest.param(Claims({}, True), "full", {}, True, "release", True, id="all others have expired"),
        pytest.param(Claims(B, True), "full", B, True, None, False, id="one that claims nothing"),
        pytest.param(Claims({}), "nokeep", {}, False, None, False, id="a second time"),
    ],
)
def test_a_release(uses, target, left, ours, command, changed):
    step = to_release(uses, Seen(target), "a")
    assert (step.uses, step.command, step.changed) == (Claims(left, ours), command, changed)


@pytest.mark.parametrize(
    ("uses", "seen", "ours", "taken_over"),
    [
        pytest.param(Claims(A, True, 7), Seen("full", 7), True, False, id="as we made it"),
        pytest.param(Claims(A, True, 7), Seen("full", 8), False, True, id="made again, with our target"),
        pytest.param(Claims(A, True, 7), Seen("standalone", 8), False, True, id="made again, with another target"),
        pytest.param(Claims(A, True, 7), Seen("standalone", 7), False, True, id="another target, at one tick"),
        pytest.param(Claims(A, True), Seen("full", 8), False, True, id="not known whose it is"),
        pytest.param(Claims(A, True, 7), Seen("full"), False, True, id="no longer to be seen"),
        pytest.param(Claims(A, True, 7), Seen("nokeep"), False, False, id="released by hand"),
        pytest.param(Claims(A), Seen("full", 8), False, False, id="never ours"),
    ],
)
def test_a_keep_is_ours_as_long_as_nobody_has_made_it_again(uses, seen, ours, taken_over):
    released = to_release(uses, seen, "a")
    assert (released.command == "release", released.taken_over) == (ours, taken_over)
    claimed = to_claim(uses, seen, "a", 2000.0)
    assert (claimed.command is None and claimed.uses.ours, claimed.taken_over) == (ours, taken_over)


def test_what_has_expired_counts_no_longer():
    record = {"claims": {"a": NOW, "b": NOW + 1}, "ours": True, "server": "pg"}
    assert claims_of(record, NOW) == Claims({"b": NOW + 1}, True)
    assert claims_of({}, NOW) == Claims({})


@pytest.mark.parametrize(
    ("read", "late", "claims"),
    [
        pytest.param(True, {}, {"b": NOW + 1}, id="none is late"),
        pytest.param(True, {"a": NOW}, {"a": NOW + 3600, "b": NOW + 1}, id="somebody still reads"),
        pytest.param(False, {"a": NOW}, {"b": NOW + 1}, id="nobody reads"),
    ],
)
def test_a_late_claim_counts_while_somebody_reads(read, late, claims):
    record = {"claims": {**late, "b": NOW + 1}, "ours": True}
    assert renewed(record, NOW, lambda: read) == Claims(claims, True)


def test_who_reads_is_not_asked_while_every_claim_counts():
    assert renewed({"claims": A}, NOW, lambda: pytest.fail("asked")) == Claims(A)
