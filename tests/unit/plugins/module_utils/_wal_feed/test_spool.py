# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is let into the spool, and what the server has done there."""

from __future__ import annotations

import gzip
import struct

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_name
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.spool import Cluster, Spool

MIB = 1 << 20
NAME = segment_name(2, 5 * MIB, MIB)


def segment(magic=0xD110, timeline=2, address=5 * MIB, identifier=7, size=MIB):
    head = struct.pack("=HHIQI4xQII", magic, 0x0002, timeline, address, 0, identifier, size, 8192)
    return head + b"x" * (MIB - len(head))


@pytest.fixture
def spool(tmp_path):
    made = Spool(str(tmp_path / "ready"), Cluster(MIB, "7", 0xD110))
    made.make()
    return made


@pytest.fixture
def arrived(tmp_path):
    (tmp_path / "arrived").mkdir()
    return tmp_path / "arrived" / NAME


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "compressed"])
def test_a_segment_waits_for_the_server_alone(spool, arrived, tmp_path, packed):
    arrived.write_bytes(packed(segment()))
    arrived.chmod(0o644)
    assert spool.admit(str(arrived), NAME) is None
    waits = tmp_path / "ready" / NAME
    assert (waits.read_bytes(), waits.stat().st_mode & 0o777) == (segment(), 0o600)
    assert spool.held() == [NAME]
    assert list(arrived.parent.iterdir()) == []


REFUSED = [
    (b"", "it has 0 bytes"),
    (segment()[:-1], f"it has {MIB - 1} bytes, not {MIB}"),
    (segment() + b"x", f"it has {MIB + 1} bytes, not {MIB}"),
    (bytes(MIB), "does not begin as"),
    (segment(magic=0xD113), "begin with D113, not with D110"),
    (segment(timeline=3), "does not begin as"),
    (segment(address=6 * MIB), "begins at 0/600000"),
    (segment(identifier=8), "system identifier 8, not 7"),
    (segment(size=2 * MIB), "segments have"),
    (gzip.compress(segment() + b"x"), "holds more than"),
    (gzip.compress(segment())[:-9], "gzip is damaged"),
    (gzip.compress(gzip.compress(segment())), "bytes, not"),
]


@pytest.mark.parametrize(("content", "why"), REFUSED, ids=[why for _content, why in REFUSED])
def test_nothing_else_is_let_in_and_nothing_of_it_stays(spool, arrived, content, why):
    arrived.write_bytes(content)
    assert why in spool.admit(str(arrived), NAME)
    assert spool.held() == []
    assert list(arrived.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("note", "number"),
    [
        (f"{NAME}\n", 5),
        (segment_name(9, 4711 * MIB, MIB), 4711),
        ("00000003.history\n", None),
        ("", None),
        ("0000000", None),
        (None, None),
    ],
)
def test_what_the_server_has_asked_for_last(spool, tmp_path, note, number):
    if note is not None:
        (tmp_path / "ready" / "asked").write_text(note, encoding="utf-8")
    assert (spool.asked(), spool.held()) == (number, [])


def test_what_the_server_takes_meanwhile_need_not_be_dropped(spool, tmp_path):
    (tmp_path / "ready" / NAME).write_bytes(b"x")
    spool.drop([NAME, segment_name(2, 6 * MIB, MIB)])
    assert spool.held() == []
