# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the server of a data directory writes its log, and what it has written since a start.

Until the logging collector runs, and without it, a server writes to the stderr that it was started with: the unit's
journal, the file that pg_ctl was given, or that of Debian's packaging. PostgreSQL manual of 18, 19.8.1. Private to the
collection.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import AUTO_CONF
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import acting_as, owner_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import configured
from ansible_collections.pgfleet.standby.plugins.module_utils._server.last_words import LastWords, last_words
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_lines import (
    Message,
    of_csv,
    of_json,
    of_stderr,
    since_last_start,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._server.unit import (
    debian_cluster,
    debian_directory,
    unit_of_cgroup,
)

__all__ = ["LogPlaces", "ServerLog", "config_file_of_start", "words_of_last_start"]

# How much of the end of a log is read, in bytes. A start says much less.
_TAIL = 256 * 1024

_SECONDS = 60

_JOURNALCTL = ("journalctl", "--no-pager", "--quiet", "--output=cat")

# Of the setting log_filename, if it is not set.
_FILE_NAME = "postgresql-%Y-%m-%d_%H%M%S.log"

# The file in which a server notes the files of its logging collector (from PostgreSQL 10 on), and what started it.
_CURRENT, _OPTIONS = "current_logfiles", "postmaster.opts"


@dataclass(frozen=True)
class LogPlaces:
    """Whose log is looked for. ``unit`` is the name of the server's systemd unit, None if that is not known.

    ``config_directory`` holds postgresql.conf, None if the data directory does or if that is not known.
    """

    data_directory: str
    state_directory: str
    unit: str | None = None
    config_directory: str | None = None


@dataclass(frozen=True)
class _Log:
    """One file: ``collected`` if the logging collector writes it. The rest tells how far it went at the look."""

    path: str
    collected: bool
    inode: int
    size: int
    changed: float


class ServerLog:
    """What the server of a directory writes from the moment on at which this is made."""

    def __init__(self, places: LogPlaces) -> None:
        self._places = places
        self._owner = owner_of(places.data_directory)
        self._began = time.time()
        self._before = {log.path: log for log in self._logs()}

    @property
    def readable(self) -> bool:
        """Whether there is a place to look for what it says."""
        unit = self._places.unit
        return bool(self._logs()) or (unit is not None and _has_journal(unit))

    def words(self) -> LastWords:
        """What it has said since then of its failure."""
        return last_words(self.messages())

    def messages(self) -> list[Message]:
        """All that it has said since then."""
        messages = _journal(self._places.unit, self._began) if self._places.unit is not None else []
        with acting_as(self._owner):
            return [*messages, *_messages(self._written())]

    def _logs(self) -> list[_Log]:
        with acting_as(self._owner):
            return list(_logs(self._places))

    def _written(self) -> Iterator[tuple[_Log, str]]:
        for log in _logs(self._places):
            before = self._before.get(log.path)
            start = before.size if before is not None and before.inode == log.inode and before.size <= log.size else 0
            if log.size > start:
                yield log, _read(log, start)


def words_of_last_start(places: LogPlaces, pid: int | None = None) -> LastWords:
    """What a server has said since it was started last, by whomever. ``pid`` is its process if it runs."""
    started = _time_of(os.path.join(places.data_directory, _OPTIONS))
    logs = {log.path: log for log in (*_logs(places), *_stderr_of(pid))}
    recent = [(log, _read(log, 0)) for log in logs.values() if started is None or log.changed >= started]
    unit = places.unit or unit_of_cgroup((read_small(f"/proc/{pid}/cgroup") or "") if pid is not None else "")
    said = _journal(unit, started) if unit is not None and started is not None else []
    return last_words([*since_last_start(said), *since_last_start(_messages(recent))])


# --- which files ---------------------------------------------------------------------------------


def _logs(places: LogPlaces) -> Iterator[_Log]:
    yield from _noted([os.path.join(places.state_directory, "server.log"), *_of_debian(places.unit)], collected=False)
    collected = dict.fromkeys([*_current(places.data_directory), *_collected(places)])
    yield from _noted(collected, collected=True)


def _noted(paths: Iterable[str], collected: bool) -> Iterator[_Log]:
    for path in paths:
        with contextlib.suppress(OSError):
            found = os.stat(path)
            if stat.S_ISREG(found.st_mode):
                yield _Log(path, collected, found.st_ino, found.st_size, found.st_mtime)


def _of_debian(unit: str | None) -> list[str]:
    """Where pg_ctlcluster has the server write (postgresql-common, pg_ctlcluster(1))."""
    cluster, directory = debian_cluster(unit or ""), debian_directory(unit or "")
    if cluster is None or directory is None:
        return []
    named = os.path.join(directory, "log")
    return [
        os.path.realpath(named) if os.path.exists(named) else f"/var/log/postgresql/postgresql-{'-'.join(cluster)}.log"
    ]


def _current(data_directory: str) -> list[str]:
    """The files in use, as the collector notes them: a line ``stderr log/postgresql.log`` for each form."""
    text = _text(os.path.join(data_directory, _CURRENT))
    named = [line.split(" ", 1)[1] for line in text.splitlines() if " " in line]
    return [os.path.join(data_directory, name) for name in named]


def _collected(places: LogPlaces) -> Iterator[str]:
    """The files that the configuration lets the collector write, and has let it write."""
    data = places.data_directory
    for settings in _configurations(places):
        directory = os.path.join(data, settings.get("log_directory", "log"))
        stem = os.path.splitext(os.path.basename(settings.get("log_filename", _FILE_NAME)))[0]
        pattern = re.sub(
            r"%(\\?.)", lambda match: "%" if match[1] == "%" else ".*", re.escape(stem).replace("\\%", "%")
        )
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(directory)):
                if re.fullmatch(rf"{pattern}(\..*)?", name):
                    yield os.path.join(directory, name)


