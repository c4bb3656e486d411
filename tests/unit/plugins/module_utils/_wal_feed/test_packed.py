# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as the real programs compress them, whole, damaged, and too large."""

from __future__ import annotations

import random
import subprocess

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.packed import (
    BrokenFileError,
    packing_of,
    unpack,
)

# What is compressed to about half of it.
_RANDOM = random.Random(0)
TEXT = bytes(_RANDOM.randrange(16) for _byte in range(300_000))
SIZE = len(TEXT)
FORMATS = ["gzip", "bzip2", "xz", "zstd", "lz4"]


@pytest.fixture(params=FORMATS)
def packing(request):
    return request.param


@pytest.fixture
def packed(tmp_path, packing):
    path = tmp_path / "packed"
    path.write_bytes(subprocess.run([packing, "-c"], input=TEXT, stdout=subprocess.PIPE, check=True).stdout)
    return path


def unpacked(path, packing, most=SIZE):
    target = path.with_name("unpacked")
    unpack(str(path), packing, str(target), most)
    return target.read_bytes()


def test_a_format_is_known_by_its_first_bytes(packed, packing):
    assert packing_of(packed.read_bytes()[:40]) == packing


@pytest.mark.parametrize("head", [b"", b"\x10\xd1\x02\x00", b"BZ", b"-----BEGIN PGP MESSAGE-----"])
def test_anything_else_is_none(head):
    assert packing_of(head) is None


def test_it_holds_what_was_put_in(packed, packing):
    assert unpacked(packed, packing) == TEXT


def test_no_more_is_written_than_may_be(packed, packing):
    with pytest.raises(BrokenFileError, match=f"more than {len(TEXT) - 1} bytes"):
        unpacked(packed, packing, len(TEXT) - 1)
    assert packed.with_name("unpacked").stat().st_size < len(TEXT)


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "a byte in the middle": lambda content: bytes([*content[:5000], content[5000] ^ 255, *content[5001:]]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_told(packed, packing, damage):
    packed.write_bytes(DAMAGES[damage](packed.read_bytes()))
    with pytest.raises(BrokenFileError, match=packing):
        unpacked(packed, packing)


@pytest.mark.parametrize("packing", ["zstd", "lz4"], indirect=True)
def test_a_program_that_is_missing_is_named(packed, packing, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StandbyError) as error:
        unpacked(packed, packing)
    assert (error.value.code, f"lacks the program {packing}" in error.value.msg) == ("wal_decompressor_missing", True)
