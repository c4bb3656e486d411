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
from collections.abc import Callable, Iterable, Iterator

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import CONTROL, Root, is_copied
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError

__all__ = ["Stream", "members", "unpack"]

_BLOCK = 512

_END = bytes(_BLOCK)

_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


class Stream:
    """Bytes that come in portions of any size. Raises EOFError where they end too early."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self.position = 0

    def portions(self, size: int) -> Iterator[memoryview]:
        """The next so many bytes, as they come."""
        while size:
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
                if not self._rest:
                    raise EOFError
            portion, self._rest = self._rest[:size], self._rest[size:]
            size -= len(portion)
            self.position += len(portion)
            yield portion

    def take(self, size: int) -> bytes:
        """The next so many bytes."""
        return b"".join(self.portions(size))

    def skip(self, size: int) -> None:
        """Pass over the next so many bytes."""
        for _portion in self.portions(size):
            continue

    def drain(self) -> None:
        """Take all that still comes: whoever sends it has to end by itself, to say that it is well."""
        for _chunk in self._chunks:
            continue


def members(stream: Stream, name: str) -> Iterator[tarfile.TarInfo]:
    """The members of a tar; the content of each is next in the stream, and what is not taken is passed over.

    ``name`` is the tar's in messages. Raises EOFError for one that breaks off, StandbyError for what is no tar.
    """
    while True:
        header = stream.take(_BLOCK)
        if header == _END:
            stream.drain()
            return
        try:
            member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as wrong:
            raise _unfit(name, "is no tar, or damaged", str(wrong)) from wrong
        if member.size < 0:
            raise _unfit(name, "holds a file of less than no bytes", member.name)
        end = stream.position + -(-member.size // _BLOCK) * _BLOCK
        yield member
        stream.skip(end - stream.position)


def unpack(
    stream: Stream, shard: Shard, control: str | None, written: Callable[[int], None], done: Callable[[int], None]
) -> None:
    """Write the files of a shard from the tar of its tree, with the mode and time of the plan, and no others.

    The whole tar is looked at: it must hold exactly the tree's files, and where a copy takes it no links. pg_control
    goes to ``control``. ``written`` is told of bytes, ``done`` of the position of every file that is complete.
    Raises StandbyError, EOFError where the tar breaks off, and OSError for what cannot be written.
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
                _write(stream, root, position, written)
                done(position)
    left = missing.find(1)
    if left >= 0:
        raise _inconsistent(name, f"lacks {root.files.paths[left]}, which the manifest promises")


def _path_of(member: tarfile.TarInfo, name: str) -> str:
    """The path of a member below its tree. Raises StandbyError for one that leads elsewhere."""
    path = member.name[2:] if member.name.startswith("./") else member.name
    if path.startswith("/") or ".." in path.split("/"):
        raise _unfit(name, "holds a name that leads out of it", member.name)
    return path


def _position(member: tarfile.TarInfo, path: str, root: Root, positions: dict[str, int], missing: bytearray) -> int:
    """Where the plan has a file. Raises StandbyError for what is not planned, or planned otherwise."""
    name = root.archive.path if root.archive else ""
    if member.type not in _PLAIN:
        raise _unfit(name, "holds links or special files, where only plain files and directories are copied", path)
    position = positions.get(path)
    if position is None:
        raise _inconsistent(name, f"holds {path}, of which the manifest does not know")
    if member.size != root.files.sizes[position]:
        raise _inconsistent(name, f"has {path} with {member.size} bytes, not {root.files.sizes[position]}")
    if not missing[position]:
        raise _inconsistent(name, f"holds {path} twice")
    return position


def _write(stream: Stream, root: Root, position: int, written: Callable[[int], None]) -> None:
    """The time comes last: a file that has it is complete."""
    path = os.path.join(root.target, root.files.paths[position])
    time = root.files.times[position]
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for portion in stream.portions(root.files.sizes[position]):
            _write_all(handle, portion)
            written(len(portion))
        os.fchmod(handle, root.file_mode)
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


def _unfit(name: str, what: str, which: str) -> StandbyError:
    return StandbyError(
        f"{name} {what}: {which!r}. The data directory cannot be started. Next: choose another backup_id, and look at"
        " this one on the Barman host.",
        "archive_unfit",
    )


def _inconsistent(name: str, what: str) -> StandbyError:
    return StandbyError(
        f"{name} {what}. The data directory cannot be started. Next: choose another backup_id, and look at this one on"
        " the Barman host.",
        "backup_inconsistent",
    )
