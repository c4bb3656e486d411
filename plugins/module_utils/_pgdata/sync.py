# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files made durable, also while more of them are written. Private to the collection."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import first_line
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["Syncing", "sync"]

# Seconds. Left alone, the kernel begins to write when a share of the memory is dirty; the last sync would wait for all
# of that.
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
        if failure is None:  # a copy that has failed does not wait for a slow disk
            self._thread.join()

    def complete(self) -> None:
        """Wait until everything that was written before is durable. Raises StandbyError when a disk refuses."""
        self._ended.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        sync(self._places)

    def _sync(self) -> None:
        try:
            while not self._ended.wait(_PAUSE):
                sync(filter(os.path.isdir, self._places))
        except StandbyError as failure:
            self._failure = failure


def sync(paths: Iterable[str]) -> None:
    """Make durable everything on the file systems of these paths. Raises StandbyError when a disk refuses."""
    for path in {os.stat(path).st_dev: path for path in paths}.values():
        done = LocalShell().run(["sync", "--file-system", path], timeout=3600)
        if done.rc != 0:
            raise StandbyError(
                Refusal(
                    "disk_error",
                    f"Cannot sync the file system of {path}: {first_line(done.err)}."
                    " The directory cannot be started; a new run resumes.",
                    "check the disk and its file system (dmesg)",
                ),
                rc=done.rc,
            )
