# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What in a data directory is not the cluster's, while pg_rewind works, which would replace or remove it.

The host's own files are a list of names: configuration, keys, logs. They are there again afterwards, whatever the
upstream has. What is neither theirs nor the cluster's, an archive say, stays as well: it is renamed out of the way and
back, and copied only to another file system that has the room. Private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import (
    NO_CONTENT,
    nearest_existing,
    private_directory,
    walk,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import linked_directories

__all__ = ["HostFiles", "host_file_names", "room_missing", "tablespaces_inside", "unwritable"]

_LOGS = ("log", "pg_log")

# The host's own: configuration with its directories, and what TLS needs.
_OWN = re.compile(r".*\.conf|(.*\.)?conf\.d|.*\.(cer|crl|crt|csr|key|p12|pem|pfx|srl)|log|pg_log")

_CONSENT = "overwrite=same_cluster"

# The cluster's, or of no meaning on another day.
_CLUSTER = re.compile(
    r"PG_VERSION|base|global|pg_(?!log$)\w+|backup_(label|manifest)(\.old)?|tablespace_map(\.old)?|current_logfiles.*"
    r"|postmaster\.(pid|opts)|(standby|recovery)\.signal|recovery\.(conf|done)|promote|core(\.\d+)?"
)

# The directory of a version of PostgreSQL in a tablespace.
_OF_TABLESPACE = re.compile(r"PG_\d+(\.\d+)?_\d+")


def host_file_names(top: str) -> tuple[str, ...]:
    """The names of what a rewind leaves as it is in a data directory: the host's own files, and what is nobody's."""
    return tuple(entry.name for entry in _not_the_clusters(top))


def room_missing(top: str, place: str) -> str | None:
    """Why what has to be copied to a place during a rewind does not fit there, as a clause; None if it does."""
    there = nearest_existing(place)
    status = os.statvfs(there)
    free = status.f_bavail * status.f_frsize
    needed = sum(map(_bytes, _copied(top, there)))
    if needed <= free:
        return None
    return f"{place} has {free} bytes free, and what in {top} is not the cluster's needs {needed} there meanwhile"


def _copied(top: str, place: str) -> list[os.DirEntry[str]]:
    """What is copied there: the host's own files but logs, and all the rest if it cannot be renamed to there."""
    can_rename = os.stat(place).st_dev == os.stat(top).st_dev
    return [
        entry
        for entry in _not_the_clusters(top)
        if entry.name not in _LOGS and (not can_rename or _OWN.fullmatch(entry.name))
    ]


def tablespaces_inside(top: str) -> list[str]:
    """Where in a data directory tablespaces or WAL lie that links of the cluster lead to, or that look like one."""
    inside = os.path.join(os.path.realpath(top), "")
    found = {path for path in linked_directories(top) if path.startswith(inside)}
    for entry in _not_the_clusters(top):
        if entry.is_dir(follow_symlinks=False) and _holds_tablespace(entry.path):
            found.add(os.path.join(inside, entry.name))
    return sorted(found)


def _holds_tablespace(directory: str) -> bool:
    """Whether it is a tablespace's place, or has one of those just below it."""
    names = os.listdir(directory)
    below = (os.path.join(directory, name) for name in names)
    deeper = (name for path in below if os.path.isdir(path) and not os.path.islink(path) for name in os.listdir(path))
    return any(_OF_TABLESPACE.fullmatch(name) for name in (*names, *deeper))


def unwritable(top: str) -> list[str]:
    """What of these the user who runs this could not replace: pg_rewind would fail half way on them."""
    return [
        entry.name
        for entry in _not_the_clusters(top)
        if not entry.is_symlink() and entry.stat(follow_symlinks=False).st_uid != os.geteuid()
    ]


def _not_the_clusters(top: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(top) as entries:
        kept = [entry for entry in entries if _is_not_the_clusters(entry.name) and _can_be_kept(entry)]
    yield from sorted(kept, key=lambda entry: entry.name)


def _is_not_the_clusters(name: str) -> bool:
    return not _CLUSTER.fullmatch(name) and name not in NO_CONTENT


def _can_be_kept(entry: os.DirEntry[str]) -> bool:
    """A socket that a server left cannot, and would be of no use."""
    return entry.is_symlink() or entry.is_dir() or entry.is_file()


class HostFiles:
    """What is not the cluster's in one data directory, while pg_rewind works on it.

    ``names`` are what has been set aside so far, ``place`` is where the host's own files are meanwhile, ``moved`` where
    what was renamed is.
    """

    def __init__(self, top: str, place: str, moved: str) -> None:
        self.names: tuple[str, ...] = ()
        self._top = top
        self.place = place
        self.moved = moved

    def set_aside(self) -> None:
        """Copy the host's own files to the place, which is emptied before, and rename the others. Raises StandbyError.

        Then nothing has changed. Logs can be large: they are moved if they stay on the file system, and else are lost.
        Files that must not be written by their owner, as keys often are, would end pg_rewind half way (PostgreSQL
        manual, pg_rewind, Notes). What an earlier run has renamed and could not rename back comes back first.
        """
        self.return_moved()
        self.forget()
        private_directory(self.place)
        private_directory(self.moved)
        missing = room_missing(self._top, self.place)
        if missing is not None:
            raise StandbyError(Refusal("space_missing", f"{missing}. Nothing was changed.", "make room"))
        copied = _copied(self._top, self.place)
        known = {entry.name for entry in copied}
        others = [entry.name for entry in _not_the_clusters(self._top) if entry.name not in known]
        with self.returned_on_failure():
            try:
                for entry in copied:
                    self._copy(entry)
                    self.names += (entry.name,)
                for name in others:  # the last, for they alone are not there any more if this fails
                    self._move(name)
            except OSError as failed:
                raise StandbyError(
                    Refusal(
                        "write_failed",
                        f"Cannot keep {failed.filename} in {self.place} during the rewind: {failed.strerror}. Nothing"
                        " was changed.",
                        "check its owner, and free space and inodes (df, df -i)",
                    )
                ) from failed

    def _move(self, name: str) -> None:
        try:
            os.rename(os.path.join(self._top, name), os.path.join(self.moved, name))
        except OSError:
            if name not in _LOGS:
                raise
        else:
            self.names += (name,)

    @contextlib.contextmanager
    def returned_on_failure(self) -> Iterator[None]:
        """Should what is done meanwhile fail, what was renamed comes back, if nothing has taken its place."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(StandbyError):
                self.return_moved()
            raise

    def return_moved(self) -> None:
        """Rename back what was renamed, where nothing has taken its place. Raises StandbyError for what is left."""
        if os.path.islink(self.moved) or not os.path.isdir(self.moved):
            return
        for name in os.listdir(self.moved):
            final = os.path.join(self._top, name)
            try:
                if os.path.lexists(final):
                    raise FileExistsError(errno.EEXIST, "something of that name is there", final)
                os.rename(os.path.join(self.moved, name), final)
            except OSError as failed:
                raise self._not_back(name, self.moved, failed) from failed
        os.rmdir(self.moved)

    def put_back(self) -> None:
        """Replace what pg_rewind has made of them. Raises StandbyError; then they are still where they were kept."""
        for name in self.names:
            place = self.moved if os.path.lexists(os.path.join(self.moved, name)) else self.place
            final = os.path.join(self._top, name)
            try:
                if os.path.isdir(final) and not os.path.islink(final):
                    shutil.rmtree(final)
                elif os.path.lexists(final):
                    os.unlink(final)
                shutil.move(os.path.join(place, name), final)
            except OSError as failed:
                raise self._not_back(name, place, failed) from failed
        self.return_moved()

    def _not_back(self, name: str, place: str, failed: OSError) -> StandbyError:
        return StandbyError(
            Refusal(
                "write_failed",
                f"Cannot bring {name} back from {place} to {self._top}: {failed.strerror}. No server starts on the"
                " directory.",
                f"bring it to a backup's state by a copy with {_CONSENT}, and take from there what the copy does not"
                " bring",
            )
        )

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


def _bytes(entry: os.DirEntry[str]) -> int:
    if not entry.is_dir(follow_symlinks=False):
        return entry.stat(follow_symlinks=False).st_size
    return sum(status.st_size for _path, status in walk(entry.path, lambda _path, _status: True))
