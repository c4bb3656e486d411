# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files in a data directory that belong to the host and not to the cluster: configuration, keys, logs.

pg_rewind would replace it by the upstream's, or remove it. Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import private_directory

__all__ = ["HostFiles", "host_file_names", "unwritable"]

_LOGS = ("log", "pg_log")

_CONSENT = "overwrite=same_cluster"

# The cluster's, or of no meaning on another day.
_CLUSTER = re.compile(
    r"PG_VERSION|base|global|pg_(?!log$)\w+|backup_(label|manifest)(\.old)?|tablespace_map(\.old)?|current_logfiles.*"
    r"|postmaster\.(pid|opts)|(standby|recovery)\.signal|recovery\.(conf|done)|promote|lost\+found|core(\.\d+)?"
)


def host_file_names(top: str) -> tuple[str, ...]:
    """The names of the host's own files and directories in a data directory."""
    return tuple(entry.name for entry in _own(top))


def unwritable(top: str) -> list[str]:
    """The host's own files that the user who runs this could not replace: pg_rewind would fail half way on them."""
    return [
        entry.name
        for entry in _own(top)
        if not entry.is_symlink() and entry.stat(follow_symlinks=False).st_uid != os.geteuid()
    ]


def _own(top: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(top) as entries:
        kept = [entry for entry in entries if not _CLUSTER.fullmatch(entry.name) and _can_be_copied(entry)]
    yield from sorted(kept, key=lambda entry: entry.name)


def _can_be_copied(entry: os.DirEntry[str]) -> bool:
    """A socket that a server left cannot, and would be of no use."""
    return entry.is_symlink() or entry.is_dir() or entry.is_file()


class HostFiles:
    """The host's own files of one data directory, while pg_rewind works on it: their ``names`` and their ``place``."""

    def __init__(self, top: str, place: str) -> None:
        self.names: tuple[str, ...] = ()
        self._top = top
        self.place = place

    def set_aside(self) -> None:
        """Copy them to the place, which is emptied before. Raises StandbyError.

        Logs can be large: they are moved if they stay on the file system, and else are lost. Files that must not be
        written by their owner, as keys often are, would end pg_rewind half way (PostgreSQL manual, pg_rewind, Notes).
        """
        self.forget()
        private_directory(self.place)
        logs = []
        try:
            for entry in list(_own(self._top)):
                if entry.name in _LOGS:
                    logs.append(entry.name)
                else:
                    self._copy(entry)
                    self.names += (entry.name,)
        except OSError as failed:
            raise StandbyError(
                Refusal(
                    "write_failed",
                    f"Cannot keep {failed.filename} in {self.place} during the rewind: {failed.strerror}. Nothing was"
                    " changed.",
                    "check its owner, and free space and inodes (df, df -i)",
                )
            ) from failed
        for name in logs:  # the last, for they alone are not there any more if this fails
            with contextlib.suppress(OSError):
                os.rename(os.path.join(self._top, name), os.path.join(self.place, name))
                self.names += (name,)

    def put_back(self) -> None:
        """Replace what pg_rewind has made of them. Raises StandbyError; then they are still in the place."""
        for name in self.names:
            final = os.path.join(self._top, name)
            try:
                if os.path.isdir(final) and not os.path.islink(final):
                    shutil.rmtree(final)
                elif os.path.lexists(final):
                    os.unlink(final)
                shutil.move(os.path.join(self.place, name), final)
            except OSError as failed:
                raise StandbyError(
                    Refusal(
                        "write_failed",
                        f"Cannot bring {name} back from {self.place} to {self._top}: {failed.strerror}. No server"
                        " starts"
                        " on the directory.",
                        f"bring it to a backup's state by a copy with {_CONSENT}",
                    )
                ) from failed

    def forget(self) -> None:
        """Remove the place."""
        if os.path.islink(self.place):
            os.unlink(self.place)  # what it leads to is not ours
        shutil.rmtree(self.place, ignore_errors=True)

    def _copy(self, entry: os.DirEntry[str]) -> None:
        kept = os.path.join(self.place, entry.name)
        if entry.is_dir(follow_symlinks=False):
            shutil.copytree(entry.path, kept, symlinks=True)
        else:
            shutil.copy2(entry.path, kept, follow_symlinks=False)
            if not entry.is_symlink():
                os.chmod(entry.path, entry.stat().st_mode & 0o777 | 0o200)
