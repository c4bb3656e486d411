# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_header import (
    HEADER_BYTES,
    page_magic,
    segment_error,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_name

MIB = 1 << 20
SIZE = 16 * MIB
NAME = segment_name(2, 5 * SIZE, SIZE)


def header(flags=0x0002, timeline=2, address=5 * SIZE, identifier=7, size=SIZE):
    return struct.pack("=HHIQI4xQII", 0xD110, flags, timeline, address, 0, identifier, size, 8192)


@pytest.mark.parametrize("timeline", [1, 2])
def test_the_header_of_the_segment(timeline):
    assert segment_error(header(timeline=timeline) + b"more", NAME, SIZE, "7") is None
    assert segment_error(header(timeline=timeline), NAME, SIZE) is None


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"", "ends after 0 bytes"),
        (b"\0" * HEADER_BYTES, "does not begin as"),
        (b"\x1f\x8b" * HEADER_BYTES, "does not begin as"),
        (header(flags=0), "does not begin as"),
        (header(timeline=3), "does not begin as"),
        (header(address=6 * SIZE), "begins at 0/6000000, not at 0/5000000"),
        (header(size=MIB), f"have {MIB} bytes, not {SIZE}"),
        (header(identifier=8), "system identifier 8, not 7"),
    ],
)
def test_the_header_of_something_else(head, why):
    assert why in segment_error(head, NAME, SIZE, "7")


def test_the_magic_is_that_of_the_version():
    assert segment_error(header(), NAME, SIZE, "7", page_magic(15)) is None
    assert "begin with D110, not with D113" in segment_error(header(), NAME, SIZE, "7", page_magic(16))


@pytest.mark.parametrize("major", [None, 9, 99])
def test_the_magic_of_an_unknown_version_is_not_compared(major):
    assert page_magic(major) is None
    assert segment_error(header(), NAME, SIZE, "7", page_magic(major)) is None