def _configurations(places: LogPlaces) -> Iterator[dict[str, str]]:
    """What each configuration sets that the server may be started with."""
    data, packaged = places.data_directory, debian_directory(places.unit or "")
    directories = [data, *filter(None, (packaged, places.config_directory))]
    options = [(name, value) for name, equals, value in (w.partition("=") for w in _words_of_start(data)) if equals]
    files = [
        *(os.path.join(directory, "postgresql.conf") for directory in directories),
        *(value for name, value in options if name == "config_file"),
    ]
    given = {name: value for name, value in options if name in ("log_directory", "log_filename")}
    try:
        own = configured(os.path.join(data, AUTO_CONF))
    except (OSError, StandbyError):
        return
    for file in dict.fromkeys(files):
        with contextlib.suppress(OSError, StandbyError):
            yield {**configured(file), **own, **given}


def config_file_of_start(data_directory: str) -> str | None:
    """The configuration file that the last start of a server on the directory was given; None if it was given none."""
    found = [word.partition("=")[2] for word in _words_of_start(data_directory) if word.startswith("config_file=")]
    return found[-1] if found else None


def _words_of_start(data_directory: str) -> list[str]:
    """How a server was started on the directory last: its program and the options of that."""
    try:
        return shlex.split(_text(os.path.join(data_directory, _OPTIONS)))
    except ValueError:
        return []


def _stderr_of(pid: int | None) -> Iterator[_Log]:
    """The file to which a running server was told to write, by whoever started it."""
    if pid is not None:
        with contextlib.suppress(OSError):
            yield from _noted([os.readlink(f"/proc/{pid}/fd/2")], collected=False)


# --- what is in them -----------------------------------------------------------------------------


def _messages(written: Iterable[tuple[_Log, str]]) -> list[Message]:
    """All messages; of a collector that writes several forms, those of one form."""
    plain: list[Message] = []
    forms: dict[str, list[Message]] = {"json": [], "csv": [], "log": []}
    for log, text in written:
        if not log.collected:
            plain += of_stderr(text)
        elif log.path.endswith(".json"):
            forms["json"] += of_json(text)
        elif log.path.endswith(".csv"):
            forms["csv"] += of_csv(text)
        else:
            forms["log"] += of_stderr(text)
    return plain + (forms["json"] or forms["csv"] or forms["log"])


def _has_journal(unit: str) -> bool:
    """Whether the journal tells anything of the unit, to whoever we are."""
    try:
        return bool(LocalShell().run([*_JOURNALCTL, "--lines=1", f"--unit={unit}"], _SECONDS).out.strip())
    except StandbyError:
        return False


def _journal(unit: str, since: float) -> list[Message]:
    """What the journal has of the unit from a time on, in seconds since 1970; nothing for who may not read it."""
    argv = [*_JOURNALCTL, f"--since=@{since:.6f}", f"--unit={unit}"]
    try:
        done = LocalShell().run(argv, _SECONDS)
    except StandbyError:
        return []
    return of_stderr(done.out[-_TAIL:])


def _read(log: _Log, start: int) -> str:
    """The end of a log, from a position on. One that another user has put in the place of a log is not waited for."""
    try:
        handle = os.open(log.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(handle, "rb") as stream:
        stream.seek(max(start, log.size - _TAIL))
        return stream.read(_TAIL).decode("utf-8", "replace")


def _text(path: str) -> str:
    try:
        return read_small(path) or ""
    except OSError:
        return ""


def _time_of(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None
