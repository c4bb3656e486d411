# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a standby will find all WAL that it has to replay. Private to the collection.

What is found is a verdict, whatever it is: nothing is raised for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import parse_history
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import (
    SegmentRange,
    are_consecutive,
    segment_name,
    segments_needed,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.walsender import HeldWal, holds_wal
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem, warning

__all__ = ["WalProof", "prove", "prove_archived"]

# Names that Barman is asked for at a time: a terabyte of the usual segments, 1.6 MB of output.
_PEEK = 1 << 16

_AGAIN_SECONDS = 0.5

_CHOOSE = (
    "choose a newer backup (a standby that was only stopped: clone it again),"
    " or bring the segment back into Barman's archive"
)


@dataclass(frozen=True)
class WalProof:
    """The WAL that replay needs, and who has it.

    ``first`` is the segment where it begins; ``bytes`` count up to what the upstream had written.
    ``from_upstream`` is the first segment that the upstream still has or has to send, ``in_archive`` the first that
    Barman was seen to have: one that restore_command can be tried on.
    """

    verdicts: tuple[Verdict, ...]
    first: str
    bytes: int
    from_upstream: str | None = None
    in_archive: str | None = None


def prove(
    begin: tuple[int, int],
    upstream: Upstream,
    keywords: Mapping[str, str],
    segment_size: int,
    barman: Barman | None,
) -> WalProof:
    """Whether every segment is there from ``begin`` (timeline and position) up to what the upstream has written.

    The upstream is asked first; Barman for what that has removed, in a row up to one that it still has. Raises
    StandbyError only when psycopg2 is missing.
    """
    first = segment_name(*begin, segment_size)
    segments = segments_needed(*begin, upstream, segment_size)
    if segments is None:
        return WalProof((_not_in_history(begin, upstream),), first, 0)
    if not segments.count:
        return WalProof((Verdict("wal", "ok", "there is no WAL to replay yet"),), first, 0)
    search = _Search(segments, upstream, keywords, barman)
    search.run()
    return WalProof(
        (*search.verdicts(), *_of_later_timeline(upstream, barman if search.failed is None else None)),
        segments.name(0),
        upstream.lsn - begin[1],
        search.from_upstream,
        search.in_archive,
    )


def prove_archived(timeline: int, begin: int, end: int, segment_size: int, barman: Barman) -> WalProof:
    """Whether Barman has every segment from ``begin`` to ``end``, positions on one timeline, without any upstream."""
    no_upstream = Upstream("", "", "", timeline, end, 0, {})
    segments = segments_needed(timeline, begin, no_upstream, segment_size)
    if segments is None or not segments.count:
        return WalProof((Verdict("wal", "ok", "there is no WAL to replay"),), "", 0)
    search = _Search(segments, no_upstream, {}, barman)
    found = search.in_barman(0, segments.count)
    return WalProof((search.archived(found),), segments.name(0), end - begin, in_archive=search.in_archive)


@dataclass
class _Search:
    """Looks for one segment after the other. ``index`` is the first that neither the upstream nor Barman has."""

    segments: SegmentRange
    upstream: Upstream
    keywords: Mapping[str, str]
    barman: Barman | None
    index: int = 0
    holding: HeldWal = field(default_factory=lambda: HeldWal(None))
    failed: StandbyError | None = None
    from_upstream: str | None = None
    in_archive: str | None = None

    def run(self) -> None:
        """Stops after the last segment, or at the first that neither has.

        Barman is asked for that one twice. It looks in its archive before it looks in its incoming directories, so it
        misses a segment that it is moving from there into the archive.
        """
        self._go()
        if self.index < self.segments.count and self.barman is not None and self.failed is None:
            time.sleep(_AGAIN_SECONDS)
            found = self.in_barman(self.index, self.segments.count)
            self.index += found
            if found:
                self._go()

    def _go(self) -> None:
        """Asks upstream and Barman in turns until one has all the rest, or neither has the next segment."""
        while self.index < self.segments.count:
            begin, held = self.index, self._on_upstream()
            self.index += held
            if held and self.from_upstream is None:
                self.from_upstream = self.segments.name(begin)
            if self.index < self.segments.count:
                self.index += self.in_barman(self.index, self.segments.count)
            elif begin == 0:
                self.in_barman(0, 1)  # nothing is needed of it, but does it answer?
            if self.index == begin:
                return

    def _on_upstream(self) -> int:
        """How many of the next segments the upstream has.

        It removes the oldest first, so one that it has speaks for those after it; but an old one can be left over,
        and a walsender sends it once the server was restarted. So it is asked for some, ever further apart: that finds
        a hole which is not shorter than what is left over before it.
        """
        remaining = self.segments.count - self.index
        known = 0
        for offset in (0, *(1 << power for power in range(remaining.bit_length()))):
            if offset >= remaining:
                break
            holding = self._holding(self.index + offset)
            if not holding.held:
                self.holding = holding
                return known
            known = offset + 1
        return remaining

    def _holding(self, index: int) -> HeldWal:
        """Whether the upstream has a segment; the one that it writes now needs no question."""
        timeline, start = self.segments.position(index)
        if index and start + self.segments.segment_size > self.upstream.lsn:
            return HeldWal(True)
        return holds_wal(self.keywords, timeline, start)

    def in_barman(self, index: int, end: int) -> int:
        """How many segments from ``index`` on, but before ``end``, Barman has in a row."""
        start = index
        try:
            while self.barman is not None and self.failed is None and index < end:
                wanted = min(_PEEK, self.segments.on_timeline(index), end - index)
                found = are_consecutive(self.segments, index, self.barman.peek_wal(self.segments.name(index), wanted))
                index += found
                if found < wanted:
                    break
        except StandbyError as failed:
            self.failed = failed
        if index > start and self.in_archive is None:
            self.in_archive = self.segments.name(start)
        return index - start

    def archived(self, count: int) -> Verdict:
        """The verdict if Barman alone was asked, and has ``count`` segments in a row."""
        if count == self.segments.count:
            said = f"all {count} WAL segments of the backup from {self.segments.name(0)} on are in Barman"
            return Verdict("wal", "ok", said)
        if self.failed is not None:
            cause = self.failed.refusal
            unasked = f"Barman could not be asked for WAL: {cause.found}"
            return problem("wal", Refusal("wal_unproven", unasked, cause.next_step))
        missing = f"WAL segment {self.segments.name(count)} of the backup is missing in Barman."
        return problem("wal", Refusal("wal_missing", missing, _CHOOSE))

    def verdicts(self) -> tuple[Verdict, ...]:
        """What the search has found."""
        if self.index < self.segments.count:
            return (self._missing(),)
        where = "in Barman"
        if self.from_upstream == self.segments.name(0):
            where = f"at the upstream {self.upstream.host}"
        elif self.from_upstream is not None:
            where = f"in Barman and, from {self.from_upstream} on, at the upstream {self.upstream.host}"
        found = Verdict(
            "wal", "ok", f"all {self.segments.count} WAL segments from {self.segments.name(0)} on are there, {where}"
        )
        if self.failed is None:
            return (found,)
        unasked = (
            f"The upstream {self.upstream.host} still has the WAL that is needed, but Barman could not be asked for its"
            f" own: {self.failed.refusal.found}"
        )
        refusal = Refusal("wal_archive_unreachable", unasked, self.failed.refusal.next_step)
        return (found, warning("wal_archive", refusal))

    def _missing(self) -> Verdict:
        """The verdict on the first segment that was not found."""
        missing = self.segments.name(self.index)
        begins = f"Replay begins with {self.segments.name(0)}"
        if self.index:
            begins += f", and all is there up to {self.segments.name(self.index - 1)}"
        answer = "does not have it" if self.holding.held is False else "did not say whether it has it"
        said = f"the upstream {self.upstream.host} {answer} ({self.holding.reason})"
        unknown = f"Whether WAL segment {missing} is there cannot be told. {begins}; {said}, and"
        if self.failed is not None:
            cause = self.failed.refusal
            unasked = f"{unknown} Barman could not be asked: {cause.found}"
            return problem("wal", Refusal("wal_unproven", unasked, cause.next_step))
        archive = "there is no Barman to look in"
        if self.barman is not None:
            archive = (
                f"Barman on {self.barman.shell.where} does not have it for server {self.barman.server}, neither in its"
                " archive nor in its incoming and streaming directories"
            )
        if self.holding.held is None:
            step = "make the upstream answer, which the standby asks for the same"
            return problem("wal", Refusal("wal_unproven", f"{unknown} {archive}.", step))
        text = f"WAL segment {missing} is missing. {begins}; {said}, and {archive}."
        return problem("wal", Refusal("wal_missing", text, _CHOOSE))


def _of_later_timeline(upstream: Upstream, barman: Barman | None) -> tuple[Verdict, ...]:
    """A problem if the archive leads replay to a timeline that the upstream does not have.

    A standby asks its archive for the history of one timeline after the other, until one is missing, and follows the
    last one that is there (xlogrecovery.c and timeline.c, findNewestTimeLine).
    """
    if barman is None:
        return ()
    later = upstream.timeline + 1
    try:
        there = barman.history(later)
    except StandbyError as failed:
        cause = failed.refusal
        unasked = f"Whether Barman has the history of a timeline {later} cannot be told: {cause.found}"
        return (problem("wal_archive", Refusal("wal_unproven", unasked, cause.next_step)),)
    if there is None:
        return ()
    name, ancestors = f"{later:08X}.history", parse_history(there)
    left = f", which left timeline {ancestors[-1][0]} at {format_lsn(ancestors[-1][1])}" if ancestors else ""
    return (
        problem(
            "wal_archive",
            Refusal(
                "archive_timeline_ahead",
                f"Barman on {barman.shell.where} has {name} for server {barman.server}{left}: somebody has promoted a"
                f" copy that archives there. The upstream {upstream.host} is on timeline {upstream.timeline}; a standby"
                f" would replay into timeline {later} and never stream from it.",
                f"if timeline {later} is nobody's any more, take {name} and its segments out of Barman's archive; if"
                " the upstream has failed over, name the new primary as upstream",
            ),
        ),
    )


def _not_in_history(begin: tuple[int, int], upstream: Upstream) -> Verdict:
    """A warning, for the check of timelines has the verdict on this."""
    return warning(
        "wal",
        Refusal(
            "wal_unproven",
            f"What WAL is needed cannot be told: {format_lsn(begin[1])} on timeline {begin[0]} is not in the history"
            " of the"
            f" upstream {upstream.host}, which is on timeline {upstream.timeline}.",
            "see the verdict on timelines",
        ),
    )
