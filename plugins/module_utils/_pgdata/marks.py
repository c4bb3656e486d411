# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an unfinished copy knows the directories that it had begun to fill: not by their paths, for a path may hold
something else by then.

Each of them holds a small file with a name that the run alone has, and the record notes the same name with the device
and the inode of each. Servers ignore the file. It goes with the end of the copy. Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import boot_id, fsync_directory, read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._model import MARK

__all__ = ["Marked", "moved_from", "recorded", "still_ours"]


@dataclass(frozen=True)
class Marked:
    """Directories of one run. ``roots`` has the device and the inode of each by its path.

    ``boot`` is the one in which they were looked at. ``run`` is the name in their marks, None if they have no mark: as
    the one that pg_rewind works on, which would remove it, and those that are renamed aside.
    """

    run: str | None
    roots: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    boot: str = ""

    @classmethod
    def of(cls, run: str | None, places: Mapping[str, str]) -> Marked:
        """The directories that these paths are to name, and where each of them is now. Raises StandbyError."""
        return cls(run, {path: _identity(place) for path, place in places.items()}, boot_id())

    @property
    def noted(self) -> dict[str, Any]:
        """For the record."""
        return {"run": self.run, "roots": {path: list(root) for path, root in self.roots.items()}, "boot": self.boot}

    def put(self) -> None:
        """Write the mark into every directory, durably. Raises StandbyError.

        It is made in place: what is left of it if the run is killed is a file of no other name.
        """
        for place in self.roots:
            path = os.path.join(place, MARK)
            if _text(path) == self.run:
                continue
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                try:
                    os.write(handle, f"{self.run}\n".encode())
                    os.fsync(handle)
                finally:
                    os.close(handle)
                fsync_directory(place)
            except OSError as failed:
                raise StandbyError(
                    Refusal(
                        "write_failed",
                        f"Cannot write {path}: {failed.strerror}. Nothing that was there was changed.",
                        "check the owner of the directory, and free space and inodes (df, df -i)",
                    )
                ) from failed

    def take_away(self) -> None:
        """Remove the marks of this run. One that stays does no harm."""
        for place in self.roots:
            path = os.path.join(place, MARK)
            if _text(path) == self.run:
                with contextlib.suppress(OSError):
                    os.unlink(path)


def recorded(state: Mapping[str, Any]) -> Marked:
    """What a record notes; nothing if it has no note, as one of an earlier release."""
    noted = state.get("marked") or {}
    roots = {str(path): (int(root[0]), int(root[1])) for path, root in noted.get("roots", {}).items()}
    return Marked(noted.get("run"), roots, str(noted.get("boot", "")))


def still_ours(state: Mapping[str, Any]) -> tuple[str, ...]:
    """The directories that the record of an unfinished run notes and that are still those, by their paths.

    Each is the same directory, and holds the mark of the run if the run has marked its directories.
    """
    marked = recorded(state)
    return tuple(
        path
        for path in marked.roots
        if _is_same(marked, path, path) and marked.run in (None, _text(os.path.join(path, MARK)))
    )


def moved_from(state: Mapping[str, Any], source: str, target: str) -> bool:
    """Whether what is at ``target`` is the directory that the record notes for ``source``."""
    return _is_same(recorded(state), source, target)


def _is_same(marked: Marked, noted: str, path: str) -> bool:
    """Whether a path leads to the directory that is noted for another, or the same, path.

    By device and inode; by the inode alone after a start of the host, which may give devices other numbers.
    """
    if noted not in marked.roots:
        return False
    try:
        found = _identity(path)
    except StandbyError:
        return False
    return found == marked.roots[noted] or (marked.boot != boot_id() and found[1] == marked.roots[noted][1])


def _identity(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "directory_unreadable",
                f"Cannot look at directory {path}: {failed.strerror}.",
                "give it to the database's OS user",
            )
        ) from failed
    return status.st_dev, status.st_ino


def _text(path: str) -> str | None:
    """What a mark says; None for a link, which somebody else has made."""
    if os.path.islink(path):
        return None
    with contextlib.suppress(OSError):
        text = read_small(path)
        return text.strip() if text is not None else None
    return None
