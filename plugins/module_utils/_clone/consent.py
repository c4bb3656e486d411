# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The levels of ``overwrite``: consent to change what is there. Pure. Private to the collection."""

from __future__ import annotations

__all__ = ["LEVELS", "allows"]

# Each level includes those before it.
LEVELS = ("never", "pristine", "same_cluster", "always")


def allows(given: str, needed: str) -> bool:
    """Whether a level of consent includes another."""
    return LEVELS.index(given) >= LEVELS.index(needed)
