# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of a tar while the tar arrives. Pure. Private to the collection.

The format is POSIX ustar as PostgreSQL writes it (source, port/tar.c), with sizes beyond 8 GB in base 256 and without
extensions. The
headers are parsed by tarfile; its extraction is not used.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["Stream", "members", "unfit_archive"]

_BLOCK = 512

_END = bytes(_BLOCK)


class Stream:
    """Bytes that come in portions of any size. Raises EOFError if they end too early."""

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
        """Take all that still comes: the sender has to end by itself, so that its exit code says whether it is well."""
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
            raise unfit_archive(name, "is no tar, or damaged", str(wrong)) from wrong
        if member.size < 0:
            raise unfit_archive(name, "holds a file of less than no bytes", member.name)
        end = stream.position + -(-member.size // _BLOCK) * _BLOCK
        yield member
        stream.skip(end - stream.position)


def unfit_archive(name: str, what: str, which: str) -> StandbyError:
    """What to raise for a tar that no backup has."""
    return StandbyError(
        Refusal(
            "archive_unfit",
            f"{name} {what}: {which!r}. The data directory cannot be started.",
            "choose another backup_id, and look at this one on the Barman host",
        )
    )
