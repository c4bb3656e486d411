# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the standby may use its slot at the upstream. Pure. Private to the collection."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import Slot, UpstreamFacts
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.requested_settings import SLOT_NAME
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem, warning

__all__ = ["slot", "slot_wal_limit"]


def slot(host: str, name: str | None, facts: UpstreamFacts, ours: bool, made: bool = False) -> list[Verdict]:
    """Whether the wanted slot may be used. ``ours``: this very standby runs, and is the one that uses it.

    ``made``: a missing slot will be made, by an ordinary login.
    """
    if not name:
        return [Verdict("slot", "ok", "no slot is wanted")]
    if not SLOT_NAME.fullmatch(name):
        said = f"slot_name={name!r} is not a name that a server takes for a slot."
        return [
            problem(
                "slot", Refusal("slot_name_invalid", said, "use lower-case letters, digits and underscores, at most 63")
            )
        ]
    slot = facts.slot
    if slot is None:
        return []
    if slot.kind == "absent":
        return [_absent(host, slot, facts, made)]
    if slot.kind == "logical":
        said = f"Slot {name} of {host} is a logical one, which no standby can stream from."
        return [problem("slot", Refusal("slot_logical", said, "choose another slot_name"))]
    if slot.wal_status == "lost" or slot.invalidation_reason:
        why = f" ({slot.invalidation_reason})" if slot.invalidation_reason else ""
        said = f"Slot {name} of {host} is lost{why}: WAL that it stood for is gone, and no standby can use it again."
        return [
            problem("slot", Refusal("slot_lost", said, f"drop it there: SELECT pg_drop_replication_slot('{name}')"))
        ]
    if slot.active and not ours:
        said = f"Slot {name} of {host} is in use by {_user_of(slot)}."
        return [problem("slot", Refusal("slot_active", said, "choose another slot_name, or stop what uses it"))]
    if slot.wal_status == "unreserved":
        said = f"Slot {name} of {host} no longer holds back the WAL that it needs and will be lost."
        return [warning("slot", Refusal("slot_wal_limit", said, "raise max_slot_wal_keep_size on the upstream"))]
    if slot.active is None:
        return [Verdict("slot", "ok", f"slot {name} exists; whether it is in use is not known")]
    return [Verdict("slot", "ok", f"slot {name} is {'used by this standby' if slot.active else 'not in use'}")]


def _absent(host: str, slot: Slot, facts: UpstreamFacts, made: bool) -> Verdict:
    limit, used = facts.max_replication_slots, facts.slots_in_use
    if limit == 0 or (limit is not None and used is not None and used >= limit):
        return problem(
            "slot",
            Refusal(
                "slots_exhausted",
                f"There is no slot {slot.name} on {host}, and none can be made:"
                f" max_replication_slots is {limit}{'' if used is None else f', and {used} are there'}.",
                "drop a slot that is not needed (pg_replication_slots), or raise max_replication_slots and restart",
            ),
        )
    if made and facts.database is not None:
        return Verdict("slot", "ok", f"slot {slot.name} will be made on {host}")
    why = " It cannot be made from here, for the role that streams is let into no database." if made else ""
    return problem(
        "slot",
        Refusal(
            "slot_absent",
            f"There is no slot {slot.name} on {host}; a standby does not stream without it.{why}",
            f"make it: SELECT pg_create_physical_replication_slot('{slot.name}', true)",
        ),
    )


def _user_of(slot: Slot) -> str:
    """Which client holds the slot, as far as pg_stat_replication shows it."""
    name = slot.application_name or "another client"
    place = f" at {slot.client_addr}" if slot.client_addr else ""
    return f"{name}{place} (process {slot.pid})"


def slot_wal_limit(host: str, name: str | None, facts: UpstreamFacts, backlog: int) -> list[Verdict]:
    """Whether the upstream keeps as much WAL for a slot as the standby has to catch up with: ``backlog`` bytes."""
    limit = facts.max_slot_wal_keep_size
    if not name or limit is None:
        return []
    if limit < 0 or backlog <= limit:
        return [Verdict("slot_wal_limit", "ok", "the upstream keeps enough WAL for a slot")]
    return [
        warning(
            "slot_wal_limit",
            Refusal(
                "slot_wal_limit",
                f"The standby begins {backlog} bytes of WAL behind {host}, which keeps {limit} for a slot"
                f" (max_slot_wal_keep_size): slot {name} can be lost before the standby has caught up.",
                "raise max_slot_wal_keep_size on the upstream, take a newer backup, or rely on restore_command",
            ),
        )
    ]
