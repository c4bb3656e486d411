# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which WAL a cluster has itself, in its pg_wal. Reads only. Private to the collection."""

from __future__ import annotations

import os

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_header import HEADER_BYTES, segment_error
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_name
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData, DataDir

__all__ = ["end_of_own_wal"]


def end_of_own_wal(pgdata: DataDir, control: ControlData, begin: tuple[int, int]) -> int | None:
    """The position up to which the cluster has all WAL itself, from a position on its timeline on.

    That is the first byte of the last segment in a row: it may be written in part only. A segment counts by what it
    begins with, because a server gives old segments the names of those to come (PostgreSQL source, xlog.c,
    InstallXLogFileSegment). None if it does not have the one that holds the position.
    """
    timeline, lsn = begin
    size, end = control.wal_segment_size, None
    start = lsn - lsn % size
    while _has(pgdata.path, segment_name(timeline, start, size), control):
        end, start = start, start + size
    return end


def _has(path: str, segment: str, control: ControlData) -> bool:
    try:
        with open(os.path.join(path, "pg_wal", segment), "rb") as file:
            head = file.read(HEADER_BYTES)
    except OSError:
        return False
    return segment_error(head, segment, control.wal_segment_size, control.system_identifier) is None
