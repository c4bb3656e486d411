# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WAL positions as text and as numbers. Pure. Private to the collection."""

from __future__ import annotations

__all__ = ["format_lsn", "parse_lsn"]


def parse_lsn(text: str) -> int:
    """The byte position of ``0/3000028``. Raises ValueError on anything else."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def format_lsn(lsn: int) -> str:
    """The way PostgreSQL prints a position: ``0/3000028``."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
