# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of Debian's packaging for a cluster, as pg_ctlcluster reads them. Pure. Private to the collection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PackagingFile", "packaging_file"]

# From postgresql-common (PgCommon.pm, read_conf_file): it ends pg_ctlcluster if a line is none of these.
_NOTHING = re.compile(r"\s*(?:#.*)?")
_INCLUDE = re.compile(r"\s*include(?:_dir|_if_exists)?\s*=?\s*'[^']+'\s*(?:#.*)?", re.IGNORECASE)
_QUOTED = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*(?:=|\s)\s*'((?:[^']|''|(?<=\\)')*)'\s*(?:#.*)?")
_BARE = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*(?:=|\s)\s*(-?[A-Za-z0-9][A-Za-z0-9._:/+-]*)\s*(?:#.*)?")


@dataclass(frozen=True)
class PackagingFile:
    """``values`` is what the file sets, by names as they are written; files that it includes are not read.

    ``mistake`` is the number of the first line that pg_ctlcluster does not take, from 1; None without one.
    """

    values: Mapping[str, str]
    mistake: int | None = None


def packaging_file(text: str) -> PackagingFile:
    """What such a file holds."""
    values: dict[str, str] = {}
    mistakes: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        quoted, bare = _QUOTED.fullmatch(line), _BARE.fullmatch(line)
        if _NOTHING.fullmatch(line) or _INCLUDE.fullmatch(line):
            continue
        if quoted is not None:
            values[quoted.group(1)] = re.sub(r"\\(.)", r"\1", quoted.group(2)).replace("''", "'")
        elif bare is not None:
            values[bare.group(1)] = bare.group(2)
        else:
            mistakes.append(number)
    return PackagingFile(values, mistakes[0] if mistakes else None)
