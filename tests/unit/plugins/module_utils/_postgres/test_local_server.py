# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that could not be asked is told of, and never taken for a bad one. The servers are ones of a test's own."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.postmaster import Work
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import bounded as _bounded
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import connect as _connect
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import local_server as _local_server
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import LocalServer, local_instance
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.local_server import (
    Answer,
    ask_server,
    place_of,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL, instance
from ansible_collections.pgfleet.standby.tests.waiting import BOUND

SEGMENT = "000000010000000000000005"


def directory(**changed):
    """The directory of a standby that runs."""
    given = {"pid": 7, "port": 5432, "socket_directory": "/run/postgresql", "status": "ready", **changed}
    return DataDir(path="/pgdata", state="standby", version="15", control=CONTROL, **given)


@pytest.fixture
def logins(monkeypatch):
    """The logins that were tried; each is answered by what a test puts into ``answers``, by database."""
    seen, answers = [], {}

    def login(place, dbname):
        seen.append(dbname)
        answer = answers.get(dbname, StandbyError(Refusal("instance_unreachable", "It says no.", "see its log")))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(_local_server, "local_instance", login)
    monkeypatch.setattr(
        _local_server, "work_of_server", lambda pid: Work(f"recovering {SEGMENT}", "streaming 0/5000148")
    )
    return seen, answers


def test_no_server_is_not_asked(logins):
    assert ask_server(directory(pid=None)) == Answer()
    assert logins[0] == []


def test_a_server_that_answers(logins):
    logins[1]["postgres"] = instance()
    assert ask_server(directory()) == Answer(instance())


def test_a_server_whose_database_postgres_was_dropped(logins):
    logins[1]["template1"] = instance()
    assert ask_server(directory()) == Answer(instance())
    assert logins[0] == ["postgres", "template1"]


@pytest.mark.parametrize(
    ("changed", "kind", "code", "passes"),
    [
        ({"status": "starting"}, "starting", "server_starting", True),
        ({"status": None, "socket_directory": None}, "starting", "server_starting", True),
        ({"status": "stopping"}, "stopping", "server_stopping", True),
        ({"status": "standby"}, "no_hot_standby", "hot_standby_off", False),
        ({"port": None, "socket_directory": None, "status": None}, "hidden", "server_hidden", False),
        ({"socket_directory": None}, "hidden", "server_hidden", False),
        ({}, "refused", "instance_unreachable", False),
    ],
)
def test_why_a_server_was_not_asked(logins, changed, kind, code, passes):
    unasked = ask_server(directory(**changed)).unasked
    assert (unasked.kind, unasked.refusal.code, unasked.passes) == (kind, code, passes)
    assert "It is left alone." in unasked.refusal.found
    for seen in (CONTROL.state, f"recovering {SEGMENT}", "streaming 0/5000148"):
        assert seen in unasked.refusal.found, "what is seen from outside"
    assert logins[0] == (["postgres", "template1"] if kind == "refused" else []), "its own word comes first"


def test_an_answer_of_another_server_is_none(logins):
    other = StandbyError(Refusal("instance_other_server", "Another answers.", "ask it yourself"))
    logins[1].update(postgres=other, template1=other)
    assert ask_server(directory()).unasked.refusal.code == "instance_other_server"


def test_what_is_missing_here_is_no_answer_of_the_server(logins):
    logins[1]["postgres"] = StandbyError(Refusal("psycopg2_missing", "No psycopg2.", "install it"))
    with pytest.raises(StandbyError, match="psycopg2"):
        ask_server(directory())


@pytest.mark.parametrize(
    ("sockets", "address", "host"),
    [
        ("/run/pg", "localhost", "/run/pg"),
        (None, "192.0.2.7", "192.0.2.7"),
        (None, "*", "127.0.0.1"),
        (None, "0.0.0.0", "127.0.0.1"),
        (None, "::", "::1"),
    ],
)
def test_where_a_server_listens(sockets, address, host):
    assert place_of(directory(socket_directory=sockets, listen_address=address)) == LocalServer(host, 5432, 7)


def test_where_a_server_listens_is_not_always_known():
    assert place_of(directory(socket_directory=None)) is None
    assert place_of(directory(port=None)) is None
    assert place_of(directory(pid=None)) is None


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


class SilentServer:
    """Lets everybody in and never answers a question. ``pid`` is that of the session's process, as it tells it."""

    PORT = 5432

    def __init__(self, directory, pid):
        self.pid = pid
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / f".s.PGSQL.{self.PORT}"))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        connection, _address = self._listening.accept()
        with connection, connection.makefile("rb") as said, contextlib.suppress(OSError):
            said.read(struct.unpack("!I", said.read(4))[0] - 4)
            known = {"server_version": "15.20", "client_encoding": "UTF8", "DateStyle": "ISO, MDY"}
            told = b"".join(message(b"S", f"{name}\0{value}\0".encode()) for name, value in known.items())
            key = message(b"K", struct.pack("!II", self.pid, 1))
            connection.sendall(message(b"R", struct.pack("!I", 0)) + told + key + message(b"Z", b"I"))
            while said.read(1):
                pass

    def end(self):
        self._thread.join(BOUND)
        assert not self._thread.is_alive(), "the connection was left open"
        self._listening.close()


@pytest.fixture
def silent(tmp_path):
    servers = []

    def start(pid):
        servers.append(SilentServer(tmp_path, pid))
        return str(tmp_path)

    yield start
    for server in servers:
        server.end()


QUESTIONS = {
    "who it is": local_instance,
    "whether it was used": _connect.signs_of_use,
    "the upstream": lambda place: _connect.identify({"host": place.host, "port": str(place.port), "user": "r"}),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_that_is_never_answered_has_an_end(silent, monkeypatch, name):
    monkeypatch.setattr(_bounded, "_ANSWER_SECONDS", 0.05)
    place = LocalServer(silent(os.getpid()), SilentServer.PORT)
    with pytest.raises(StandbyError) as failed:
        QUESTIONS[name](place)
    assert failed.value.code == ("upstream_refuses" if name == "the upstream" else "instance_unreachable")


def test_only_the_server_of_the_directory_is_asked(silent):
    """Another one may have its port: the session's process is no child of the postmaster."""
    place = LocalServer(silent(os.getpid()), SilentServer.PORT, pid=os.getpid())
    with pytest.raises(StandbyError) as refused:
        local_instance(place)
    assert refused.value.code == "instance_other_server"


def test_the_server_of_the_directory_is_known_by_its_child(silent, monkeypatch):
    monkeypatch.setattr(_bounded, "_ANSWER_SECONDS", 0.05)
    place = LocalServer(silent(os.getpid()), SilentServer.PORT, pid=os.getppid())
    with pytest.raises(StandbyError) as refused:
        local_instance(place)
    assert refused.value.code == "instance_unreachable", "it was asked"
