# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is it the standby that was asked for, and if not, why not. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import hosts
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Instance, Upstream

__all__ = ["behind", "lag_bytes", "not_following", "reasons", "refusal"]


def lag_bytes(instance: Instance, upstream: Upstream | None) -> int | None:
    """How many bytes of WAL the upstream has written that are not replayed here."""
    if upstream is None or instance.replay_lsn is None:
        return None
    return max(0, upstream.lsn - instance.replay_lsn)


def reasons(
    instance: Instance,
    keywords: Mapping[str, str] | None = None,
    upstream: Upstream | None = None,
    slot_name: str | None = None,
    min_replay_lsn: int | None = None,
    max_lag_bytes: int | None = None,
) -> list[str]:
    """Every reason why the instance is not ready; empty when it is. What is not given is not asked for."""
    astray = not_following(instance, keywords, upstream, slot_name)
    return astray + (behind(instance, upstream, min_replay_lsn, max_lag_bytes) if instance.in_recovery else [])


def not_following(
    instance: Instance,
    keywords: Mapping[str, str] | None = None,
    upstream: Upstream | None = None,
    slot_name: str | None = None,
) -> list[str]:
    """Every reason why the instance is no standby that streams from the upstream as it should."""
    if not instance.in_recovery:
        return ["it is not in recovery: it runs as a primary"]
    found = _receiver(instance, keywords, slot_name)
    if upstream is not None:
        if instance.system_identifier != upstream.system_identifier:
            found.append(
                f"its system identifier is {instance.system_identifier}, the upstream's is {upstream.system_identifier}"
            )
        if instance.receiver is not None and instance.receiver.timeline not in (None, upstream.timeline):
            found.append(f"it receives timeline {instance.receiver.timeline}, the upstream is on {upstream.timeline}")
    return found


def behind(
    instance: Instance,
    upstream: Upstream | None = None,
    min_replay_lsn: int | None = None,
    max_lag_bytes: int | None = None,
) -> list[str]:
    """Every reason why a standby is not far enough, or will not be. A delayed one is judged by what it has received."""
    position, did = (instance.replay_lsn, "replayed") if not instance.delayed else (instance.receive_lsn, "received")
    found = ["its replay is paused"] if instance.paused else []
    lag = max(0, upstream.lsn - position) if upstream is not None and position is not None else None
    if max_lag_bytes is not None and lag is not None and lag > max_lag_bytes:
        found.append(f"it is {lag} bytes behind the upstream, more than max_lag_bytes={max_lag_bytes}")
    if min_replay_lsn is not None and (position is None or position < min_replay_lsn):
        at = "nothing yet" if position is None else format_lsn(position)
        found.append(f"it has {did} {at}, not yet {format_lsn(min_replay_lsn)}")
    return found


def refusal(
    path: str, reasons: Sequence[str], behind: Sequence[str], instance: Instance | None, upstream: Upstream | None
) -> Refusal | None:
    """Why the server on ``path`` is not ready, by its name; None if it is.

    ``reasons`` are those why it is not the standby that streams, ``behind`` those why it is not far enough.
    """
    if not reasons and not behind:
        return None
    found = f"The standby on {path} is not ready: {'; '.join([*reasons, *behind])}."
    if reasons:
        return Refusal("standby_not_ready", found, "read the server's log; a new run goes on from here")
    if instance is not None and instance.paused and not _too_small(instance, upstream):
        return Refusal(
            "replay_paused",
            found,
            "if nobody needs the pause, run SELECT pg_wal_replay_resume() on the standby, then run again",
        )
    return Refusal(
        "standby_catching_up",
        found,
        "see what holds its replay up (its log, its disks, queries that conflict); a new run goes on from here",
    )


def _too_small(instance: Instance, upstream: Upstream | None) -> bool:
    """Whether a standby has a limit below the upstream's, for which it pauses by itself from PostgreSQL 14 on.

    PostgreSQL manual, 26.4.3 "Administrator's Overview" of hot standby.
    """
    wanted = upstream.settings if upstream is not None else {}
    return any(value < wanted.get(name, 0) for name, value in instance.settings.items())


def _receiver(instance: Instance, keywords: Mapping[str, str] | None, slot_name: str | None) -> list[str]:
    receiver = instance.receiver
    if receiver is None:
        return ["it has no WAL receiver: it is not connected to any upstream"]
    found = []
    if receiver.status != "streaming":
        found.append(f"its WAL receiver is {receiver.status}, not streaming")
    if keywords is not None:
        wanted_port = keywords.get("port", "5432").split(",")
        if receiver.sender_host not in hosts(keywords):
            found.append(f"it receives from {receiver.sender_host}, not from {' or '.join(hosts(keywords))}")
        elif str(receiver.sender_port) not in wanted_port:
            found.append(f"it receives from port {receiver.sender_port}, not from {' or '.join(wanted_port)}")
    if slot_name and receiver.slot_name != slot_name:
        found.append(f"it uses {f'slot {receiver.slot_name}' if receiver.slot_name else 'no slot'}, not {slot_name}")
    return found
