# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a standby that is waited for has come, and since when it comes no further. Pure. Private to the collection.

A wait may be cut into steps, each a process of its own: what a step knows is handed on to the next as plain data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_start

__all__ = ["Sight", "Waited", "progress_of", "waited_from"]

_SEGMENT = re.compile(r"\b[0-9A-F]{24}\b")
_POSITION = re.compile(r"\b[0-9A-F]{1,8}/[0-9A-F]{1,8}\b")
# The mark of the last segment that the server was seen to look for in the archive; to look is not to come nearer.
_SOUGHT = "sought"
_WORK = "work"


@dataclass(frozen=True)
class Sight:
    """One look. ``position`` is how far it is in the WAL, in bytes; None if that is not seen.

    ``marks`` are numbers, of which each that is greater than ever before brings the standby nearer: positions, and of
    one that cannot be asked the segment in the title of its process and its work. ``pid`` is the postmaster's.
    """

    pid: int | None
    position: int | None
    marks: Mapping[str, int]

    @classmethod
    def of(cls, status: Mapping[str, Any], minimum: str | None, work: int) -> Sight:
        """What a result of standby_info tells. ``work`` grows while the server's processes work.

        What it receives beyond ``minimum`` does not bring it nearer to that.
        """
        pid, instance = status["pgdata"]["pid"], status["instance"]
        if instance is None:
            return cls(pid, *_from_outside(status, work))
        received, replayed = (parse_lsn(instance[name] or "0/0") for name in ("receive_lsn", "replay_lsn"))
        wanted = received if minimum is None else min(received, parse_lsn(minimum))
        position = received if instance.get("delayed") else replayed
        return cls(pid, position or None, {"received": wanted, "replayed": replayed})


def _from_outside(status: Mapping[str, Any], work: int) -> tuple[int | None, dict[str, int]]:
    """The position and the marks of a server that cannot be asked, by its pg_control and its processes' titles."""
    unasked, control = status.get("unasked") or {}, status["pgdata"].get("control") or {}
    startup, receiver = unasked.get("startup") or "", unasked.get("receiver") or ""
    marks = {"flushed": parse_lsn(control["min_recovery_lsn"])} if control else {}
    received = _POSITION.search(receiver)
    if received is not None:
        marks["received"] = parse_lsn(received.group())
    segment = _SEGMENT.search(startup)
    sought = startup.startswith("waiting for")
    if not sought:
        marks[_WORK] = work
    if segment is None:
        return None, marks
    # Without its timeline: one segment is sought on several.
    marks["segment"] = int(segment.group()[8:], 16)
    if sought:
        marks[_SOUGHT] = marks["segment"]
    if not control:
        return None, marks
    try:
        return segment_start(segment.group(), control["wal_segment_size"])[1], marks
    except ValueError:
        return None, marks


@dataclass(frozen=True)
class Waited:
    """What a wait knows so far. Times are seconds since the host's boot ``boot``.

    ``minimum`` is the position that is waited for. ``furthest`` holds each mark's greatest value of the postmaster
    ``pid``; ``moved_at`` is when one of them last grew. ``position`` was seen at ``seen_at``.
    """

    boot: str
    minimum: str | None
    pid: int | None
    furthest: Mapping[str, int] = field(default_factory=dict)
    moved_at: float = 0.0
    position: int | None = None
    seen_at: float = 0.0

    @classmethod
    def begun(cls, boot: str, minimum: str | None, sight: Sight, now: float) -> Waited:
        """After the first look."""
        return cls(boot, minimum, sight.pid, dict(sight.marks), now, sight.position, now)

    def after(self, sight: Sight, minimum: str | None, now: float) -> Waited:
        """After another look: the time without progress goes on, unless it has come further or is another server.

        A server that seeks a segment again and again works, and shows that segment as the one that it replays: neither
        brings it nearer.
        """
        if sight.pid != self.pid:
            return Waited.begun(self.boot, minimum, sight, now)
        idle = "segment" in sight.marks and self.furthest.get(_SOUGHT, -1) >= sight.marks["segment"]
        ignored = {_SOUGHT, _WORK} if idle else {_SOUGHT}
        grown = {name for name, value in sight.marks.items() if value > self.furthest.get(name, -1)}
        furthest = {**self.furthest, **{name: sight.marks[name] for name in grown}}
        moved_at = now if grown - ignored else self.moved_at
        return replace(
            self, minimum=minimum, furthest=furthest, moved_at=moved_at, position=sight.position, seen_at=now
        )


def waited_from(given: Mapping[str, Any], boot: str) -> Waited | None:
    """What an earlier step handed on; None after a reboot of the host, when its times mean nothing.

    Raises StandbyError for what no step has made.
    """
    try:
        waited = Waited(
            boot=str(given["boot"]),
            minimum=given["minimum"],
            pid=given["pid"],
            furthest={str(name): int(value) for name, value in given["furthest"].items()},
            moved_at=float(given["moved_at"]),
            position=given["position"],
            seen_at=float(given["seen_at"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as wrong:
        found = f"The option waited is no result of an earlier call: {wrong!r}."
        raise StandbyError(Refusal("option_invalid", found, "pass its return value `waited`")) from wrong
    return waited if waited.boot == boot else None


def progress_of(
    earlier: Waited, waited: Waited, status: Mapping[str, Any], consistent_since: float | None
) -> dict[str, Any]:
    """How far it is. ``rate`` in bytes a second since ``earlier``, ``eta`` and ``still`` in seconds.

    ``behind`` are the bytes up to the position that is waited for; None for what is not known. ``still`` is how long it
    has come no further.
    """
    position, before = waited.position, earlier.position
    seconds = waited.seen_at - earlier.seen_at
    rate = None
    if position is not None and before is not None and seconds > 0:
        rate = max(0, position - before) / seconds
    behind = None
    if position is not None and waited.minimum is not None:
        behind = max(0, parse_lsn(waited.minimum) - position)
    return {
        "phase": _phase(status, behind),
        "behind": behind,
        "rate": rate,
        "eta": behind / rate if behind and rate else None,
        "still": waited.seen_at - waited.moved_at,
        "consistent_since": consistent_since,
    }


def _phase(status: Mapping[str, Any], behind: int | None) -> str:
    """What it does, in a word or two."""
    instance = status["instance"]
    if instance is None:
        kind = (status.get("unasked") or {}).get("kind")
        return "replaying" if behind is not None and kind != "stopping" else str(kind or "starting")
    if behind:
        return "receiving" if instance.get("delayed") else "replaying"
    return "connecting" if not status["catching_up"] else "catching up"
