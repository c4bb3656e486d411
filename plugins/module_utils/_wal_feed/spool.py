# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory in which whole segments wait for the server. What is there under its name is whole.

Private to the collection.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._files import (
    fsync_directory,
    private_directory,
    read_small,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_header import HEADER_BYTES, segment_error
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.restore_command import ASKED
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.course import number_of
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.packed import (
    BrokenFileError,
    packing_of,
    unpack,
)

__all__ = ["Cluster", "Spool"]


@dataclass(frozen=True)
class Cluster:
    """Whose segments are let in: ``magic`` is that of their version; with None for one, that is not compared."""

    segment_size: int
    system_identifier: str | None = None
    magic: int | None = None


@dataclass(frozen=True)
class Spool:
    """The segments of one cluster in one directory."""

    path: str
    cluster: Cluster

    def make(self) -> None:
        """Make the directory. Raises StandbyError."""
        private_directory(self.path)

    def held(self) -> list[str]:
        """The names of the segments that wait."""
        return [name for name in os.listdir(self.path) if name != ASKED]

    def asked(self) -> int | None:
        """The number of the segment that the server has asked for last; None if it is not known."""
        try:
            return number_of((read_small(os.path.join(self.path, ASKED)) or "").strip(), self.cluster.segment_size)
        except ValueError:  # the history of a timeline, say, or a note that is being written
            return None

    def free(self) -> int:
        """The bytes that are free for us on the file system."""
        return shutil.disk_usage(self.path).free

    def drop(self, names: Iterable[str]) -> None:
        """Remove segments that the server does not need any more."""
        for name in names:
            try:
                os.unlink(os.path.join(self.path, name))
            except FileNotFoundError:  # the server has taken it meanwhile
                continue

    def admit(self, arrived: str, name: str) -> str | None:
        """Make a file that has arrived the segment that waits under this name; why it is not that segment, or None.

        The file is on the spool's file system, and gone afterwards. A segment becomes visible in one rename, after it
        has been looked at and is on the disk: killing this process, or the host, leaves no part of one.
        """
        whole = f"{arrived}.whole"
        try:
            with open(arrived, "rb") as stream:
                packing = packing_of(stream.read(HEADER_BYTES))
            if packing is None:
                os.rename(arrived, whole)
            else:
                unpack(arrived, packing, whole, self.cluster.segment_size)
            reason = self._look(whole, name)
            if reason is None:
                os.chmod(whole, 0o600)
                os.rename(whole, os.path.join(self.path, name))
                fsync_directory(self.path)
            return reason
        except BrokenFileError as broken:
            return str(broken)
        finally:
            for left in (arrived, whole):
                if os.path.lexists(left):
                    os.unlink(left)

    def _look(self, path: str, name: str) -> str | None:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size != self.cluster.segment_size:
                return f"it has {size} bytes, not {self.cluster.segment_size}"
            head = stream.read(HEADER_BYTES)
            os.fsync(stream.fileno())
        return segment_error(head, name, self.cluster.segment_size, self.cluster.system_identifier, self.cluster.magic)
