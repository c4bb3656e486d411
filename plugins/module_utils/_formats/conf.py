# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a configuration file is written: its settings are read, some are changed, every other line stays. Pure.

The grammar is that of guc-file.l in PostgreSQL's source: ``name [=] value [# comment]``, names without regard to case,
values bare or in single quotes, inside which ``''`` and backslash escapes stand for characters.
Private to the collection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

__all__ = ["INCLUDES", "Setting", "edit", "quote", "read", "revalued"]

# Every byte above ASCII is a letter, that of a no-break space as well; only these three separate words.
_SPACE = r"[ \t\r]"

_ID = r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*"

_LINE = re.compile(
    rf"{_SPACE}*(?P<name>{_ID}(?:\.{_ID})*)"
    rf"(?:{_SPACE}*={_SPACE}*|{_SPACE}+|(?=['+]))"
    r"(?:'(?P<quoted>(?:[^'\\\n]|\\.|'')*)'|(?P<bare>[^ \t\r'#=][^ \t\r'#]*))"
    rf"{_SPACE}*(?:#.*)?",
    re.DOTALL,
)

INCLUDES = frozenset({"include", "include_dir", "include_if_exists"})

_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

_ESCAPE = re.compile(r"''|((?:\\[0-7]{1,3})+)|\\(.)", re.DOTALL)


class Setting(NamedTuple):
    """A line that sets something; ``line`` counts from 0."""

    line: int
    name: str
    value: str


def quote(value: str) -> str:
    """A value as PostgreSQL reads it back. Raises ValueError for what no configuration file can hold."""
    if "\0" in value or "\n" in value or "\r" in value:
        raise ValueError("a setting can hold neither NUL nor line breaks")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _unquoted(text: str) -> str:
    """What is between the quotes; the server's strings end at a NUL."""
    return _ESCAPE.sub(_unescape, text).partition("\0")[0]


def _unescape(match: re.Match[str]) -> str:
    numbers, escaped = match.groups()
    if numbers is not None:  # bytes, of which several may be one character
        return bytes(int(number, 8) & 0xFF for number in numbers[1:].split("\\")).decode("utf-8", "surrogateescape")
    return "'" if escaped is None else _ESCAPES.get(escaped, escaped)


def read(text: str) -> list[Setting]:
    """Every setting in order; the last one of a name is the one that counts."""
    found = []
    for number, line in enumerate(text.split("\n")):
        match = _LINE.fullmatch(line)
        if match is not None:
            quoted = match.group("quoted")
            value = match.group("bare") if quoted is None else _unquoted(quoted)
            found.append(Setting(number, match.group("name").lower(), value))
    return found


def revalued(text: str, value_of: Callable[[Setting], str]) -> str:
    """The text in which each line sets the value that ``value_of`` gives for it; a line with that value stays."""
    lines = text.split("\n")
    for setting in read(text):
        value = value_of(setting)
        if value != setting.value:
            lines[setting.line] = f"{setting.name} = {quote(value)}"
    return "\n".join(lines)


def edit(text: str, wanted: Mapping[str, str], unwanted: Iterable[str] = ()) -> str:
    """The text with each wanted setting in it exactly once and no unwanted one; the same text if so already.

    A wanted setting stands after every include, for what is included may set it, too.
    """
    settings = read(text)
    included = max((setting.line for setting in settings if setting.name in INCLUDES), default=-1)
    occurrences: dict[str, list[Setting]] = {}
    for setting in settings:
        occurrences.setdefault(setting.name, []).append(setting)
    kept = {
        name
        for name, value in wanted.items()
        if [item.value for item in occurrences.get(name, []) if item.line > included] == [value]
        and len(occurrences[name]) == 1
    }
    dropped = (set(wanted) - kept) | {name for name in unwanted if name not in wanted}
    drop = {setting.line for setting in settings if setting.name in dropped}
    lines = [line for number, line in enumerate(text.split("\n")) if number not in drop]
    missing = [f"{name} = {quote(value)}" for name, value in wanted.items() if name not in kept]
    if not drop and not missing:
        return text
    while lines and not lines[-1].strip():
        lines.pop()
    return "\n".join([*lines, *missing, ""])
