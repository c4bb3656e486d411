# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a copy has come: in memory, and as a file beside its record that other processes read.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import deque
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import read_note

__all__ = ["Progress", "read_progress"]

_TICK = 1.0

# A rate over this many seconds: long enough to be calm, short enough to tell of a stalled link.
_WINDOW = 30


class Progress:
    """Counts bytes of whole files, whether they are sent, matched or verified; thread-safe.

    Phases: preparing, waiting, comparing, copying, verifying, syncing, committing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._ticker: threading.Thread | None = None
        self._began = time.monotonic()
        self._phase = "preparing"
        self._total = 0
        self._done = 0
        self._in_flight: dict[int, int] = {}
        self._window: deque[tuple[float, int]] = deque()
        self.retries = 0

    def start(self) -> None:
        """Write the file now, in place of an earlier copy's, and from now on about once a second."""
        self._write()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    def stop(self) -> None:
        """Write it no more."""
        self._stopped.set()
        if self._ticker is not None:
            self._ticker.join()

    def enter(self, phase: str, total: int = 0) -> None:
        """A new phase, of so many bytes."""
        with self._guard:
            self._phase, self._total, self._done = phase, total, 0
            self._in_flight.clear()
            self._window.clear()
        self._write()

    def at(self, worker: int, count: int) -> None:
        """A worker has come so far in its current portion."""
        with self._guard:
            self._in_flight[worker] = count

    def add(self, worker: int, count: int) -> None:
        """A worker has finished a portion of so many bytes."""
        with self._guard:
            self._in_flight.pop(worker, None)
            self._done += count

    def retried(self, worker: int) -> None:
        """A worker has to begin its portion again."""
        with self._guard:
            self._in_flight.pop(worker, None)
            self.retries += 1

    def snapshot(self) -> dict[str, Any]:
        """Where the copy is: bytes, rate in bytes per second, ``eta`` and ``seconds`` in seconds; None if unknown."""
        now = time.monotonic()
        with self._guard:
            done = min(self._total, self._done + sum(self._in_flight.values()))
            self._window.append((now, done))
            while now - self._window[0][0] > _WINDOW:
                self._window.popleft()
            since, before = self._window[0]
            rate = (done - before) / (now - since) if now - since >= _TICK / 2 else None
            return {
                "phase": self._phase,
                "bytes": self._total,
                "bytes_done": done,
                "percent": round(100 * done / self._total, 1) if self._total else None,
                "rate": int(rate) if rate else None,
                "eta": int((self._total - done) / rate) if rate else None,
                "seconds": round(now - self._began, 1),
                "retries": self.retries,
            }

    def _tick(self) -> None:
        while not self._stopped.wait(_TICK):
            self._write()

    def _write(self) -> None:
        """A courtesy: that it cannot be written stops no copy."""
        text = json.dumps({**self.snapshot(), "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}) + "\n"
        temporary = f"{self._path}.{threading.get_ident()}"
        with contextlib.suppress(OSError):
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, self._path)


def read_progress(path: str) -> dict[str, Any] | None:
    """What a copy has written last; None if there is nothing to read."""
    return read_note(path)
