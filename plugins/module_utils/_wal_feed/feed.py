# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The feed: WAL from the archive into the spool, ahead of the server, until nobody needs that any more.

Private to the collection.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import feed_of, runner_of, wal_spool_of
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.postmaster import work_of_server
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.course import Course, Room, course_of
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.packed import BrokenFileError
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.pull import INTERRUPTED, Archive, Pull
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.spool import Cluster, Spool

__all__ = ["Fed", "FeedOrder", "feed", "note_of", "streams"]

# Seconds between two looks when there is nothing to bring: at what the server has taken, and at the archive.
_PAUSE_SECONDS = 5.0

# How many rsyncs may fail in a row, and how many segments may be refused in a row.
_MOST_FAILURES, _MOST_REFUSED = 5, 8

# How long neither a server nor a copy may be seen. A play that has failed is run again within that, or starts anew.
_UNUSED_SECONDS = 1800.0

_NICE = 10


@dataclass(frozen=True)
class FeedOrder:
    """What is to be fed. Replay begins at ``lsn`` on ``timeline``.

    ``bwlimit`` is KiB/s, ``bound`` are the most bytes that the spool may take.
    """

    barman_host: BarmanHost
    archive: Archive
    cluster: Cluster
    data_directory: str
    state_directory: str
    timeline: int
    lsn: int
    bwlimit: int | None = None
    bound: int | None = None


@dataclass(frozen=True)
class Fed:
    """How far a feed has come.

    ``segments`` were brought, and ``last`` was the last of them. ``refused`` are those of the archive that are not what
    their names say, with the reason. ``waits_for`` is ``server`` if the spool is full, ``archive`` if that has no more,
    or None. ``ended`` is why the feed has come to its end: ``streaming``, ``promoted``, ``unused``
    (neither a server nor a copy was there for long) or ``stopped``; None before.
    """

    segments: int = 0
    last: str | None = None
    timeline: int | None = None
    refused: dict[str, str] = field(default_factory=dict)
    waits_for: str | None = None
    bound: int = 0
    ended: str | None = None
    restarts: int = 0


def note_of(state_directory: str) -> str:
    """The file in which a feed tells how far it has come."""
    return os.path.join(feed_of(state_directory), "fed.json")


def streams(data_directory: str, state_directory: str) -> bool:
    """Whether the server of a directory receives WAL from its upstream, by the title of its process."""
    try:
        return _receives(inspect(data_directory, state_directory))
    except StandbyError as unseen:
        if unseen.code == INTERRUPTED:
            raise
        return False  # not to know is no reason to end


def _receives(pgdata: DataDir) -> bool:
    return pgdata.pid is not None and work_of_server(pgdata.pid).receiver is not None


class _Need:
    """Who needs the feed: a server that replays, or a copy that brings the files of one."""

    def __init__(self, order: FeedOrder) -> None:
        self._order = order
        self._seen = time.monotonic()

    def is_over(self) -> str | None:
        """Why nobody needs the feed any more, or None. Not to know is no reason to end."""
        order, seconds = self._order, time.monotonic()
        try:
            pgdata = inspect(order.data_directory, order.state_directory)
            if _receives(pgdata):
                return "streaming"
        except StandbyError as unseen:
            if unseen.code == INTERRUPTED:
                raise
            self._seen = seconds
            return None
        if pgdata.running and pgdata.state == "cluster":
            return "promoted"
        if pgdata.running or Lock.holder(runner_of(order.state_directory)) is not None:
            self._seen = seconds
        return "unused" if seconds - self._seen > _UNUSED_SECONDS else None


def feed(order: FeedOrder, _progress: Progress) -> Fed:
    """Bring segments until nobody needs them, or until this process is told to end. Raises StandbyError."""
    os.nice(_NICE)
    running = _Feed(order)
    try:
        running.told()
        return running.told(ended=running.run(_Need(order).is_over))
    except StandbyError as error:
        if error.code != INTERRUPTED:
            raise
        return running.told(ended="stopped")
    finally:
        running.pull.close()


