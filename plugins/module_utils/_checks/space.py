# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on disk space. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem

__all__ = ["space"]

_WAL_RESERVE = 1 << 30


def space(needed: Mapping[str, int], available: Mapping[str, int], wal_backlog: int) -> list[Verdict]:
    """Whether the bytes fit. ``needed`` and ``available`` are per file system, named by a path on it.

    The first one holds the data directory and gets a reserve for the WAL that replay brings:
    what there is of it, at most 1 GiB.
    """
    found = []
    reserve = min(max(0, wal_backlog), _WAL_RESERVE)
    for place, size in needed.items():
        wanted = size + reserve
        reserve = 0
        if wanted > available[place]:
            found.append(
                problem(
                    "space",
                    Refusal(
                        "space_missing",
                        f"The file system of {place} has {available[place]} bytes free, the clone needs {wanted}.",
                        "make room, or map tablespaces elsewhere by tablespace_mapping",
                    ),
                )
            )
    return found or [Verdict("space", "ok", "the clone fits")]
