# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's backup_manifest: what each file of a backup has to hold. Pure. Private to the collection.

The format: PostgreSQL manual, "Backup Manifest Format". That each file stands on a line of its own is no part of the
format. The writers do so: PostgreSQL 13 to 18 (source, backup_manifest.c) and Barman's generate-manifest. Tests read
recorded manifests of both.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["CHECKSUM_BYTES", "ManifestEntry", "parse_manifest", "render_manifest"]

# PostgreSQL's checksum algorithms, and none.
CHECKSUM_BYTES = {"": 0, "CRC32C": 4, "SHA224": 28, "SHA256": 32, "SHA384": 48, "SHA512": 64}

_VERSIONS = (1, 2)  # 2 came with PostgreSQL 17 and names the system

_FILES = b'"Files": ['

_CHECKSUM = b'"Manifest-Checksum"'

# There are three lines before the files and one for each timeline of the backup after them.
_FRAME_LINES = 1000


class ManifestEntry(NamedTuple):
    """What the manifest says of one file. Without a checksum ``algorithm`` and ``checksum`` are empty.

    ``path`` is relative to the data directory; bytes that are not UTF-8 survive as surrogates.
    """

    path: str
    size: int
    algorithm: str
    checksum: bytes


def parse_manifest(lines: Iterable[bytes]) -> Iterator[ManifestEntry]:
    """The entries of a manifest, one after the other, from its lines with their newlines.

    Only after the last entry is it known that the manifest is whole and that its own checksum is right. Raises
    StandbyError.
    """
    rest = iter(lines)
    head = b"".join(_frame(rest, _FILES))
    _check_head(head)
    digest = hashlib.sha256(head)
    for line in rest:
        digest.update(line)
        entry, ends = _split(line)
        if entry:
            yield _manifest_entry(entry)
        if ends:
            break
    *ranges, last = _frame(rest, _CHECKSUM)
    digest.update(b"".join(ranges))
    if next(rest, None) is not None or _checksum(b"".join(ranges) + last) != digest.hexdigest():
        raise _broken("does not have the checksum that it names for itself")


def render_manifest(manifest_entries: Iterable[ManifestEntry]) -> str:
    """A manifest of these files alone, as pg_verifybackup of PostgreSQL 13 and later reads it."""
    files = ",\n".join(_entry(manifest_entry) for manifest_entry in manifest_entries)
    text = f'{{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n{files}\n],\n'
    return f'{text}"Manifest-Checksum": "{hashlib.sha256(text.encode()).hexdigest()}"}}\n'


def _frame(rest: Iterator[bytes], last: bytes) -> list[bytes]:
    """The lines up to the one that begins with ``last``. The lines of a million files must not be held in memory."""
    found = []
    for line in itertools.islice(rest, _FRAME_LINES):
        found.append(line)
        if line.startswith(last):
            return found
    raise _broken(f"ends early, or is not written line by line: {last.decode()} begins no line where one must")


def _check_head(head: bytes) -> None:
    found = _object(head + b"]}")
    version = found.get("PostgreSQL-Backup-Manifest-Version")
    if version not in _VERSIONS:
        raise _broken(f"is of version {version!r}, not of {' or '.join(map(str, _VERSIONS))}")
    if found.get("Files") != []:
        raise _broken("is not written line by line: a file begins beside the list's bracket")


def _split(line: bytes) -> tuple[bytes, bool]:
    """The file of a line, if there is one, and whether the list ends here: Barman puts both on one line."""
    text = line.strip()
    if text.endswith(b"],"):
        return text[:-2], True
    return (text[:-1] if text.endswith(b",") else text), False


def _checksum(tail: bytes) -> str:
    """The manifest's own. What else may follow the files is known: more files must not pass unseen."""
    found = _object(b"{" + tail)
    if found.keys() - {"WAL-Ranges", "Manifest-Checksum"}:
        raise _broken(f"has an unknown end: {', '.join(sorted(found))}")
    return str(found.get("Manifest-Checksum")).lower()


def _manifest_entry(entry: bytes) -> ManifestEntry:
    found = _object(entry)
    try:
        manifest_entry = ManifestEntry(
            _path(found),
            found["Size"],
            found.get("Checksum-Algorithm", "").upper(),
            bytes.fromhex(found.get("Checksum", "")),
        )
        fits = (
            isinstance(manifest_entry.size, int)
            and len(manifest_entry.checksum) == CHECKSUM_BYTES[manifest_entry.algorithm]
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise _broken(f"describes no file in {_shown(entry)}")
    return manifest_entry


def _path(found: dict[str, Any]) -> str:
    """The path, if it stays below the directory. Raises what a wrong type or value does."""
    # Barman writes bytes that are not UTF-8 as Python does, PostgreSQL all bytes of such a name in hexadecimal.
    raw = found["Path"].encode("utf-8", "surrogateescape") if "Path" in found else bytes.fromhex(found["Encoded-Path"])
    if b"\0" in raw or {b"", b".", b".."} & set(raw.split(b"/")):
        raise ValueError(raw)
    return str(raw, "utf-8", "surrogateescape")


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text.decode())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _broken(f"is not written line by line as PostgreSQL and Barman do, or damaged: {_shown(text)}")
    return found


def _entry(manifest_entry: ManifestEntry) -> str:
    # Surrogates, which stand for bytes that are not UTF-8, are as unprintable as control characters are.
    if manifest_entry.path.isprintable():
        name = f'"Path": {json.dumps(manifest_entry.path, ensure_ascii=False)}'
    else:
        name = f'"Encoded-Path": "{manifest_entry.path.encode("utf-8", "surrogateescape").hex()}"'
    checksum = (
        f', "Checksum-Algorithm": "{manifest_entry.algorithm}", "Checksum": "{manifest_entry.checksum.hex()}"'
        if manifest_entry.algorithm
        else ""
    )
    return f'{{ {name}, "Size": {manifest_entry.size}{checksum} }}'


def _shown(text: bytes) -> str:
    return ascii(text[:100].decode("utf-8", "replace"))


def _broken(what: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "manifest_invalid",
            f"The backup's backup_manifest {what}.",
            "choose another backup_id; this backup may be damaged as well",
        )
    )
