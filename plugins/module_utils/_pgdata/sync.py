# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send what is written to the disks while more is still coming. Private to the collection."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._backup import local_tree as _local_tree
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError

__all__ = ["Syncing"]

# The system would begin to write only when a share of the memory is dirty, and the end would wait for all of it.
_PAUSE = 1.0


class Syncing:
    """Syncs the file systems of some places again and again, so that the last sync has little left to do."""

    def __init__(self, places: Sequence[str]) -> None:
        self._places = places
        self._ended = threading.Event()
        self._failure: StandbyError | None = None
        self._thread = threading.Thread(target=self._sync, daemon=True)

    def __enter__(self) -> Syncing:
        self._thread.start()
        return self

    def __exit__(self, failure: object, *_more: object) -> None:
        self._ended.set()
        if failure is None:  # whoever has failed does not wait for a slow disk
            self._thread.join()

    def complete(self) -> None:
        """Wait until everything that was written before is durable. Raises StandbyError when a disk refuses."""
        self._ended.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        _local_tree.sync(self._places)

    def _sync(self) -> None:
        try:
            while not self._ended.wait(_PAUSE):
                _local_tree.sync(filter(os.path.isdir, self._places))
        except StandbyError as failure:
            self._failure = failure
