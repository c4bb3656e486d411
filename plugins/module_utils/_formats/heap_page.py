# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page of a table as PostgreSQL stores it: which objects the rows of a catalog are about. Pure.

PostgreSQL manual, "Database Page Layout"; source, storage/bufpage.h, storage/itemid.h and
access/htup_details.h. The layout is the same from 10 to 18. Private to the collection.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["row_numbers"]

# Bytes: a page begins with its header, line pointers follow, and a row begins with a header of its own.
_PAGE_HEADER, _LINE_POINTER, _TUPLE_HEADER = 24, 4, 23

# A server writes pages in the byte order of its machine; on another one the fields of a line pointer are in other bits.
_LITTLE_ENDIAN = struct.pack("=H", 1) == struct.pack("<H", 1)


def row_numbers(page: bytes) -> Iterator[int]:
    """The first column of every row on a page, a deleted row included, as the number of an object (OID).

    Raises ValueError for what is no such page.
    """
    if not _LITTLE_ENDIAN:
        raise ValueError("has pages of another kind")
    lower, upper = struct.unpack_from("=HH", page, 12)
    if lower == 0 and not any(page):
        return  # a page that was added and is not used yet
    if not _PAGE_HEADER <= lower <= upper <= len(page):
        raise ValueError("has a page that makes no sense")
    for place in range(_PAGE_HEADER, lower, _LINE_POINTER):
        (pointer,) = struct.unpack_from("=I", page, place)
        offset, flags = pointer & 0x7FFF, pointer >> 15 & 3
        if flags != 1:  # 1: a row is stored there
            continue
        if not upper <= offset <= len(page) - _TUPLE_HEADER or offset + page[offset + 22] + 4 > len(page):
            raise ValueError("has a row that makes no sense")
        yield struct.unpack_from("=I", page, offset + page[offset + 22])[0]
