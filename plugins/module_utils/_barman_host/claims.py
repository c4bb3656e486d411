# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims: which hosts use a backup that is kept or staged for them, and until when. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._times import in_utc

__all__ = [
    "FULL",
    "NOKEEP",
    "ClaimStep",
    "Claims",
    "Seen",
    "claims_of",
    "renewed",
    "to_claim",
    "to_release",
    "when_expires",
]

# What ``barman keep --status`` says; the third is ``standalone``, which lets WAL after the backup's end go.
FULL, NOKEEP = "full", "nokeep"

# From one look at who reads to the next: a copy whose connection broke reads nothing for a while.
_RENEWED_SECONDS = 3600.0


class Claims(NamedTuple):
    """The owners of claims on a backup, each with the end of the claim in seconds since 1970.

    ``ours``: the keep was made for these claims. ``mark`` is what tells that keep from one that is made later.
    """

    claims: dict[str, float]
    ours: bool = False
    mark: int | None = None


class Seen(NamedTuple):
    """What Barman says of the backup now, and the mark of the keep that is there; None if there is none to be seen."""

    target: str
    mark: int | None = None


class ClaimStep(NamedTuple):
    """The claims to put on record, what Barman has to do (``keep``, ``release`` or none), and whether that is new.

    ``taken_over``: the keep on record as ours is another one now.
    """

    uses: Claims
    command: str | None
    changed: bool
    taken_over: bool = False


def claims_of(record: Mapping[str, Any], now: float) -> Claims:
    """The claims on record that still count. A claim that has expired does not."""
    claims = dict(record.get("claims", {}))
    counting = {owner: float(expires) for owner, expires in claims.items() if expires > now}
    return Claims(counting, bool(record.get("ours")), record.get("mark"))


def renewed(record: Mapping[str, Any], now: float, is_read: Callable[[], bool]) -> Claims:
    """The claims on record that count: those that have expired, too, for an hour more, while somebody still reads.

    ``is_read`` tells whether anybody reads the files now; it is asked only if a claim has expired. Who reads is not
    known: a copy may take longer than was thought, and its play may be gone.
    """
    uses, on_record = claims_of(record, now), claims_of(record, float("-inf"))
    late = on_record.claims.keys() - uses.claims.keys()
    if not late or not is_read():
        return uses
    return uses._replace(claims={**uses.claims, **dict.fromkeys(late, now + _RENEWED_SECONDS)})


def to_claim(uses: Claims, seen: Seen, owner: str, expires: float) -> ClaimStep:
    """Add a claim, or prolong it.

    A keep is ours only while it is there as we made it. A keep that somebody has made since is not ours.
    """
    command = "keep" if seen.target == NOKEEP else None
    ours = command is not None or _still_ours(uses, seen)
    changed = command is not None or owner not in uses.claims
    return ClaimStep(_now(uses, {**uses.claims, owner: expires}, ours), command, changed, _taken_over(uses, seen))


def to_release(uses: Claims, seen: Seen, owner: str | None) -> ClaimStep:
    """Take a claim away. With the last claim goes a keep that was made for claims, and no other keep."""
    claims = {name: expires for name, expires in uses.claims.items() if name != owner}
    ours = _still_ours(uses, seen)
    command = "release" if ours and not claims else None
    changed = command is not None or owner in uses.claims
    return ClaimStep(_now(uses, claims, ours), command, changed, _taken_over(uses, seen))


def _still_ours(uses: Claims, seen: Seen) -> bool:
    # The target alone does not tell: whoever wants to have the backup kept for good asks for the same one.
    return uses.ours and seen == Seen(FULL, uses.mark)


def _taken_over(uses: Claims, seen: Seen) -> bool:
    return uses.ours and seen.target != NOKEEP and not _still_ours(uses, seen)


def _now(uses: Claims, claims: dict[str, float], ours: bool) -> Claims:
    return Claims(claims, ours, uses.mark if ours else None)


def when_expires(claims: Mapping[str, float], owner: str) -> str | None:
    """When a claim of this owner expires, in ISO 8601 and UTC; None if there is no such claim."""
    return in_utc(claims[owner]) if owner in claims else None
