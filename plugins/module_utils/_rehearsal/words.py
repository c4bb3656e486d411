# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsed server has said, as a person needs it. Pure. Private to the collection."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import free_of_secrets

__all__ = ["is_port_taken", "unheard_addresses", "words"]

# More than that is a configuration that is wrong as a whole.
_LINES = 12

_LEVEL = re.compile(r"(?P<level>[A-Z]+[0-9]?):\s+(?P<text>.*)")

# What every server says on its way, in the words of all versions from 10 to 18.
_ORDINARY = re.compile(
    r"starting PostgreSQL |listening on |database system (?:was|is) |entering standby mode|redo |consistent recovery"
    r"|invalid (?:record length|magic number)|waiting for WAL|received (?:immediate|fast|smart) shutdown|shutting down"
    r"|starting backup recovery|completed backup recovery|could not stat promote trigger|aborting any active"
    r"|startup process \(PID \d+\) exited|terminating any other active|aborting startup due to"
    r"|specified neither |recovery command file |The database server will regularly poll"
)

# An address that is not this host's, as postmaster.c and pqcomm.c tell of it. The server starts if there is another.
_UNHEARD = re.compile(r"could not (?:bind|create|translate) (?:IPv4|IPv6|listen|Unix|host|any)[^\n]*")


def words(text: str, hidden: Iterable[str] = ()) -> str:
    """The lines that matter, one after the other, or an empty text. ``hidden`` are texts that must not be shown."""
    told = []
    for line in text.splitlines():
        match = _LEVEL.fullmatch(line.strip())
        said = match["text"] if match is not None else line.strip()
        if said and not _ORDINARY.match(said):
            told.append(line.strip() if match is None else f"{match['level']}: {said}")
    shown = told if len(told) <= _LINES else [*told[: _LINES - 1], f"(and {len(told) - _LINES + 1} lines more)"]
    return str(free_of_secrets({"msg": " / ".join(shown)}, hidden)["msg"]).rstrip(".")


def unheard_addresses(text: str) -> list[str]:
    """What a server that has started says of addresses and sockets on which it does not listen."""
    return [match.group(0) for line in text.splitlines() for match in [_UNHEARD.search(line)] if match is not None]


def is_port_taken(text: str) -> bool:
    """Whether somebody else was quicker to take the port that was chosen for the rehearsal."""
    return "Address already in use" in text or re.search(r"lock file \S+ already exists", text) is not None
