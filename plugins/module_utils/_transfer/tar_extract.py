# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tar as it arrives: its members, and the files of a tree written from them. Private to the collection.

The format is POSIX ustar as PostgreSQL writes it, with sizes beyond 8 GB in base 256 and no extensions. The
headers are parsed by tarfile; its extraction is not used: nothing but planned files is ever written.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL, Root, is_copied
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.tar import Stream, members, unfit_archive

__all__ = ["unpack"]

_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


def unpack(
    stream: Stream, shard: Shard, control: str | None, written: Callable[[int], None], done: Callable[[int], None]
) -> None:
    """Write the files of a shard from the tar of its tree, with the plan's time and the tar's mode, and no others.

    The whole tar is looked at. It must hold exactly the tree's files, and no link among what a copy takes. pg_control
    goes to ``control``. ``written`` is told of bytes, ``done`` of the position of every file that is complete.
    Raises StandbyError, EOFError if the tar breaks off, and OSError for what cannot be written.
    """
    root, wanted = shard.root, set(shard.positions)
    name = root.archive.path if root.archive else ""
    positions = root.files.positions()
    missing = bytearray(b"\1") * len(root.files)
    for member in members(stream, name):
        path = _path_of(member, name)
        if root.oid is None and path == CONTROL and member.type in _PLAIN:
            _hold(stream, member.size, str(control))
        elif not is_copied(path, in_data=root.oid is None) or member.isdir():
            continue
        else:
            position = _position(member, path, root, positions, missing)
            missing[position] = 0
            if position in wanted:
                _write(stream, root, position, member.mode, written)
                done(position)
    left = missing.find(1)
    if left >= 0:
        raise _inconsistent(name, f"lacks {root.files.paths[left]}, which the manifest promises")


def _path_of(member: tarfile.TarInfo, name: str) -> str:
    """The path of a member below its tree. Raises StandbyError for one that leads elsewhere."""
    path = member.name[2:] if member.name.startswith("./") else member.name
    if path.startswith("/") or ".." in path.split("/"):
        raise unfit_archive(name, "holds a name that leads out of it", member.name)
    return path


def _position(member: tarfile.TarInfo, path: str, root: Root, positions: dict[str, int], missing: bytearray) -> int:
    """The position of a file in the plan. Raises StandbyError for one that is not there, or has another size."""
    name = root.archive.path if root.archive else ""
    if member.type not in _PLAIN:
        raise unfit_archive(
            name, "holds links or special files, where only plain files and directories are copied", path
        )
    position = positions.get(path)
    if position is None:
        raise _inconsistent(name, f"holds {path}, of which the manifest does not know")
    if member.size != root.files.sizes[position]:
        raise _inconsistent(name, f"has {path} with {member.size} bytes, not {root.files.sizes[position]}")
    if not missing[position]:
        raise _inconsistent(name, f"holds {path} twice")
    return position


def _write(stream: Stream, root: Root, position: int, mode: int, written: Callable[[int], None]) -> None:
    """The time comes last: a file that has it is complete."""
    path = os.path.join(root.target, root.files.paths[position])
    time = root.files.times[position]
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for portion in stream.portions(root.files.sizes[position]):
            _write_all(handle, portion)
            written(len(portion))
        os.fchmod(handle, root.file_mode(mode))
        os.utime(handle, ns=(time, time))
    except OSError as failed:
        failed.filename = path  # what a write says of a full disk names none
        raise
    finally:
        os.close(handle)


def _hold(stream: Stream, size: int, place: str) -> None:
    """Durable before it has its name: a later run may rely on it."""
    handle = os.open(place + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for portion in stream.portions(size):
            _write_all(handle, portion)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.rename(place + ".new", place)


def _write_all(handle: int, portion: memoryview) -> None:
    while portion:
        portion = portion[os.write(handle, portion) :]


def _inconsistent(name: str, what: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "backup_inconsistent",
            f"{name} {what}. The data directory cannot be started.",
            "choose another backup_id, and look at this one on the Barman host",
        )
    )
