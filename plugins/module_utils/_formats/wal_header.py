# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first bytes of a WAL segment: whether a file is the segment that its name says. Pure.

Private to the collection.
"""

from __future__ import annotations

import struct

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_start

__all__ = ["HEADER_BYTES", "page_magic", "segment_error"]

# The long header of a segment's first page, as PostgreSQL's xlog_internal.h lays it out (XLogLongPageHeaderData):
# magic, flags, timeline, address, remaining length, padding, system identifier, segment size, block size.
# It has the byte order of the host that wrote it, which has to be that of the standby anyway.
_HEADER = struct.Struct("=HHIQI4xQII")

_LONG_HEADER = 0x0002

HEADER_BYTES = _HEADER.size

# XLOG_PAGE_MAGIC of xlog_internal.h by the major version; tests/servers/test_wal_feed.py asks every server.
_PAGE_MAGIC = {
    10: 0xD097,
    11: 0xD098,
    12: 0xD101,
    13: 0xD106,
    14: 0xD10D,
    15: 0xD110,
    16: 0xD113,
    17: 0xD116,
    18: 0xD118,
}


def page_magic(major: int | None) -> int | None:
    """The number with which every page of the WAL of a major version begins; None if that is not known here."""
    return None if major is None else _PAGE_MAGIC.get(major)


def segment_error(
    head: bytes, segment: str, segment_size: int, system_identifier: str | None = None, magic: int | None = None
) -> str | None:
    """Why the first ``HEADER_BYTES`` of a file are not those of the segment, or None.

    ``magic`` is that of the version that is to read it; None is for any. The timeline in it may be an older one: a new
    timeline's first segment begins with what is copied from before. Raises ValueError when ``segment`` names none.
    """
    timeline, start = segment_start(segment, segment_size)
    if len(head) < HEADER_BYTES:
        return f"it ends after {len(head)} bytes"
    found, flags, written_on, address, _rest, identifier, size, _block = _HEADER.unpack(head[:HEADER_BYTES])
    if not flags & _LONG_HEADER or not 1 <= written_on <= timeline:
        return "it does not begin as a WAL segment does"
    if magic is not None and found != magic:
        return f"its pages begin with {found:04X}, not with {magic:04X} as those of this version do"
    if size != segment_size:
        return f"it says that segments have {size} bytes, not {segment_size}"
    if address != start:
        return f"it begins at {format_lsn(address)}, not at {format_lsn(start)}"
    if system_identifier is not None and str(identifier) != system_identifier:
        return f"it is of the cluster with system identifier {identifier}, not {system_identifier}"
    return None
