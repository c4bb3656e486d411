# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of a data directory asked; or why it could not be asked, and what is seen of it from outside.

A server that runs and cannot be asked is left alone. Private to the collection.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir, Instance
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.postmaster import Work, work_of_server
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import LocalServer, local_instance

__all__ = ["Answer", "Unasked", "ask_server", "place_of"]

# Every cluster has it; that of the superuser's name may have been dropped.
_ALWAYS_THERE = "template1"

# The address of line 6 of postmaster.pid that stands for all, and one of this host.
_ALL_ADDRESSES = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound

_ALONE = "It is left alone."


@dataclass(frozen=True)
class Unasked:
    """Why a server that runs could not be asked.

    ``kind``: ``starting`` (it replays, or is at the beginning of its start) or ``stopping``, which end by themselves;
    ``no_hot_standby``, ``hidden`` (where it listens is not known here) or ``refused``. ``work`` is what its processes
    say that they do.
    """

    kind: str
    refusal: Refusal
    work: Work = field(default_factory=Work)

    @property
    def passes(self) -> bool:
        """Whether it is worth waiting for: it changes by itself."""
        return self.kind in ("starting", "stopping")


@dataclass(frozen=True)
class Answer:
    """What the server says of itself, or why it could not be asked; neither if none runs."""

    instance: Instance | None = None
    unasked: Unasked | None = None


def place_of(pgdata: DataDir, user: str | None = None) -> LocalServer | None:
    """Where the server of a directory listens on this host: its socket, or its address if it has none.

    ``user`` is the role to log in as, None for that of the OS user's name.
    """
    host = pgdata.socket_directory or _ALL_ADDRESSES.get(pgdata.listen_address or "", pgdata.listen_address)
    if not pgdata.running or pgdata.port is None or host is None:
        return None
    return LocalServer(host, pgdata.port, pgdata.pid, user)


def ask_server(pgdata: DataDir, user: str | None = None, dbname: str = "postgres") -> Answer:
    """Ask the server that runs on a directory, if one does, in that database or in one that is always there.

    Raises StandbyError if psycopg2 is missing.
    """
    if pgdata.pid is None:
        return Answer()
    work = work_of_server(pgdata.pid)
    before = _unasked_by_its_word(pgdata, work)
    if before is not None:
        return Answer(unasked=before)
    place = place_of(pgdata, user)
    if place is None:
        return Answer(unasked=_hidden(pgdata, work))
    failed: list[StandbyError] = []
    for database in (dbname, _ALWAYS_THERE):
        try:
            return Answer(local_instance(place, database))
        except StandbyError as error:
            if error.code not in ("instance_unreachable", "instance_other_server"):
                raise
            failed.append(error)
    first = failed[0].refusal
    found = f"{first.found} {_ALONE} {_seen(pgdata, work)}"
    return Answer(unasked=Unasked("refused", Refusal(first.code, found, first.next_step), work))


def _unasked_by_its_word(pgdata: DataDir, work: Work) -> Unasked | None:
    """What postmaster.pid says of a server that would refuse every login; its messages may be in any language."""
    where = f"The server on {pgdata.path} (pid {pgdata.pid})"
    status = "starting" if pgdata.status is None and place_of(pgdata) is None and pgdata.port else pgdata.status
    seen = _seen(pgdata, work)
    if status == "starting":
        found = f"{where} is starting and takes no connections yet. {_ALONE} {seen}"
        step = "wait until it takes connections, then run again; if it does not get on, read its log"
        return Unasked("starting", Refusal("server_starting", found, step), work)
    if status == "stopping":
        found = f"{where} is shutting down and takes no connections. {_ALONE} {seen}"
        return Unasked("stopping", Refusal("server_stopping", found, "wait until it has ended, then run again"), work)
    if status == "standby":
        found = f"{where} replays WAL and takes no connections, because hot_standby is off. {_ALONE} {seen}"
        step = "set hot_standby=on in its configuration and restart it, or stop it yourself if it may go"
        return Unasked("no_hot_standby", Refusal("hot_standby_off", found, step), work)
    return None


def _hidden(pgdata: DataDir, work: Work) -> Unasked:
    found = (
        f"A server runs on {pgdata.path} (pid {pgdata.pid}), and where it listens is not known: no postmaster.pid there"
        f" is of that process, as if it ran in a container or the file had been removed. {_ALONE} {_seen(pgdata, work)}"
    )
    step = "correct data_directory, or stop that server yourself if it may go"
    return Unasked("hidden", Refusal("server_hidden", found, step), work)


def _seen(pgdata: DataDir, work: Work) -> str:
    """What pg_control and the titles of the processes tell."""
    said = []
    if pgdata.control is not None:
        control = pgdata.control
        said.append(f"pg_control says {control.state!r} on timeline {control.timeline}, checkpoint {control.redo_lsn}")
    if work.startup is not None:
        said.append(f"its startup process is {work.startup}")
    if work.receiver is not None:
        said.append(f"its WAL receiver is {work.receiver}")
    return f"From outside: {'; '.join(said)}." if said else "Nothing is known of it from outside."
