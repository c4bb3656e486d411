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

__all__ = ["HEADER_BYTES", "segment_error"]

# The long header of a segment's first page, as PostgreSQL's xlog_internal.h lays it out (XLogLongPageHeaderData):
# magic, flags, timeline, address, remaining length, padding, system identifier, segment size, block size.
# It has the byte order of the host that wrote it, which has to be that of the standby anyway.
_HEADER = struct.Struct("=HHIQI4xQII")

_LONG_HEADER = 0x0002

HEADER_BYTES = _HEADER.size


def segment_error(head: bytes, segment: str, segment_size: int, system_identifier: str | None = None) -> str | None:
    """Why the first ``HEADER_BYTES`` of a file are not those of the segment, or None.

    The timeline in it may be an older one: a new timeline's first segment begins with what is copied from before.
    Raises ValueError when ``segment`` names none.
    """
    timeline, start = segment_start(segment, segment_size)
    if len(head) < HEADER_BYTES:
        return f"it ends after {len(head)} bytes"
    _magic, flags, written_on, address, _rest, identifier, size, _block = _HEADER.unpack(head[:HEADER_BYTES])
    if not flags & _LONG_HEADER or not 1 <= written_on <= timeline:
        return "it does not begin as a WAL segment does"
    if size != segment_size:
        return f"it says that segments have {size} bytes, not {segment_size}"
    if address != start:
        return f"it begins at {format_lsn(address)}, not at {format_lsn(start)}"
    if system_identifier is not None and str(identifier) != system_identifier:
        return f"it is of the cluster with system identifier {identifier}, not {system_identifier}"
    return None
