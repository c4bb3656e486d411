# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import heap_page as _heap_page
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.heap_page import row_numbers
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import HEAP_PAGE, heap_page


def test_the_numbers_of_a_page():
    assert list(row_numbers(heap_page(10, 3373, 16384))) == [10, 3373, 16384]


def test_the_numbers_of_an_empty_page_are_none():
    assert list(row_numbers(heap_page())) == list(row_numbers(bytes(HEAP_PAGE))) == []


@pytest.mark.parametrize("flags", [0, 2, 3], ids=["unused", "redirected", "dead"])
def test_the_numbers_of_a_pointer_to_no_row_are_none(flags):
    assert list(row_numbers(heap_page(16384, flags=flags))) == []


def test_numbers_are_not_read_on_another_kind_of_machine(monkeypatch):
    monkeypatch.setattr(_heap_page, "_LITTLE_ENDIAN", False)
    with pytest.raises(ValueError, match="another kind"):
        list(row_numbers(heap_page(10)))


def test_a_row_outside_of_its_page_is_no_row():
    whole = heap_page(16384)
    with pytest.raises(ValueError, match="makes no sense"):
        list(row_numbers(whole[:-16]))
