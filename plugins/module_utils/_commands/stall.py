# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notice a program that waits for the link without end and does not notice it itself. Private to the collection."""

from __future__ import annotations

import time

from ansible_collections.pgfleet.standby.plugins.module_utils._commands import processes as _processes

__all__ = ["Stall"]

_LOOKS = 10  # within the time for which the programs may read nothing


class Stall:
    """How long the programs of one process group have read nothing, neither from the link nor from a disk.

    The rsync that receives does not apply its --timeout while the far end is stuck but connected: its own
    messages to keep the connection alive count for it (seen with 3.5.0).
    """

    def __init__(self, group: int, seconds: float) -> None:
        self._group = group
        self._seconds = seconds
        self._read = -1
        self._since = self._looked = time.monotonic()

    def is_too_long(self) -> bool:
        """Whether the programs have read nothing for that many seconds. Looks at the processes only now and then."""
        now = time.monotonic()
        if now - self._looked < self._seconds / _LOOKS:
            return False
        self._looked = now
        read = sum(_processes.bytes_read(pid) for pid, _stat in _processes.group(self._group))
        if read != self._read:
            self._read, self._since = read, now
        return now - self._since >= self._seconds
