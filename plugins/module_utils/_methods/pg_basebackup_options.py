# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_basebackup: the words it may be given, the whole command, and what it says. Pure. Private to the collection.

Facts are those of PostgreSQL 10 to 18 (manual, "pg_basebackup").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["checked_options", "command", "parse_progress", "require_rate"]

# Its lowest and highest --max-rate, in kB/s of 1024 bytes.
_LEAST_RATE, _MOST_RATE = 32, 1 << 20

_PROGRESS = re.compile(r"\s*(\d+)/(\d+) kB \(\d+%\), \d+/\d+ tablespaces?\b.*")

_MANIFEST_CHECKSUMS = ("NONE", "CRC32C", "SHA224", "SHA256", "SHA384", "SHA512")


class _Option(NamedTuple):
    """``instead`` is what decides on it here; None for one that is passed on. ``ours``: given anyway, so dropped."""

    name: str
    short: str = ""
    value: bool = False
    instead: str | None = None
    ours: bool = False


_OPTIONS = (
    _Option("pgdata", "D", True, "data_directory"),
    _Option("format", "F", True, "nothing, the files are written as they are"),
    _Option("incremental", "i", True, "nothing, a standby needs a whole copy"),
    _Option("target", "t", True, "data_directory"),
    _Option("write-recovery-conf", "R", False, "the recovery settings, which are written anyway"),
    _Option("tablespace-mapping", "T", True, "tablespace_mapping"),
    _Option("waldir", "", True, "waldir"),
    _Option("xlogdir", "", True, "waldir"),
    _Option("max-rate", "r", True, "bwlimit"),
    _Option("slot", "S", True, "slot_name"),
    _Option("create-slot", "C", False, "slot_name"),
    _Option("dbname", "d", True, "upstream_conninfo"),
    _Option("host", "h", True, "upstream_conninfo"),
    _Option("port", "p", True, "upstream_conninfo"),
    _Option("username", "U", True, "upstream_conninfo or replication_user"),
    _Option("password", "W", False, "upstream_password or passfile"),
    _Option("no-clean", "n", False, "nothing, another run clears what an interrupted one has left"),
    _Option("gzip", "z", False, "compress=server-gzip, for the files are written as they are"),
    _Option("version", "V", False, "nothing"),
    _Option("help", "?", False, "nothing"),
    _Option("no-password", "w", ours=True),
    _Option("no-sync", "N", ours=True),
    _Option("progress", "P", ours=True),
    _Option("verbose", "v", ours=True),
    _Option("wal-method", "X", True, ours=True),
    _Option("xlog-method", "", True, ours=True),
    _Option("checkpoint", "c", True),
    _Option("compress", "Z", True),
    _Option("label", "l", True),
    _Option("status-interval", "s", True),
    _Option("manifest-checksums", "", True),
    _Option("manifest-force-encode"),
    _Option("no-manifest"),
    _Option("no-verify-checksums", "k"),
    _Option("no-estimate-size"),
    _Option("no-slot"),
)

_BY_NAME = {option.name: option for option in _OPTIONS}

_BY_SHORT = {option.short: option for option in _OPTIONS if option.short}


def checked_options(words: Sequence[str], slot_name: str | None = None) -> tuple[str, ...]:
    """The user's own words in their long form, ``--name`` or ``--name=value``, without those that are given anyway.

    Raises StandbyError for what another option decides, for what cannot be part of a standby, and for unknown words.
    """
    given = list(_parsed(words))
    for option, value in given:
        _require_allowed(option, value, slot_name)
    return tuple(
        f"--{option.name}={value}" if option.value else f"--{option.name}" for option, value in given if not option.ours
    )


def _parsed(words: Sequence[str]) -> Iterator[tuple[_Option, str]]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            option = _BY_NAME.get(name)
            if option is None or (equals and not option.value):
                raise _refused(word, "is not one that pg_basebackup takes here, where names are written out")
            yield option, value if equals else _value(option, rest)
        elif word.startswith("-") and len(word.strip("-")) > 0:
            yield from _short(word, rest)
        else:
            raise _refused(word, "belongs to no option: one list element for each option and each value")


