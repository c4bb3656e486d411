# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.left_slot import (
    UpstreamSlot,
    left_slot,
    warning_of,
)

OLD = UpstreamSlot("n1", ("a",), "5432")


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        pytest.param(OLD, OLD, None, id="nothing changes"),
        pytest.param(None, OLD, None, id="there was none"),
        pytest.param(OLD, None, OLD, id="without a slot from now on"),
        pytest.param(OLD, UpstreamSlot("n2", ("a",), "5432"), OLD, id="another slot"),
        pytest.param(OLD, UpstreamSlot("n1", ("b",), "5432"), OLD, id="another host"),
        pytest.param(OLD, UpstreamSlot("n1", ("a",), "5433"), OLD, id="another port"),
    ],
)
def test_which_slot_is_left(before, after, left):
    assert left_slot(before, after) == left


def test_a_slot_is_that_of_the_settings():
    assert UpstreamSlot.of("n1", {"host": "a,b", "port": "1"}) == UpstreamSlot("n1", ("a", "b"), "1")
    assert UpstreamSlot.of("n1", {}) == UpstreamSlot("n1", (), "5432")
    assert UpstreamSlot.of("", {"host": "a"}) is None


def test_the_warning_has_the_statement():
    said = warning_of(UpstreamSlot("n1", ("a", "b"), "5433")).msg
    assert "slot n1 of the server a or b, port 5433" in said
    assert "Next: " in said
    assert said.endswith("run there: SELECT pg_drop_replication_slot('n1').")
