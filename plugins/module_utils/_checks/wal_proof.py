# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a standby will find all WAL that it has to replay. Private to the collection.

What is found is a verdict, whatever it is: nothing is raised for it.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import environment
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import first_line
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import (
    HEADER_BYTES,
    Way,
    flaw,
    in_a_row,
    needed,
    segment_name,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Upstream, Verdict
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.walsender import Holding, holds

__all__ = ["WalProof", "fetch_one", "prove", "prove_archived"]

# Names that Barman is asked for at a time: a terabyte of the usual segments, 1.6 MB of output.
_PEEK = 1 << 16

_AGAIN_SECONDS = 0.5

_FETCH_SECONDS = 60

_STDERR_BYTES = 64 << 10

# ssh and barman often have some before they tell what is wrong.
_WARNING = re.compile(r"^\s*warning\b.*", re.IGNORECASE | re.MULTILINE)

_PLACEHOLDER = re.compile(r"%[%fpr]")

# What PostgreSQL gives for %r before replay has begun (xlogarchive.c, RestoreArchivedFile): a command that cleans
# up older segments on the way removes nothing.
_NO_RESTARTPOINT = "0" * 24

_CHOOSE = (
    "Next: choose a newer backup (a standby that was only stopped: clone it again),"
    " or bring the segment back into Barman's archive."
)


@dataclass(frozen=True)
class WalProof:
    """What replay needs, and where it is.

    ``first`` is the segment where it begins; ``segments`` and ``bytes`` count up to what the upstream had written.
    ``from_upstream`` is the first segment that the upstream still has or has to send, ``in_archive`` the first that
    Barman was seen to have: one that restore_command can be tried on.
    """

    verdicts: tuple[Verdict, ...]
    first: str
    segments: int
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
    way = needed(*begin, upstream, segment_size)
    if way is None:
        return WalProof((_not_in_history(begin, upstream),), first, 0, 0)
    if not way.count:
        return WalProof((Verdict("wal", "ok", "there is no WAL to replay yet"),), first, 0, 0)
    search = _Search(way, upstream, keywords, barman)
    search.run()
    return WalProof(
        search.verdicts(), way.name(0), way.count, upstream.lsn - begin[1], search.from_upstream, search.in_archive
    )


def prove_archived(timeline: int, begin: int, end: int, segment_size: int, barman: Barman) -> WalProof:
    """Whether Barman has every segment from ``begin`` to ``end``, positions on one timeline, without any upstream."""
    nobody = Upstream("", "", "", timeline, end, 0, {})
    way = needed(timeline, begin, nobody, segment_size)
    if way is None or not way.count:
        return WalProof((Verdict("wal", "ok", "there is no WAL to replay"),), "", 0, 0)
    search = _Search(way, nobody, {}, barman)
    found = search.in_barman(0, way.count)
    return WalProof((search.archived(found),), way.name(0), way.count, end - begin, in_archive=search.in_archive)


@dataclass
class _Search:
    """Goes along the way as far as somebody has the next segment: ``index`` is the first that nobody has."""

    way: Way
    upstream: Upstream
    keywords: Mapping[str, str]
    barman: Barman | None
    index: int = 0
    holding: Holding = field(default_factory=lambda: Holding(None))
    failed: StandbyError | None = None
    from_upstream: str | None = None
    in_archive: str | None = None

    def run(self) -> None:
        """Stops at the end of the way, or where neither has the next one.

        Barman is asked for that twice: it looks in its archive before it looks where segments come in, and so does not
        find what it is moving.
        """
        self._go()
        if self.index < self.way.count and self.barman is not None and self.failed is None:
            time.sleep(_AGAIN_SECONDS)
            found = self.in_barman(self.index, self.way.count)
            self.index += found
            if found:
                self._go()

    def _go(self) -> None:
        """Asks in turns until one has all the rest, or neither has the next one."""
        while self.index < self.way.count:
            begin, held = self.index, self._on_upstream()
            self.index += held
            if held and self.from_upstream is None:
                self.from_upstream = self.way.name(begin)
            if self.index < self.way.count:
                self.index += self.in_barman(self.index, self.way.count)
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
        remaining = self.way.count - self.index
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

    def _holding(self, index: int) -> Holding:
        """Whether the upstream has a segment; the one that it writes now needs no question."""
        timeline, start = self.way.position(index)
        if index and start + self.way.segment_size > self.upstream.lsn:
            return Holding(True)
        return holds(self.keywords, timeline, start)

    def in_barman(self, index: int, end: int) -> int:
        """How many segments from ``index`` on, but before ``end``, Barman has in a row."""
        start = index
        try:
            while self.barman is not None and self.failed is None and index < end:
                wanted = min(_PEEK, self.way.on_timeline(index), end - index)
                found = in_a_row(self.way, index, self.barman.peek_wal(self.way.name(index), wanted))
                index += found
                if found < wanted:
                    break
        except StandbyError as failed:
            self.failed = failed
        if index > start and self.in_archive is None:
            self.in_archive = self.way.name(start)
        return index - start

    def archived(self, count: int) -> Verdict:
        """The verdict where Barman alone was asked, and has so many in a row."""
        if count == self.way.count:
            said = f"all {count} WAL segments of the backup from {self.way.name(0)} on are in Barman"
            return Verdict("wal", "ok", said)
        if self.failed is not None:
            return Verdict("wal", "error", f"Barman could not be asked for WAL: {self.failed.msg}", "wal_unproven")
        text = f"WAL segment {self.way.name(count)} of the backup is missing in Barman. {_CHOOSE}"
        return Verdict("wal", "error", text, "wal_missing")

    def verdicts(self) -> tuple[Verdict, ...]:
        """What the search has found."""
        if self.index < self.way.count:
            return (self._missing(),)
        where = "in Barman"
        if self.from_upstream == self.way.name(0):
            where = f"at the upstream {self.upstream.host}"
        elif self.from_upstream is not None:
            where = f"in Barman and, from {self.from_upstream} on, at the upstream {self.upstream.host}"
        found = Verdict("wal", "ok", f"all {self.way.count} WAL segments from {self.way.name(0)} on are there, {where}")
        if self.failed is None:
            return (found,)
        warning = (
            f"The upstream {self.upstream.host} still has the WAL that is needed, but Barman could not be asked for its"
            f" own: {self.failed.msg}"
        )
        return (found, Verdict("wal_archive", "warning", warning, "wal_archive_unreachable"))

    def _missing(self) -> Verdict:
        """The verdict on the segment that nobody has, or may have."""
        missing = self.way.name(self.index)
        begins = f"Replay begins with {self.way.name(0)}"
        if self.index:
            begins += f", and all is there up to {self.way.name(self.index - 1)}"
        answer = "does not have it" if self.holding.held is False else "did not say whether it has it"
        said = f"the upstream {self.upstream.host} {answer} ({self.holding.reason})"
        unknown = f"Whether WAL segment {missing} is there cannot be told. {begins}; {said}, and"
        if self.failed is not None:
            text = f"{unknown} Barman could not be asked: {self.failed.msg}"
            return Verdict("wal", "error", text, "wal_unproven")
        archive = "there is no Barman to look in"
        if self.barman is not None:
            archive = (
                f"Barman on {self.barman.shell.where} does not have it for server {self.barman.server}, neither in its"
                " archive nor in its incoming and streaming directories"
            )
        if self.holding.held is None:
            text = f"{unknown} {archive}. Next: make the upstream answer; a standby asks it for the same."
            return Verdict("wal", "error", text, "wal_unproven")
        text = f"WAL segment {missing} is missing. {begins}; {said}, and {archive}. {_CHOOSE}"
        return Verdict("wal", "error", text, "wal_missing")


def _not_in_history(begin: tuple[int, int], upstream: Upstream) -> Verdict:
    """A warning, for the check of timelines has the verdict on this."""
    return Verdict(
        "wal",
        "warning",
        f"What WAL is needed cannot be told: {format_lsn(begin[1])} on timeline {begin[0]} is not in the history of the"
        f" upstream {upstream.host}, which is on timeline {upstream.timeline}. Next: see the verdict on timelines.",
        "wal_unproven",
    )


def fetch_one(restore_command: str, segment: str, segment_size: int, system_identifier: str | None = None) -> Verdict:
    """Whether restore_command really fetches a segment here, as the user that runs this.

    It is run as PostgreSQL does (manual, 20.5.5 and 26.3.4): by a shell, with ``%f``, ``%p``, ``%r`` and ``%%``
    replaced. ``%p`` is an absolute path in a directory that is private and removed afterwards, which is the working
    directory as well: the data directory may not be there yet, and must not be written into. ``segment`` has to be
    one that the archive has. Takes at most 60 seconds.
    """
    with tempfile.TemporaryDirectory(prefix="pgfleet.") as scratch:
        path = os.path.join(scratch, "RECOVERYXLOG")
        rc, stderr = _run(_rendered(restore_command, segment, path), scratch)
        if rc != 0:
            return _command_failed(segment, rc, stderr)
        wrong = _flaw_of_file(path, segment, segment_size, system_identifier)
    if wrong is None:
        return Verdict("restore_command", "ok", f"restore_command fetches {segment}")
    return Verdict(
        "restore_command",
        "error",
        f"restore_command was run here for WAL segment {segment} and ended with exit code 0, but what it fetched is not"
        f" that segment: {wrong}. Next: make it take the segment, uncompressed, from the archive of this cluster.",
        "restore_command_wrong_file",
    )


def _rendered(command: str, segment: str, path: str) -> str:
    """The command line. Another character after ``%`` is left as it is, as PostgreSQL did up to 15."""
    values = {"%%": "%", "%f": segment, "%p": path, "%r": _NO_RESTARTPOINT}
    return _PLACEHOLDER.sub(lambda found: values[found.group()], command)


def _run(command: str, directory: str) -> tuple[int | None, str]:
    """Exit code, None after a time-out, and stderr. A time-out ends what the shell has started, too."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=directory,
            env=environment(),
            start_new_session=True,
        )
        rc = None
        try:
            rc = process.wait(_FETCH_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if rc is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        errors.seek(0)
        return rc, errors.read(_STDERR_BYTES).decode("utf-8", "replace")


def _command_failed(segment: str, rc: int | None, stderr: str) -> Verdict:
    """The command itself is not repeated: it may hold a secret."""
    ended = f"exit code {rc}" if rc is not None else f"it did not end within {_FETCH_SECONDS} seconds and was ended"
    reason = first_line(_WARNING.sub("", stderr)) or first_line(stderr)
    said = f" ({reason})" if reason else ""
    return Verdict(
        "restore_command",
        "error",
        f"restore_command was run here for WAL segment {segment} and did not fetch it: {ended}{said}."
        " Next: run it by hand as the database's OS user on this host until it does, or correct restore_command.",
        "restore_command_fails",
    )


def _flaw_of_file(path: str, segment: str, segment_size: int, system_identifier: str | None) -> str | None:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size != segment_size:
            return f"it has {status.st_size} bytes, a segment has {segment_size}"
        with open(path, "rb") as file:
            return flaw(file.read(HEADER_BYTES), segment, segment_size, system_identifier)
    except FileNotFoundError:
        return "there is no file at %p"
    except OSError as failed:
        return f"it cannot be read ({failed.strerror})"
