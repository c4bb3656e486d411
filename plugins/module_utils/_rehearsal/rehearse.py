# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rehearsal: the standby's own programs start a scratch cluster with the standby's configuration.

What the server refuses to start with is told in its own words, before one byte is copied. Nothing is left of it.
Private to the collection.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import Completed, LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError, of_os_error
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.cluster import (
    SKELETON_BYTES,
    Furnished,
    Standby,
    furnish,
    initdb,
    room,
    skeleton,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.scratch import Scratch, scratch
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.server import Said, free_port, start
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.settings import (
    command_line,
    log_directory,
    rehearsed_environment,
    relocated,
    told_at_login,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.words import (
    is_port_taken,
    unheard_addresses,
    words,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._server.causes import cause_of

__all__ = ["Rehearsed", "rehearse", "rehearse_in_part"]

# How often another port is taken because somebody else was quicker.
_PORTS = 5

_SOCKETS = "unix_socket_directories"

# From this version on the program has --check (PostgreSQL source, bootstrap/bootstrap.c, BootstrapModeMain): it reads
# the configuration, makes shared memory and all that is in it, and ends.
_CHECK_SINCE = 15
_CHECK_SECONDS = 120

# What it fails at then that a start would fail at as well. Anything else may be for want of a whole cluster.
_FORETOLD = ("setting_invalid", "shared_memory", "semaphores", "io_uring", "out_of_memory")


@dataclass(frozen=True)
class Rehearsed:
    """``refusals`` are what the standby would not start with, ``warnings`` what it says although it starts.

    ``not_shown`` is what such a start cannot show.
    """

    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[Refusal, ...] = ()
    not_shown: tuple[str, ...] = ()


def rehearse(standby: Standby) -> Rehearsed:
    """Try the start of a standby.

    Raises StandbyError: ``rehearsal_failed`` if the rehearsal cannot be had.
    """
    _require_programs(standby, ("initdb", "postgres"))
    with _as_failed_rehearsal(), scratch(_bases(standby), room(standby)) as place:
        initdb(standby, place)
        furnished = furnish(standby, place)
        said = _start(standby, furnished, place)
        return _judge(standby, furnished, said)


def rehearse_in_part(standby: Standby) -> Rehearsed:
    """Try what needs no cluster of a start, for a host on which none can be made: settings, memory and io_uring.

    Raises StandbyError: ``rehearsal_failed`` if not even that can be had.
    """
    _require_programs(standby, ("postgres",))
    if standby.major < _CHECK_SINCE:
        raise _failed(f"The program of PostgreSQL {standby.major} has no --check", "see why there is no rehearsal")
    with _as_failed_rehearsal(), scratch(_bases(standby), SKELETON_BYTES) as place:
        skeleton(standby, place)
        furnished = furnish(standby, place)
        program, *options = _argv(standby, furnished, place, free_port())
        done = LocalShell(inherited=(place.lock,)).run([program, "--check", *options], _CHECK_SECONDS)
        return _judge_part(standby, furnished, done)


def _judge_part(standby: Standby, furnished: Furnished, done: Completed) -> Rehearsed:
    told = _told(furnished, done.err)
    if done.rc == 0:
        left_out = "that the server starts with its configuration: tried were only its settings, memory and io_uring"
        return Rehearsed(not_shown=(left_out, *_not_shown(standby, furnished)))
    cause = cause_of(told)
    if cause is None or cause.name not in _FORETOLD:
        raise _failed(f"postgres --check ends with exit code {done.rc}. It says: {told or 'nothing'}", "see why")
    return Rehearsed(
        (
            Refusal(
                "server_would_not_start",
                f"The server of {standby.data_directory} would not start. It says: {told}. That was tried without a"
                " cluster (postgres --check); nothing was changed.",
                cause.next_step,
            ),
        )
    )


def _bases(standby: Standby) -> list[str]:
    """Where a scratch cluster may be made, the better one first."""
    return list(filter(os.path.isdir, (tempfile.gettempdir(), os.path.dirname(standby.state_directory))))


def _require_programs(standby: Standby, names: Iterable[str]) -> None:
    if os.geteuid() == 0:
        raise _failed("It runs as root, and PostgreSQL's programs do not", "run it as the database's OS user")
    for name in names:
        program = os.path.join(standby.bindir, name)
        if not os.access(program, os.X_OK):
            raise _failed(f"There is no {program}", "install the server package, or correct pg_bindir")


def _failed(why: str, step: str) -> StandbyError:
    return StandbyError(Refusal("rehearsal_failed", f"{why}.", step))


@contextmanager
def _as_failed_rehearsal() -> Iterator[None]:
    """What goes wrong with the scratch cluster says nothing of the standby."""
    try:
        yield
    except StandbyError as failed:
        if failed.code == "rehearsal_failed":
            raise
        raise StandbyError(Refusal("rehearsal_failed", failed.refusal.found, failed.refusal.next_step)) from failed
    except OSError as failed:
        refusal = of_os_error(failed)
        raise StandbyError(Refusal("rehearsal_failed", refusal.found, refusal.next_step)) from failed


def _start(standby: Standby, furnished: Furnished, place: Scratch) -> Said:
    """The server's start, with another port if somebody was quicker."""
    said = Said(False, None, "")
    for _attempt in range(_PORTS):
        port = free_port()
        place.will_make(_sockets(standby, furnished, port))
        said = start(_argv(standby, furnished, place, port), place, rehearsed_environment(standby.environment))
        if said.ready or not is_port_taken(said.text):
            return said
    raise _failed(
        f"Other programs have taken {_PORTS} ports that were free. It has said: {words(said.text)}", "run again"
    )


def _argv(standby: Standby, furnished: Furnished, place: Scratch, port: int) -> list[str]:
    moved = relocated(furnished.configured, furnished.places)
    if furnished.config_file is not None:
        moved["config_file"] = furnished.config_file
    program = os.path.join(standby.bindir, "postgres")
    options = command_line(standby.major, moved, place.path, port, standby.beside_another)
    return [program, "-D", place.data, *options]


def _sockets(standby: Standby, furnished: Furnished, port: int) -> list[str]:
    """The sockets that the server will make. A directory that is not set is the program's own choice."""
    value = furnished.configured.get(_SOCKETS)
    named = value.split(",") if value is not None else ["/tmp", "/var/run/postgresql", "/run/postgresql"]  # noqa: S108
    directories = [name.strip().strip('"') for name in named]
    return [
        os.path.join(standby.data_directory, name, f".s.PGSQL.{port}")
        for name in directories
        if name and not name.startswith("@")
    ]


def _judge(standby: Standby, furnished: Furnished, said: Said) -> Rehearsed:
    text = furnished.places.back(said.text)
    told = _told(furnished, said.text)
    if not said.ready:
        if furnished.places.data_directory + "/" in said.text:
            raise _failed(
                f"Its words name a place in {standby.data_directory}, which the scratch cluster stands in for: {told}",
                "see whether the configuration includes a file of the data directory",
            )
        how = "does not get on with its start" if said.ended is None else "would not start"
        return Rehearsed((_refusal(standby, f"{how}. It says: {told or 'nothing'}"),))
    unread = furnished.unread
    refused = (replace(unread, found=furnished.places.back(unread.found)),) if unread else _of_log(standby, furnished)
    unheard = unheard_addresses(text)
    warnings = [
        Refusal(
            "server_would_not_listen",
            f"The server would start with its configuration, and not listen everywhere: {' / '.join(unheard)}.",
            "correct the addresses in that configuration, or give them to the host first",
        )
    ]
    return Rehearsed(refused, tuple(warnings if unheard else ()), tuple(_not_shown(standby, furnished)))


def _told(furnished: Furnished, text: str) -> str:
    """What the server says, of the standby's places and without secrets."""
    hidden = [value for name, value in furnished.configured.items() if name == "ssl_passphrase_command" and value]
    return words(furnished.places.back(text), hidden)


def _refusal(standby: Standby, why: str) -> Refusal:
    return Refusal(
        "server_would_not_start",
        f"The server of {standby.data_directory} {why}. That was tried with a scratch cluster; nothing was changed.",
        "mend what it names, in the configuration of this host or in that which the backup brings",
    )


def _of_log(standby: Standby, furnished: Furnished) -> tuple[Refusal, ...]:
    """The server makes one directory for its log, and does not start if it cannot open a file there (syslogger.c)."""
    directory = log_directory(furnished.configured, standby.data_directory)
    if directory is None:
        return ()
    place = directory if os.path.isdir(directory) else os.path.dirname(directory)
    if os.access(place, os.W_OK | os.X_OK) and (place == directory or not os.path.lexists(directory)):
        return ()
    why = f"would not start: logging_collector is on, and no log can be opened in {directory}"
    return (_refusal(standby, why),)


def _not_shown(standby: Standby, furnished: Furnished) -> Iterator[str]:
    for setting in told_at_login(furnished.configured):
        yield f"that the libraries of {setting} can be loaded, which a server does at a login"
    if standby.beside_another:
        yield "that there is memory for the server as it is configured, because another one runs in the data directory"