def _short(word: str, rest: list[str]) -> Iterator[tuple[_Option, str]]:
    """One letter or several; the rest of the word is the value of the first that takes one."""
    letters = word[1:]
    while letters:
        option, letters = _BY_SHORT.get(letters[0]), letters[1:]
        if option is None:
            raise _refused(word, "is not one that pg_basebackup takes here")
        if not option.value:
            yield option, ""
            continue
        yield option, letters or _value(option, rest)
        return


def _value(option: _Option, rest: list[str]) -> str:
    if not option.value:
        return ""
    if not rest:
        raise _refused(f"--{option.name}", "lacks its value")
    return rest.pop(0)


def _require_allowed(option: _Option, value: str, slot_name: str | None) -> None:
    word = f"--{option.name}"
    if option.instead is not None:
        raise _refused(word, f"is decided by {option.instead}")
    if "\0" in value or "\n" in value:
        raise _refused(word, "has a line break or NUL in its value")
    if option.name in ("wal-method", "xlog-method") and value not in ("stream", "s"):
        raise _refused(
            f"{word}={value}",
            "could lose WAL: only with stream does the copy hold all that it needs, whatever the upstream removes",
        )
    if option.name == "checkpoint" and value not in ("fast", "spread"):
        raise _refused(f"{word}={value}", "is neither fast nor spread")
    if option.name == "compress" and not value.startswith("server-"):
        raise _refused(f"{word}={value}", "packs files here; on the wire it would be server-lz4 or server-zstd")
    if option.name == "manifest-checksums" and value.upper() not in _MANIFEST_CHECKSUMS:
        raise _refused(f"{word}={value}", f"is none of {', '.join(_MANIFEST_CHECKSUMS)}")
    if option.name == "no-slot" and slot_name:
        raise _refused(word, f"contradicts slot_name={slot_name}")


def _refused(word: str, why: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "basebackup_option_refused",
            f"pg_basebackup_options holds {word!r}, which {why}. Nothing was changed.",
            "take it out, or correct it",
        )
    )


def require_rate(bwlimit: int | None) -> None:
    """Raises StandbyError for a rate that pg_basebackup does not take; KiB/s."""
    if bwlimit is not None and not _LEAST_RATE <= bwlimit <= _MOST_RATE:
        raise StandbyError(
            Refusal(
                "option_out_of_range",
                f"bwlimit={bwlimit} is not between {_LEAST_RATE} and {_MOST_RATE} KiB per second, which is what"
                " pg_basebackup takes. Nothing was changed.",
                "correct it",
            )
        )


def command(
    program: str,
    place: str,
    conninfo: str,
    mapping: Mapping[str, str],
    waldir: str | None = None,
    slot_name: str | None = None,
    bwlimit: int | None = None,
    options: Sequence[str] = (),
) -> list[str]:
    """The whole argument list. ``conninfo`` holds no secret; ``mapping`` is of locations there to places here.

    The WAL of the copy is streamed beside it, so that it reaches consistency from itself alone. With a slot the
    upstream keeps all that follows until the standby takes it.
    """
    checkpoint = [] if any(word.startswith("--checkpoint=") for word in options) else ["--checkpoint=fast"]
    return [
        program,
        f"--pgdata={place}",
        f"--dbname={conninfo}",
        "--format=plain",
        "--wal-method=stream",
        "--no-password",
        "--no-sync",
        "--progress",
        *checkpoint,
        *(f"--tablespace-mapping={_mapped(old)}={_mapped(new)}" for old, new in mapping.items()),
        *([f"--waldir={waldir}"] if waldir else []),
        *([f"--slot={slot_name}"] if slot_name else []),
        *([f"--max-rate={bwlimit}k"] if bwlimit else []),
        *options,
    ]


def _mapped(path: str) -> str:
    """An equals sign in a path is escaped by a backslash; a backslash alone stays what it is."""
    return path.replace("=", "\\=")


def parse_progress(line: str) -> tuple[int, int] | None:
    """Bytes so far, and the upstream's estimate of all; None for any other line."""
    match = _PROGRESS.fullmatch(line)
    return (int(match.group(1)) << 10, int(match.group(2)) << 10) if match else None
