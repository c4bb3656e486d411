# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WAL files pulled from a Barman host, many in one rsync over one ssh connection. Private to the collection."""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.remote_files import fetch
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.connection import Connection
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.capabilities import cipher_options, probe
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.packed import packing_of, unpack

__all__ = ["INTERRUPTED", "Archive", "Pull"]

# What a process of its own is ended with when it is told to end.
INTERRUPTED = "interrupted"

# Where what has come waits to be looked at, in the working directory.
_ARRIVED = "arrived"

_HISTORY_BYTES = 1 << 20

# How many timelines are asked for at a time.
_TIMELINES = 8


@dataclass(frozen=True)
class Archive:
    """Where Barman has WAL on its host.

    ``wals`` has the segments in directories of their names' first 16 digits, and histories beside these. ``others``
    have whole segments that Barman has not archived yet (Barman manual, ``incoming_wals_directory`` and
    ``streaming_wals_directory``).
    """

    wals: str
    others: tuple[str, ...] = ()


class Pull:
    """One connection to the Barman host. Its socket and what arrives are in the working directory."""

    def __init__(self, barman_host: BarmanHost, archive: Archive, bwlimit: int | None) -> None:
        options = (*barman_host.ssh_options, *cipher_options(barman_host))
        self._connection = Connection(replace(barman_host, ssh_options=options), "ssh-0")
        self._archive = archive
        self._bwlimit = bwlimit
        self._extra: tuple[str, ...] | None = None

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def segments(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Those of these segments that the archive has: their names, and where each has arrived.

        Raises StandbyError.
        """
        shutil.rmtree(_ARRIVED, ignore_errors=True)
        places = {name: posixpath.join(name[:16], name) for name in names}
        return self._bring(self._archive.wals, places, "wals")

    def not_archived(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Those that Barman has and has not archived yet. A directory that we may not read has none."""
        found: dict[str, str] = {}
        for number, directory in enumerate(self._archive.others):
            missing = {name: name for name in names if name not in found}
            try:
                found.update(self._bring(directory, missing, f"other-{number}"))
            except StandbyError as failed:
                if failed.code == INTERRUPTED:
                    raise
        return list(found.items())

    def histories(self, timeline: int) -> dict[int, str]:
        """The history files of the timelines after this one, in a row, as the archive has them. Raises StandbyError."""
        found: dict[int, str] = {}
        while True:
            first = timeline + len(found) + 1
            names = {f"{number:08X}.history": number for number in range(first, first + _TIMELINES)}
            arrived = self._bring(self._archive.wals, {name: name for name in names}, "histories")
            texts = {names[name]: _text(path) for name, path in arrived}
            for number in range(first, first + _TIMELINES):
                if number not in texts:
                    return found
                found[number] = texts[number]

    def _bring(self, directory: str, places: dict[str, str], name: str) -> list[tuple[str, str]]:
        """Fetch files by their places in a directory there; those that are not there are left out.

        ``name`` is that of the directory in which they arrive, and in which no others are afterwards.
        """
        if not places:
            return []
        self._connection.open()
        into = os.path.join(_ARRIVED, name)
        shutil.rmtree(into, ignore_errors=True)
        for below in {posixpath.dirname(place) for place in places.values()}:
            os.makedirs(os.path.join(into, below), mode=0o700, exist_ok=True)
        fetch(self._connection.barman_host, directory, places.values(), into, self._options(), "WAL")
        arrived = [(wanted, os.path.join(into, place)) for wanted, place in places.items()]
        return [(wanted, path) for wanted, path in arrived if os.path.isfile(path) and not os.path.islink(path)]

    def _options(self) -> tuple[str, ...]:
        """rsync's: archiving and backups go first on the Barman host, and a segment that is not there is no failure."""
        if self._extra is None:
            remote = probe(self._connection.barman_host, "none").rsync
            path = () if remote == "rsync" else (f"--rsync-path={remote}",)
            limit = (f"--bwlimit={self._bwlimit}",) if self._bwlimit else ()
            self._extra = ("--ignore-missing-args", *path, *limit)
        return self._extra


def _text(path: str) -> str:
    """What a history file says, compressed or not."""
    with open(path, "rb") as stream:
        head = stream.read(_HISTORY_BYTES)
    packing = packing_of(head)
    if packing is None:
        return head.decode("utf-8", "replace")
    unpack(path, packing, f"{path}.text", _HISTORY_BYTES)
    with open(f"{path}.text", "rb") as stream:
        return stream.read().decode("utf-8", "replace")
