# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files and directories on this host, read and written with care. Private to the collection."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import MARK

__all__ = [
    "FILE_SYSTEM_NAMES",
    "NO_CONTENT",
    "boot_id",
    "empty",
    "file_system_of",
    "fsync_directory",
    "has_room",
    "is_empty",
    "locked_directory",
    "mode_of",
    "mount_points",
    "nearest_existing",
    "other_file_systems",
    "private_directory",
    "read_small",
    "remove_below",
    "walk",
    "write_atomically",
]

# What is done under a lock takes milliseconds.
_LOCK_SECONDS = 60.0

# What a file system puts into its root: no content of a directory, and a server ignores it. fsck makes lost+found;
# .snapshot (NetApp) and .zfs lead to snapshots, in which nothing can be removed.
FILE_SYSTEM_NAMES = frozenset({".snapshot", ".zfs", "lost+found"})

# What a directory may hold and is still empty.
NO_CONTENT = FILE_SYSTEM_NAMES | {MARK}


def read_small(path: str) -> str | None:
    """A small text file as it is, line ends included, or None if there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):  # the last in /proc, of a process that ends
        return None


def boot_id() -> str:
    """The kernel's name for this start of the host: after another start, what was not synced may be gone."""
    return (read_small("/proc/sys/kernel/random/boot_id") or "").strip()


def mode_of(path: str) -> int:
    """The mode of a file that is to be replaced; that of a file which only its owner may read, if there is none."""
    try:
        return os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        return 0o600


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


@contextlib.contextmanager
def locked_directory(path: str) -> Iterator[None]:
    """Be the only one of us who changes files in a directory by reading and replacing them; others wait.

    Raises StandbyError if another one does not come to its end, and for a directory that cannot be opened.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as failed:
        raise _unreadable(path, failed) from failed
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _flock(handle):
            if time.monotonic() >= deadline:
                found = f"Another process holds a lock of {path} for {_LOCK_SECONDS:g} seconds. Nothing was changed."
                raise StandbyError(Refusal("write_failed", found, "see which one does (lslocks), then run again"))
            time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _flock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks of directories, such as NFS
        return True
    return True


def nearest_existing(path: str) -> str:
    """The path, or the nearest directory above it that exists: on its file system the path will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def has_room(directory: str, size: int) -> bool:
    """Whether this user may write there, and so many bytes are free. What cannot be looked at has none."""
    try:
        return os.access(directory, os.W_OK | os.X_OK) and shutil.disk_usage(directory).free >= size
    except OSError:
        return False


def _unreadable(path: str, failed: OSError) -> StandbyError:
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
        return not set(os.listdir(path)) - NO_CONTENT
    except FileNotFoundError:
        return True
    except OSError as failed:
        raise _unreadable(path, failed) from failed


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


def walk(top: str, enters: Callable[[str, os.stat_result], bool]) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below a directory by its path in it, with its status. A link is listed and never followed.

    ``enters`` says of a directory, by its path and its status, whether what it holds is listed as well. Left out are
    the mark of a copy in the top, what a file system puts into its root, which may be below the top, and what vanishes
    meanwhile. Raises StandbyError when a directory cannot be listed.
    """
    waiting = [("", NO_CONTENT)]
    while waiting:
        below, left_out = waiting.pop()
        place = os.path.join(top, below)
        try:
            device = os.stat(place).st_dev
            scanned = os.scandir(place)
        except OSError as failed:
            if below and isinstance(failed, FileNotFoundError):
                continue
            raise _unreadable(place, failed) from failed
        with scanned as entries:
            for entry in entries:
                if entry.name in left_out:
                    continue
                try:
                    path, status = os.path.join(below, entry.name), entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(status.st_mode) and enters(path, status):
                    waiting.append((path, FILE_SYSTEM_NAMES if status.st_dev != device else _NOTHING))
                yield path, status


_NOTHING: frozenset[str] = frozenset()


def mount_points() -> list[str]:
    """All of this host, bind mounts with them, which nothing else tells of."""
    return [point for point, _kind in _mounts()]


def file_system_of(path: str) -> str | None:
    """The kind of the file system that a path is on, such as ``ext4``; None if that cannot be seen."""
    real = os.path.realpath(path)
    above = [(point, kind) for point, kind in _mounts() if real == point or real.startswith(point.rstrip("/") + "/")]
    deepest = max((len(point) for point, _kind in above), default=0)
    return next((kind for point, kind in reversed(above) if len(point) == deepest), None)  # the last one hides others


def _mounts() -> list[tuple[str, str]]:
    """Mount points and their kinds. proc(5), "mountinfo": the fifth field, and the first after the lone ``-``."""
    found = []
    for line in (read_small("/proc/self/mountinfo") or "").splitlines():
        fields = line.split()
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code.group(1), 8)), fields[4])
        found.append((point, fields[fields.index("-") + 1]))
    return found


def other_file_systems(directory: str, mounted: Iterable[str]) -> list[str]:
    """Where another file system begins, at a directory or below it: a mount point, or a subvolume with its own device.

    ``mounted`` are the mount points of the host. A link is not followed. Raises StandbyError if a directory cannot be
    listed, and OSError if there is none.
    """
    real = os.path.join(os.path.realpath(os.path.dirname(directory)), os.path.basename(directory))
    found = {point for point in mounted if point == real or point.startswith(real + "/")}
    device = os.lstat(real).st_dev
    if device != os.stat(os.path.dirname(real)).st_dev:
        return sorted({real, *found})
    below = walk(real, lambda _path, status: status.st_dev == device)
    found.update(os.path.join(real, path) for path, status in below if status.st_dev != device)
    return sorted(found)


def remove_below(top: str, paths: Iterable[str]) -> None:
    """Remove files and whole directories, links unfollowed, by their paths in a directory. Raises StandbyError.

    Nothing is removed on another file system than its directory's.
    """
    mounted = mount_points()
    for path in paths:
        _remove(os.path.join(top, path), mounted)


def empty(top: str) -> None:
    """Remove everything in a directory but the directory, which may be a mount point or linked to.

    Raises StandbyError. Nothing is removed on another file system than the directory's.
    """
    remove_below(top, [name for name in os.listdir(top) if name not in NO_CONTENT])


def _remove(path: str, mounted: Iterable[str]) -> None:
    try:
        if not os.path.isdir(path) or os.path.islink(path):
            os.unlink(path)
            return
        borders = other_file_systems(path, mounted)
        if borders:
            raise StandbyError(
                Refusal(
                    "mount_point_inside",
                    f"Cannot remove {path}, which is no part of the backup: another file system begins at"
                    f" {', '.join(borders)}. Nothing of {path} was removed. The directory cannot be started; a new run"
                    " resumes.",
                    "unmount it, or mount it elsewhere, and run again",
                )
            )
        shutil.rmtree(path)
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "remove_failed",
                f"Cannot remove {path}, which is no part of the backup: {failed.strerror}."
                " The directory cannot be started; a new run resumes.",
                "see why it cannot be removed, remove it, and run again",
            )
        ) from failed
