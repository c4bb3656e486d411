# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the slots that were made for a standby: each at one server, and kept there until somebody drops it.

A slot is noted before it is made. Whatever ends the play in between, the next one knows what it may have left at which
server. Private to the collection.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import (
    locked_directory,
    private_directory,
    read_small,
    write_atomically,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import require_makeable

__all__ = ["NotedSlot", "forget", "former", "note", "noted_slots"]

# libpq's, unless it was built with another.
_PORT = 5432


@dataclass(frozen=True)
class NotedSlot:
    """A slot by name, and how to log in to the server that has it. ``options`` are libpq's, without secrets."""

    name: str
    host: str
    port: int
    user: str | None = None
    database: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_plan(cls, slot: Mapping[str, Any]) -> NotedSlot:
        """The slot that a plan of standby_preflight tells as ``slot``. Raises StandbyError for anything else."""
        try:
            return cls(
                str(slot["name"]),
                str(slot["login_host"]),
                int(slot["login_port"]),
                slot["login_user"],
                slot["login_db"],
                {str(name): str(value) for name, value in slot["connect_params"].items()},
            )
        except (AttributeError, KeyError, TypeError, ValueError) as wrong:
            found = f"The option slot is no slot of a plan: {wrong!r}."
            raise StandbyError(Refusal("slot_invalid", found, "pass the slot of a preflight's plan")) from wrong

    def as_plan(self) -> dict[str, Any]:
        """The opposite: with the keys by which community.postgresql logs in."""
        return {
            "name": self.name,
            "login_host": self.host,
            "login_port": self.port,
            "login_user": self.user,
            "login_db": self.database,
            "connect_params": dict(self.options),
        }

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it this slot and no other."""
        return self.name, self.host, self.port


def noted_slots(state_directory: str) -> tuple[NotedSlot, ...]:
    """What is noted. Raises StandbyError for a record that cannot be read, or is none."""
    path = _record(state_directory)
    try:
        text = read_small(path)
        return tuple(NotedSlot(**slot) for slot in json.loads(text)["slots"]) if text is not None else ()
    except (OSError, KeyError, TypeError, ValueError) as broken:
        found = f"Cannot read {path}: {broken}."
        raise StandbyError(Refusal("state_unreadable", found, "look at it, then remove it")) from broken


def former(noted: Iterable[NotedSlot], name: str | None, keywords: Mapping[str, str]) -> tuple[NotedSlot, ...]:
    """Those that are not the slot which the standby is wanted to use now, at the server that ``keywords`` lead to.

    The same server under another name counts as another: whether a slot is in use is for that server to say, which
    drops none that is. If the keywords do not tell the server (``service``), the name alone counts.
    """
    servers = _servers(keywords)
    return tuple(
        slot for slot in noted if slot.name != name or (servers is not None and (slot.host, slot.port) not in servers)
    )


def _servers(keywords: Mapping[str, str]) -> set[tuple[str, int]] | None:
    """Host and port of each server that libpq may choose from; None if the keywords do not tell it.

    PostgreSQL manual of 18, 32.1.1.3 "Specifying Multiple Hosts".
    """
    hosts = (keywords.get("host") or keywords.get("hostaddr") or "").split(",")
    ports = (keywords.get("port") or "").split(",")
    if "service" in keywords or not all(hosts):
        return None
    each = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    return {(host, int(port or _PORT)) for host, port in zip(hosts, each)}


def note(state_directory: str, slot: NotedSlot, only_look: bool) -> bool:
    """Note a slot that is about to be made; whether that changes the record. Raises StandbyError."""
    require_makeable(state_directory)
    if slot in noted_slots(state_directory):
        return False
    if not only_look:
        private_directory(state_directory)
        with locked_directory(state_directory):
            _write(state_directory, [*_others(state_directory, slot), slot])
    return True


def forget(state_directory: str, slot: NotedSlot, only_look: bool) -> bool:
    """The opposite, for a slot that is dropped. Raises StandbyError."""
    if slot.key not in {other.key for other in noted_slots(state_directory)}:
        return False
    if not only_look:
        with locked_directory(state_directory):
            _write(state_directory, _others(state_directory, slot))
    return True


def _others(state_directory: str, slot: NotedSlot) -> list[NotedSlot]:
    return [other for other in noted_slots(state_directory) if other.key != slot.key]


def _write(state_directory: str, slots: list[NotedSlot]) -> None:
    path = _record(state_directory)
    if slots:
        write_atomically(path, json.dumps({"slots": [asdict(slot) for slot in slots]}, indent=1, sort_keys=True) + "\n")
    else:
        os.unlink(path)


def _record(state_directory: str) -> str:
    return os.path.join(state_directory, "slots.json")
