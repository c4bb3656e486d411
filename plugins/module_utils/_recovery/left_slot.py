# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The slot that a standby does not use any more: its server keeps WAL for it until the disk is full. Pure.

Private to the collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import hosts

__all__ = ["UpstreamSlot", "left_slot", "warning_of"]


@dataclass(frozen=True)
class UpstreamSlot:
    """A slot by its name, and the server of a primary_conninfo as it is written there."""

    name: str
    hosts: tuple[str, ...]
    port: str

    @classmethod
    def of(cls, name: str, conninfo: Mapping[str, str]) -> UpstreamSlot | None:
        """That of a standby's settings: of primary_slot_name and of the keywords of primary_conninfo."""
        return cls(name, hosts(conninfo), conninfo.get("port", "5432")) if name else None


def left_slot(before: UpstreamSlot | None, after: UpstreamSlot | None) -> UpstreamSlot | None:
    """The slot that the settings ``before`` use and those ``after`` do not."""
    return before if before != after else None


def warning_of(slot: UpstreamSlot) -> Refusal:
    """What a person has to know of it, and how it is dropped."""
    server = f"{' or '.join(slot.hosts) or 'the local socket'}, port {slot.port}"
    return Refusal(
        "slot_left_behind",
        f"The standby has used slot {slot.name} of the server {server}, and does not use it any more. That server keeps"
        " WAL for the slot until its disk is full.",
        "if the slot is not used by another standby, and the server is not the new upstream by another name, run there:"
        f" SELECT pg_drop_replication_slot('{slot.name}')",
    )
