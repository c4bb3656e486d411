# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dry walk of all that a copy is about to remove or to change: what it could not, it says before it begins.

Changes nothing. Private to the collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ansible_collections.pgfleet.standby.plugins.module_utils import _files
from ansible_collections.pgfleet.standby.plugins.module_utils._backup import local_tree as _local_tree
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Files, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Target
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = [
    "require_no_mount_point_inside",
    "require_removable",
    "require_removable_whole",
    "unremovable",
    "unremovable_whole",
]

# ioctl_iflags(2): FS_IOC_GETFLAGS of a 64-bit kernel, FS_IMMUTABLE_FL and FS_APPEND_FL.
_GET_FLAGS, _FIXED = 0x80086601, 0x10 | 0x20

# So many are told by name.
_NAMES = 5


@dataclass(frozen=True)
class _Tree:
    """A directory of which some entries go and the others, its own directories and the backup's files, are changed."""

    top: str
    goes: tuple[str, ...]


def require_removable(roots: Iterable[Root], action: str, target: Target) -> None:
    """That a copy of these trees could remove and change all that it would. Raises StandbyError with one reason."""
    _raise_first(unremovable(roots, action, target))


def require_removable_whole(target: Target) -> None:
    """The same of a copy before which all its directories are emptied. Raises StandbyError with one reason."""
    _raise_first(unremovable_whole(target))


def unremovable(roots: Iterable[Root], action: str, target: Target) -> list[Refusal]:
    """Every reason why a copy could not remove or change what it would. ``action`` is the copy's.

    Raises StandbyError for a directory that cannot be listed.
    """
    trees = []
    for root in roots:
        if os.path.isdir(root.target):
            whole = replace(root, files=Files()) if action == "replace" else root
            trees.append(_Tree(root.target, tuple(_local_tree.survey(whole).strangers)))
    if target.waldir is not None:
        trees += _whole([target.waldir])
    return _reasons(trees)


def unremovable_whole(target: Target) -> list[Refusal]:
    """Every reason why the directories of a copy could not be emptied. Raises StandbyError as above."""
    return _reasons(_whole([target.data_directory, *target.places_outside]))


def require_no_mount_point_inside(target: Target, method: str) -> None:
    """That nothing is mounted in the data directory: a method that renames what it has filled cannot rename over that.

    Raises StandbyError.
    """
    top = os.path.realpath(target.data_directory)
    inside = [point for point in _files.mount_points() if point.startswith(top + "/")]
    if inside:
        raise StandbyError(
            Refusal(
                "mount_point_inside",
                f"{', '.join(inside)} is a mount point inside of {target.data_directory}, over which nothing can be"
                " renamed. Nothing was changed.",
                f"use method rsync, or waldir for the WAL, instead of {method}",
            )
        )


def _raise_first(reasons: Sequence[Refusal]) -> None:
    for refusal in reasons:
        raise StandbyError(refusal)


def _whole(places: Iterable[str]) -> list[_Tree]:
    there = [place for place in places if os.path.isdir(place)]
    return [_Tree(place, tuple(set(os.listdir(place)) - _files.NO_CONTENT)) for place in there]


def _reasons(trees: Iterable[_Tree]) -> list[Refusal]:
    mounted = _files.mount_points()
    walk = _DryWalk()
    for tree in trees:
        walk.look(tree, mounted)
    found = []
    if walk.borders:
        found.append(
            Refusal(
                "mount_point_inside",
                f"The copy would remove what another file system holds: {_named(walk.borders)}. Nothing was changed.",
                "unmount it, or mount it elsewhere; the WAL's may be mounted at pg_wal, or named by waldir",
            )
        )
    if walk.fixed:
        found.append(
            Refusal(
                "not_removable",
                f"The copy would remove or replace what this user cannot: {_named(walk.fixed)}. Nothing was changed.",
                "look at the owner, the mode, the attributes (lsattr) and the file system of each, and remove it"
                " yourself or give it to the database's OS user",
            )
        )
    if walk.others:
        found.append(
            Refusal(
                "directory_not_writable",
                f"Directories of the cluster belong to another user: {_named(walk.others)}. Nothing was changed.",
                "give them to the database's OS user",
            )
        )
    return found


def _named(paths: Sequence[str]) -> str:
    told = sorted(paths)
    more = f", and {len(told) - _NAMES} more" if len(told) > _NAMES else ""
    return ", ".join(told[:_NAMES]) + more


class _DryWalk:
    """What has been found: ``borders`` are other file systems in what goes, ``fixed`` is what cannot be removed or
    replaced, ``others`` are directories that stay and are other users'.
    """

    def __init__(self) -> None:
        self.borders: list[str] = []
        self.fixed: list[str] = []
        self.others: list[str] = []
        self._user = os.geteuid()
        self._without_flags: set[int] = set()

    def look(self, tree: _Tree, mounted: Sequence[str]) -> None:
        """Add what there is of a tree. Raises StandbyError for a directory that cannot be listed."""
        top = os.path.realpath(tree.top)
        borders = self._other_file_systems(top, tree.goes, mounted)
        self.borders += borders
        goes = set(tree.goes)
        above: dict[str, os.stat_result | None] = {}
        for path, status in _files.walk(top, lambda path, _status: os.path.join(top, path) not in borders):
            place = os.path.join(top, path)
            parent = os.path.dirname(place)
            if parent not in above:
                above[parent] = self._writable(parent, top)
            if os.path.dirname(path) in goes:
                goes.add(path)
            if not self._is_free(place, status, above[parent]):
                self.fixed.append(place)
            elif path not in goes and stat.S_ISDIR(status.st_mode) and self._user not in (0, status.st_uid):
                self.others.append(place)

    def _other_file_systems(self, top: str, goes: Iterable[str], mounted: Sequence[str]) -> set[str]:
        places = (os.path.join(top, name) for name in goes)
        borders: set[str] = set()
        for directory in (place for place in places if os.path.isdir(place) and not os.path.islink(place)):
            with contextlib.suppress(FileNotFoundError):  # a server that is yet to be stopped removes files as well
                borders.update(_files.other_file_systems(directory, mounted))
        return borders

    def _writable(self, directory: str, top: str) -> os.stat_result | None:
        """The status of a directory whose entries we may remove, or could after ``top`` has got its mode; else None."""
        try:
            status = os.stat(directory)
            if self._is_fixed(directory, status):
                return None
            if os.access(directory, os.W_OK | os.X_OK):
                return status
            mode_is_ours = directory == top and status.st_uid == self._user
            return status if mode_is_ours and not os.statvfs(directory).f_flag & os.ST_RDONLY else None
        except FileNotFoundError:
            return None

    def _is_free(self, place: str, status: os.stat_result, above: os.stat_result | None) -> bool:
        """Whether a file can be removed or renamed over; ``above`` is None if its directory cannot be written."""
        if above is None:
            return False
        if above.st_mode & stat.S_ISVTX and self._user not in (0, above.st_uid, status.st_uid):
            return False
        return not self._is_fixed(place, status)

    def _is_fixed(self, place: str, status: os.stat_result) -> bool:
        """Whether it has an attribute with which not even root removes it (chattr(1), a and i)."""
        asked = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
        if not asked or status.st_dev in self._without_flags:
            return False
        try:
            handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return False  # what we may not read may still be removed
        try:
            answer = fcntl.ioctl(handle, _GET_FLAGS, struct.pack("l", 0))
        except OSError:
            self._without_flags.add(status.st_dev)  # not asked again: on some, as NFS, every question costs time
            return False
        finally:
            os.close(handle)
        return bool(struct.unpack("l", answer)[0] & _FIXED)
