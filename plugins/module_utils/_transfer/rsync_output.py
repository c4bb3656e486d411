# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rsync prints: tallies, progress, names. Pure. Private to the collection."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Tally", "names_in", "progress_of", "tally_of"]

_STATISTICS = re.compile(r"^(Literal data|Total bytes received): ([\d,]+)", re.MULTILINE)

_ESCAPED = re.compile(rb"\\#([0-7]{3})")

_NAMES = ("utf-8", "surrogateescape")


class Tally(NamedTuple):
    """What one rsync moved: bytes of files that it sent as they are, and bytes on the wire towards us."""

    literal: int
    received: int


def tally_of(output: str) -> Tally:
    """The tally at the end of the output of ``--info=stats2 --no-human-readable``."""
    found = {name: int(number.replace(",", "")) for name, number in _STATISTICS.findall(output)}
    return Tally(found.get("Literal data", 0), found.get("Total bytes received", 0))


def progress_of(line: str) -> int | None:
    """The bytes that ``--info=progress2 --no-human-readable`` has come to; None for any other line."""
    words = line.split(maxsplit=2)
    return int(words[0]) if len(words) > 1 and words[0].isdecimal() and words[1].endswith("%") else None


def names_in(output: str, mark: str) -> list[str]:
    """The names in the lines that ``--out-format=MARK%n`` printed; odd bytes come as ``\\#`` and three octals."""
    lines = [line[len(mark) :] for line in output.split("\n") if line.startswith(mark)]
    return [_ESCAPED.sub(lambda odd: bytes([int(odd[1], 8)]), _raw(line)).decode(*_NAMES) for line in lines]


def _raw(text: str) -> bytes:
    return text.encode(*_NAMES)
