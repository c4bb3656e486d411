# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.pgfleet.standby.plugins.filter.standby_slot_name import standby_slot_name
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("name", ["n1", "db_1", "a" * 63])
def test_a_name_that_a_server_takes_stays(name):
    assert standby_slot_name(name) == name


def test_any_other_becomes_one_that_can_be_recognised():
    assert standby_slot_name("DB-1.example.org").startswith("db_1_example_org_")


@given(st.text(), st.text())
def test_a_server_takes_all_and_different_hosts_stay_different(one, other):
    names = [standby_slot_name(one), standby_slot_name(other)]
    assert all(re.fullmatch("[a-z0-9_]{1,63}", name) for name in names)
    assert (names[0] == names[1]) == (one == other)
