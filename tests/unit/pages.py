# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Markdown pages as GitHub shows them: their links, and the anchors of their headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Where a link leads that the built collection cannot follow, because it has no such file.
REPOSITORY = "https://github.com/pgfleet/standby/blob/main/"

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)


class Link(NamedTuple):
    """A link to a file of the repository: the file, and the anchor or nothing."""

    page: Path
    file: Path
    anchor: str


def headings(text: str) -> list[str]:
    """The headings of a page, without the code that looks like one."""
    return _HEADING.findall(_FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """Those of the headings: in lower case, punctuation gone, a hyphen for each space; a number for the second one."""
    found: dict[str, int] = {}
    for heading in headings(text):
        plain = _LINK.sub(lambda link: link["text"], heading)
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        times = found[slug] = found.get(slug, -1) + 1
        if times:
            found[f"{slug}-{times}"] = 0
    return set(found)


def links(page: Path, root: Path) -> Iterator[Link]:
    """The links of a page that lead to files of the repository, by their path or by its address."""
    text = _CODE.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
    for link in _LINK.finditer(text):
        target, _hash, anchor = link["target"].partition("#")
        if target.startswith(REPOSITORY):
            yield Link(page, root / target[len(REPOSITORY) :], anchor)
        elif ":" not in target:
            yield Link(page, (page.parent / target).resolve() if target else page, anchor)


def broken(page: Path, root: Path) -> list[str]:
    """The links of a page that lead to no file, or to no heading of it."""
    wrong = []
    for link in links(page, root):
        if not link.file.exists():
            wrong.append(f"there is no {link.file}")
        elif link.anchor and link.anchor not in anchors(link.file.read_text(encoding="utf-8")):
            wrong.append(f"{link.file} has no heading {link.anchor}")
    return wrong
