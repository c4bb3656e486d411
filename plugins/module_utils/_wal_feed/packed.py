# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A WAL file as an archive has it, compressed, made the file that a server reads. Private to the collection."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, cast

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import (
    NO_PROGRAM,
    NOTHING,
    PIPE,
    ProgramGroup,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["BrokenFileError", "packing_of", "unpack"]

_PORTION = 1 << 20

# How the files of each format begin: RFC 1952, bzip2's "BZh", xz-file-format.txt 2.1.1.1, RFC 8878 and
# lz4_Frame_format.md.
_BEGINS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}

# What Python itself unpacks.
_BY_PYTHON: dict[str, Callable[[str], object]] = {"gzip": gzip.GzipFile, "bzip2": bz2.BZ2File, "xz": lzma.LZMAFile}


class BrokenFileError(Exception):
    """Why a file cannot be unpacked, as a clause."""


def packing_of(head: bytes) -> str | None:
    """The compression of a file that begins so; None if it is none of those that Barman has."""
    return next((name for begin, name in _BEGINS.items() if head.startswith(begin)), None)


def unpack(path: str, packing: str, target: str, most: int) -> None:
    """Write what a compressed file holds into a new one, but no more than ``most`` bytes.

    Raises BrokenFileError for a file that is damaged or holds more, StandbyError if the program is missing.
    """
    left = most
    with _reader(path, packing) as stream, open(target, "xb") as unpacked:
        while True:
            try:
                portion = stream.read(_PORTION)
            except (EOFError, OSError, lzma.LZMAError, zlib.error) as broken:
                raise BrokenFileError(f"its {packing} is damaged ({broken})") from broken
            if not portion:
                return
            left -= len(portion)
            if left < 0:
                raise BrokenFileError(f"it holds more than {most} bytes")
            unpacked.write(portion)


def _reader(path: str, packing: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    unpacks = _BY_PYTHON.get(packing)
    if unpacks is None:
        return _by_program(path, packing)
    return cast("contextlib.AbstractContextManager[IO[bytes]]", unpacks(path))


@contextlib.contextmanager
def _by_program(path: str, program: str) -> Iterator[IO[bytes]]:
    """What a program unpacks. Raises BrokenFileError at the end if the program has failed."""
    with open(path, "rb") as packed:
        try:
            group = ProgramGroup([program, "-dc"], stdin=packed.fileno(), stdout=PIPE, stderr=NOTHING)
        except NO_PROGRAM:
            raise StandbyError(
                Refusal(
                    "wal_decompressor_missing",
                    f"Barman's archive has its WAL compressed by {program}, and this host lacks the program {program}."
                    " The server gets its WAL by its ordinary restore_command.",
                    f"install {program} on this host, then run again",
                )
            ) from None
        with group:
            yield group.stdout
            if group.exit_code() != 0:
                raise BrokenFileError(f"{program} cannot read it")