class _Feed:
    """One feed at work."""

    def __init__(self, order: FeedOrder) -> None:
        self._order = order
        self._size = order.cluster.segment_size
        self._spool = Spool(wal_spool_of(order.state_directory), order.cluster)
        self._spool.make()
        self._room = Room.of(self._spool.free(), self._size, order.bound)
        self.pull = Pull(order.barman_host, order.archive, order.bwlimit)
        self._course: Course | None = None
        self._asked: int | None = None
        self._segments = 0
        self._brought: set[str | None] = set()
        self._last: str | None = None
        self._refused: dict[str, str] = {}
        self._refused_in_a_row = 0
        self._noted: Fed | None = None

    def told(self, waits_for: str | None = None, ended: str | None = None) -> Fed:
        """How far it has come, which is noted for others as well."""
        timeline = self._course.timeline if self._course is not None else None
        bound, last = self._room.bound, self._last
        fed = Fed(self._segments, last, timeline, dict(self._refused), waits_for, bound, ended)
        if fed != self._noted:
            write_atomically(note_of(self._order.state_directory), json.dumps(asdict(fed)) + "\n")
            self._noted = fed
        return fed

    def run(self, is_over: Callable[[], str | None]) -> str:
        """Bring segments until it is over; why it is. Raises StandbyError."""
        failures = 0
        while True:
            over = is_over()
            if over is not None:
                return over
            try:
                waits_for = self._round()
                failures = 0
            except StandbyError as error:
                failures += 1
                if failures == _MOST_FAILURES or error.code in _FINAL:
                    raise
                waits_for = "archive"
            self.told(waits_for)
            if waits_for is not None:
                time.sleep(_PAUSE_SECONDS)

    def _round(self) -> str | None:
        """Bring what there is room for; what has to change before there is more to do, or None."""
        course = self._course or self._look_for_course()
        asked = self._spool.asked()
        self._asked = self._asked if asked is None else asked
        held = self._spool.held()
        window = self._room.window(self._size) + len(self._refused)
        self._spool.drop(course.useless(held, self._asked, window))
        held = self._spool.held()
        count = self._room.segments(len(held) * self._size, self._spool.free(), self._size)
        if not count:
            return "server"
        # What we have brought and the server has asked for last, it has taken. What it has not found it may still lack.
        taken = self._brought & {course.name(self._asked)}
        names = course.next(self._asked, {name for name in (*held, *self._refused, *taken) if name}, count)
        arrived = self.pull.segments(names)
        for name, path in arrived:
            self._admit(name, path)
        if len(arrived) == len(names):
            return None
        there = dict(arrived)
        more = [self._admit_early(*found) for found in self.pull.not_archived([n for n in names if n not in there])]
        self._look_for_course()
        return None if arrived or any(more) else "archive"

    def _look_for_course(self) -> Course:
        order = self._order
        try:
            histories = self.pull.histories(order.timeline)
        except BrokenFileError:
            histories = {}
        self._course = course_of(order.timeline, order.lsn, self._size, histories)
        return self._course

    def _admit(self, name: str, path: str) -> None:
        """Let a segment of the archive in, or remember why not. Raises StandbyError if none is any more."""
        reason = self._spool.admit(path, name)
        if reason is None:
            self._count(name)
            return
        self._refused[name] = reason
        self._refused_in_a_row += 1
        if self._refused_in_a_row == _MOST_REFUSED:
            raise StandbyError(
                Refusal(
                    "wal_unusable",
                    f"Of Barman's archive the last {_MOST_REFUSED} segments are not what their names say: of {name},"
                    f" {reason}. The server gets its WAL by its ordinary restore_command.",
                    "look whether the archive is encrypted, or of another cluster",
                )
            )

    def _admit_early(self, name: str, path: str) -> bool:
        """Let a segment in that Barman has not archived yet: if it is not whole, it is still being written."""
        if self._spool.admit(path, name) is not None:
            return False
        self._count(name)
        return True

    def _count(self, name: str) -> None:
        self._segments += 1
        self._brought.add(name)
        self._last = name
        self._refused_in_a_row = 0


# What trying again does not help against.
_FINAL = (INTERRUPTED, "wal_unusable", "wal_decompressor_missing", "rsync_missing_local", "rsync_missing_remote")
