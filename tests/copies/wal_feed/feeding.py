# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive as Barman lays it out, of segments that begin as real ones do, and the feed of it."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_name
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import ResultFile, read_note
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.feed import note_of
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.process import ended, kept_running
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.request import FeedRequest, order_of
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import FakeBarmanHost
from ansible_collections.pgfleet.standby.tests.waiting import wait_until

MIB = 1 << 20
# 15's.
MAGIC = 0xD110
FIRST = 5


def name_of(number: int, timeline: int = 1) -> str:
    """A segment's name."""
    return segment_name(timeline, number * MIB, MIB)


def content_of(number: int, timeline: int = 1, identifier: int = 7) -> bytes:
    """A segment of 1 MiB; what follows its header is noise."""
    head = struct.pack("=HHIQI4xQII", MAGIC, 2, timeline, number * MIB, 0, identifier, MIB, 8192)
    return head + random.Random(number).randbytes(MIB - len(head))


class Feeding:
    """One archive, one spool, and the processes that bring the one into the other."""

    def __init__(self, host: FakeBarmanHost) -> None:
        self.host = host
        self.place = host.root / "barman" / "pg"
        self.archive, self.incoming, self.streaming = (self.place / name for name in ("wals", "incoming", "streaming"))
        for directory in (self.archive, self.incoming, self.streaming):
            directory.mkdir(parents=True)
        host.program("barman", "#!/bin/sh\n")
        self.state = host.state
        self.top = host.state / "wal_feed"
        self.ready = self.top / "ready"

    def put(self, *numbers: int, timeline: int = 1, pack=bytes) -> None:
        """Archive segments."""
        for number in numbers:
            self.write(name_of(number, timeline), pack(content_of(number, timeline)))

    def write(self, name: str, content: bytes, directory: Path | None = None) -> None:
        """A file of the archive or of another directory, complete at once."""
        place = directory or (self.archive / name[:16] if len(name) == 24 else self.archive)
        place.mkdir(exist_ok=True)
        temporary = self.place / "temporary"
        temporary.write_bytes(content)
        temporary.rename(place / name)

    def request(self, **changed) -> FeedRequest:
        """What is asked for: all from the first segment on."""
        given = {"begin_wal": name_of(FIRST), "begin_lsn": f"0/{FIRST * MIB + 40:X}", "end_wal": None, "end_lsn": None}
        of_backup = changed.pop("backup", {})
        backup = None
        if of_backup is not None:
            backup = self.host.backup(**{"system_identifier": "7", "version": 150018, **given, **of_backup})
        return FeedRequest(
            "pg",
            self.host.source,
            str(self.host.pgdata),
            str(self.state),
            backup,
            changed.get("bwlimit"),
            changed.get("bytes"),
        )

    def start(self, check_mode: bool = False, **changed) -> str:
        """A call of the module."""
        request = self.request(**changed)
        places = [str(place) for place in (self.archive, self.incoming, self.streaming)]
        return kept_running(order_of(request, places), request.identity, check_mode)

    def end(self, check_mode: bool = False) -> str:
        """A call with state=absent."""
        return ended(str(self.state), check_mode)

    def pid(self) -> int | None:
        """The feed's process."""
        return (Lock.holder(str(self.top / "runner")) or {}).get("pid")

    def told(self) -> dict:
        """How far it says that it has come."""
        return read_note(note_of(str(self.state))) or {}

    def result(self) -> dict:
        """What it has left at its end."""
        return ResultFile(str(self.top)).read() or {}

    def held(self) -> list[str]:
        """What the server would find."""
        return sorted(name for name in os.listdir(self.ready) if name != "asked") if self.ready.exists() else []

    def ask(self, number: int, timeline: int = 1) -> bool:
        """Do as the server's shell does; whether the segment was there."""
        (self.ready / "asked").write_text(f"{name_of(number, timeline)}\n", encoding="utf-8")
        path = self.ready / name_of(number, timeline)
        there = path.exists()
        if there:
            assert path.read_bytes() == content_of(number, timeline)
            path.unlink()
        return there

    def wait_for_one(self, number: int) -> None:
        """Wait until this segment is there, among others."""
        wait_until(lambda: name_of(number) in self.held(), f"{name_of(number)} in the spool")

    def wait_for(self, *numbers: int, timeline: int = 1) -> None:
        """Wait until just these segments are there."""
        names = [name_of(number, timeline) for number in numbers]
        wait_until(lambda: self.held() == names, f"{names} in the spool, not {self.held()} {self.told()}")

    def wait_for_end(self) -> dict:
        """Wait until it has ended by itself; its result."""
        wait_until(lambda: self.pid() is None and self.result(), "the feed's end")
        return self.result()
