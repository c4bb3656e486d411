# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files and directories on this host, read and written with care. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = [
    "FILE_SYSTEMS",
    "NOBODYS",
    "boot_id",
    "empty",
    "fsync_directory",
    "is_empty",
    "nearest_existing",
    "private_directory",
    "read_small",
    "remove_below",
    "unreadable",
    "write_atomically",
]

# What a file system may put into its root and nobody else owns.
NOBODYS = frozenset({"lost+found"})


def read_small(path: str) -> str | None:
    """A small text file as it is, line ends included, or None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):  # the last in /proc, of a process that ends
        return None


def boot_id() -> str:
    """The kernel's name for this start of the host: after another start, what was not synced may be gone."""
    return (read_small("/proc/sys/kernel/random/boot_id") or "").strip()


def fsync_directory(path: str) -> None:
    """Make the entries of a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: str, text: str, mode: int = 0o600) -> None:
    """Replace a file by a complete and durable one. A reader sees the old or the new file, never a part.

    Raises StandbyError when the place cannot be written.
    """
    directory = os.path.dirname(path)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        fsync_directory(directory)
    except OSError as failed:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise StandbyError(
            Refusal(
                "write_failed",
                f"Cannot write {path}: {failed.strerror}.",
                "check the owner of its directory, and free space and inodes (df, df -i)",
            )
        ) from failed


def nearest_existing(path: str) -> str:
    """The path, or the nearest directory above it that exists: its file system is where the path will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def unreadable(path: str, failed: OSError) -> StandbyError:
    """What to raise for a directory that cannot be listed."""
    return StandbyError(
        Refusal(
            "directory_unreadable",
            f"Cannot read directory {path}: {failed.strerror}.",
            "give it to the database's OS user",
        )
    )


def is_empty(path: str) -> bool:
    """Whether a directory holds nothing or is not there. Raises StandbyError when that cannot be seen."""
    try:
        return not set(os.listdir(path)) - NOBODYS
    except FileNotFoundError:
        return True
    except OSError as failed:
        raise unreadable(path, failed) from failed


def private_directory(path: str, mode: int = 0o700) -> None:
    """Make a directory for us, unless it is there, with this mode. Raises StandbyError."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        with contextlib.suppress(PermissionError):  # a mount point of somebody else's may still be writable
            os.chmod(path, mode)
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "directory_not_writable",
                f"Cannot create directory {path}: {failed.strerror}.",
                "create it, owned by the database's OS user",
            )
        ) from failed


# What a file system puts into its root, and a server ignores.
FILE_SYSTEMS = "lost+found"


def remove_below(top: str, paths: Iterable[str]) -> None:
    """Remove files and whole directories, links unfollowed, by their paths in a directory. Raises StandbyError."""
    for path in paths:
        _remove(os.path.join(top, path))


def empty(top: str) -> None:
    """Remove everything in a directory but not the directory, which may be a mount point or linked to."""
    for name in os.listdir(top):
        if name != FILE_SYSTEMS:
            _remove(os.path.join(top, name))


def _remove(path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "remove_failed",
                f"Cannot remove {path}, which is no part of the backup: {failed.strerror}."
                " The directory cannot be started; a new run resumes.",
                "remove it yourself",
            )
        ) from failed
