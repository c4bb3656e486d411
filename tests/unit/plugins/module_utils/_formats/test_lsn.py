# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn, parse_lsn
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "lsn"),
    [("0/0", 0), ("0/3000028", 0x3000028), ("1/0", 1 << 32), ("16/B374D848", 0x16B374D848), ("0/a", 10)],
)
def test_reads_what_postgresql_prints(text, lsn):
    assert parse_lsn(text) == lsn


@given(st.integers(0, 2**64 - 1))
def test_what_is_printed_is_read_back(lsn):
    assert parse_lsn(format_lsn(lsn)) == lsn


@pytest.mark.parametrize("text", ["", "0", "/", "0/", "0/x", "0/0/0", "0-0"])
def test_refuses_anything_else(text):
    with pytest.raises(ValueError, match=r"not enough values|too many values|invalid literal"):
        parse_lsn(text)
