# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the value of a setting means, as a file holds it and as a server shows it: units, booleans. Pure.

PostgreSQL manual of 18, 19.1.1 "Parameter Names and Values". Private to the collection.
"""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["in_unit", "same_value", "truth"]

_TIME = {"us": 1, "ms": 1000, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}

_MEMORY = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}

_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)\s*")

# A whole number that begins with 0 is octal to the server, or hexadecimal (guc.c, parse_int).
_WHOLE = re.compile(r"\s*[-+]?(?:0|[1-9]\d*)\s*[A-Za-z]*\s*")

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def same_value(written: str, shown: str, vartype: str, unit: str) -> bool:
    """Whether a file's text certainly means what pg_settings shows as ``setting`` with this ``vartype`` and ``unit``.

    What only the server knows is not the same here: the aliases of an enum, how a fraction is rounded, in which words
    a text is shown.
    """
    if vartype == "bool":
        return truth(written) == truth(shown)
    if vartype == "enum":
        return written.lower() == shown.lower()
    if vartype == "integer" and not (_WHOLE.fullmatch(written) and _WHOLE.fullmatch(shown)):
        return written == shown
    if vartype in ("integer", "real"):
        amount = in_unit(written, unit)
        return amount is not None and amount == Fraction(shown)
    return written == shown


def truth(value: str) -> bool | None:
    """A boolean: a word or an unambiguous beginning of it; None for any other text."""
    text = value.strip().lower()
    meant = {meaning for word, meaning in _WORDS.items() if text and word.startswith(text)}
    return meant.pop() if len(meant) == 1 else None


def in_unit(text: str, unit: str) -> Fraction | None:
    """A number in the setting's own unit, such as ``ms``, ``kB`` or ``8kB``; None for any other text."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    amount, given = Fraction(match.group(1)), match.group(2)
    if not given:
        return amount
    base = re.fullmatch(r"(\d*)([A-Za-z]+)", unit)
    for units in (_TIME, _MEMORY):
        if base is not None and given in units and base.group(2) in units:
            return amount * units[given] / (units[base.group(2)] * int(base.group(1) or 1))
    return None
