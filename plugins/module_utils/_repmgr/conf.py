# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two syntaxes of repmgr.conf: that of repmgr 5 and that of repmgr 4. Pure. Private to the collection.

repmgr 5 reads as PostgreSQL does, though with the narrower words of older servers: what holds a slash, a space or two
dots has to be in quotes. repmgr 4 takes all that stands behind the equal sign, drops quotes anywhere, and a
``#`` ends the value even between quotes. In both, names that differ in case are different names.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf

__all__ = ["Line", "Text", "canonical", "lenient", "strict", "tablespace"]

_LETTER = r"A-Za-z_\u0080-\U0010ffff"

_ID = rf"[{_LETTER}][{_LETTER}0-9]*"

# The longest match counts, and of equally long ones the first.
_TOKENS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("id", _ID),
        ("qualified", rf"{_ID}\.{_ID}"),
        ("string", r"'(?:[^'\\]|\\.|'')*'"),
        ("bare", rf"[{_LETTER}][{_LETTER}0-9\-._:/]*"),
        ("integer", r"[-+]?(?:0x[0-9a-fA-F]+|[0-9]+)[a-zA-Z]*"),
        ("real", r"[-+]?[0-9]*\.[0-9]*(?:[Ee][-+]?[0-9]+)?"),
        ("equals", r"="),
    )
)

_NOTHING = re.compile(r"[ \t\r]+|#.*")

_NAMES = ("id", "qualified")

_VALUES = ("id", "string", "bare", "integer", "real")


class Line(NamedTuple):
    """A line that sets something; ``number`` counts from 1."""

    number: int
    name: str
    value: str


class Text(NamedTuple):
    """What a text sets, in order, and the numbers of the lines that its syntax does not allow."""

    lines: tuple[Line, ...]
    refused: tuple[int, ...]


def strict(text: str) -> Text:
    """As repmgr 5 reads it."""
    return _read(text, _strict_line)


def lenient(text: str) -> Text:
    """As repmgr 4 reads it."""
    return _read(text, _lenient_line)


def _read(text: str, pair_of: Callable[[str], tuple[str, str] | None]) -> Text:
    found, refused = [], []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            pair = pair_of(line)
        except ValueError:
            refused.append(number)
        else:
            if pair is not None:
                found.append(Line(number, *pair))
    return Text(tuple(found), tuple(refused))


def _strict_line(line: str) -> tuple[str, str] | None:
    tokens = list(_tokens(line))
    if not tokens:
        return None
    (kind, name), rest = tokens[0], tokens[1:]
    if rest and rest[0][0] == "equals":
        del rest[0]
    if kind not in _NAMES or len(rest) != 1 or rest[0][0] not in _VALUES:
        raise ValueError(line)
    [(kind, value)] = rest
    return name, _conf.read(f"value = {value}")[0].value if kind == "string" else value


def _tokens(line: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(line):
        nothing = _NOTHING.match(line, at)
        if nothing is not None:
            at = nothing.end()
            continue
        matches = [(kind, match.group()) for kind, pattern in _TOKENS for match in [pattern.match(line, at)] if match]
        if not matches:
            raise ValueError(line)
        kind, text = max(matches, key=lambda found: len(found[1]))
        yield kind, text
        at += len(text)


def _lenient_line(line: str) -> tuple[str, str] | None:
    before, equals, after = line.partition("=")
    name = re.sub(r"[ \t\r]", "", before)
    if not name + equals or name.startswith("#"):
        return None
    # repmgr 4 passes over what is no name. It may be a part of a value that has a line break in it, such as a password.
    if not equals or not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(line)
    return name, after.replace("'", "").partition("#")[0].strip(" \t\r\v\f")


def tablespace(value: str) -> tuple[str, str] | None:
    """The two directories of ``OLD=NEW``, None for other texts. An equal sign in a name has a backslash before it."""
    parts = re.split(r"(?<!\\)=+", value)
    if len(parts) != 2 or not all(parts):
        return None
    old, new = (canonical(part.replace(r"\=", "=")) for part in parts)
    return old, new


def canonical(path: str) -> str:
    """A path in its shortest form, as repmgr keeps it."""
    plain = posixpath.normpath(path)
    return plain[1:] if plain.startswith("//") else plain
