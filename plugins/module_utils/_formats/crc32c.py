# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checksum by which PostgreSQL ends pg_control. Pure. Private to the collection.

CRC-32C, the checksum of Castagnoli in the reflected form of iSCSI (PostgreSQL source, port/pg_crc32c.h and
port/pg_crc32c_sb8.c; RFC 3720, appendix B.4).
"""

from __future__ import annotations

__all__ = ["crc32c"]


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _bit in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    """The checksum of these bytes, as a number of 32 bits."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
