# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking for WAL, answered by a server that speaks as much of the protocol as is needed to misbehave."""

from __future__ import annotations

import socket
import struct
import threading
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import bounded as _bounded
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import libpq as _libpq
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.walsender import HeldWal, holds_wal
from ansible_collections.pgfleet.standby.tests.waiting import BOUND


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def error(code: str, said: str) -> bytes:
    fields = {"S": "ERROR", "V": "ERROR", "C": code, "M": said}
    return message(b"E", b"".join(f"{name}{text}\0".encode() for name, text in fields.items()) + b"\0")


PARAMETERS = {
    "server_version": "15.20",
    "client_encoding": "UTF8",
    "server_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "standard_conforming_strings": "on",
    "integer_datetimes": "on",
}
IDLE = message(b"Z", b"I")
WELCOME = b"".join(
    [
        message(b"R", struct.pack("!I", 0)),
        *(message(b"S", f"{name}\0{value}\0".encode()) for name, value in PARAMETERS.items()),
        message(b"K", struct.pack("!II", 1, 1)),
        IDLE,
    ]
)
COPYING = message(b"W", struct.pack("!bH", 0, 0))
WAL = message(b"d", b"w" + struct.pack("!QQQ", 0x3000000, 0x3000010, 0) + b"x" * 16)
KEEPALIVE = message(b"d", b"k" + struct.pack("!QQB", 0x3000000, 0, 0))
REMOVED = error("58P01", "requested WAL segment 000000010000000000000003 has already been removed")


class Walsender:
    """Lets everybody in, answers one command with what it was given, and remembers what was said."""

    def __init__(self, answer: bytes, hangs_up: bool = False) -> None:
        self.answer = answer
        self.hangs_up = hangs_up
        self.startup = ""
        self.command = ""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = str(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _address = self._listening.accept()
        with connection, connection.makefile("rb") as said:
            while True:
                body = said.read(struct.unpack("!I", said.read(4))[0] - 4)
                if body[:4] not in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):  # neither SSL nor GSSAPI
                    break
                connection.sendall(b"N")
            self.startup = body[4:].decode()
            connection.sendall(WELCOME)
            while kind := said.read(1):
                body = said.read(struct.unpack("!I", said.read(4))[0] - 4)
                if kind == b"Q":
                    self.command = body.rstrip(b"\0").decode()
                    connection.sendall(self.answer)
                    if self.hangs_up:
                        break

    def end(self) -> None:
        self._listening.close()
        self._thread.join(BOUND)
        assert not self._thread.is_alive(), "the connection was left open"


@pytest.fixture
def ask():
    """Ask a server with such an answer; it is there to be looked at afterwards."""
    servers = []

    def run(answer: bytes, hangs_up: bool = False, **keywords: str) -> tuple[HeldWal, Walsender]:
        server = Walsender(answer, hangs_up)
        servers.append(server)
        given = {"host": "127.0.0.1", "port": server.port, "user": "replicator", "sslmode": "disable", **keywords}
        found = holds_wal(given, 2, 0x3000000)
        server.end()
        return found, server

    return run


@pytest.mark.parametrize(
    ("answer", "held", "reason"),
    [
        pytest.param(COPYING + WAL, True, "", id="data"),
        pytest.param(COPYING + KEEPALIVE + WAL, True, "", id="data after a keepalive"),
        pytest.param(COPYING + REMOVED + IDLE, False, "already been removed", id="removed"),
        pytest.param(REMOVED + IDLE, False, "already been removed", id="removed, said at once"),
        pytest.param(COPYING + error("58P01", "WAL-Segment 00 wurde entfernt") + IDLE, False, "entfernt", id="German"),
        pytest.param(
            COPYING + error("XX000", "angefordertes WAL-Segment 000000010000000000000003 wurde schon entfernt") + IDLE,
            False,
            "entfernt",
            id="German, older than what was removed",
        ),
        pytest.param(
            error("XX000", "requested starting point 0/3000000 on timeline 2 is not in this server's history") + IDLE,
            None,
            "not in this server's history",
            id="not in its history",
        ),
        pytest.param(error("42501", "must be superuser or replication role") + IDLE, None, "must be", id="not allowed"),
    ],
)
def test_answers(ask, answer, held, reason):
    found, server = ask(answer)
    assert found.held is held
    assert reason in found.reason
    assert server.command == "START_REPLICATION PHYSICAL 0/3000000 TIMELINE 2"


@pytest.mark.parametrize("answer", [b"", COPYING], ids=["before the answer", "while it sends"])
def test_a_server_that_hangs_up(ask, answer):
    found, _server = ask(answer, hangs_up=True)
    assert found.held is None
    assert found.reason


@pytest.mark.parametrize("answer", [b"", COPYING, COPYING + KEEPALIVE], ids=["command", "silence", "keepalive"])
def test_a_server_that_says_nothing(ask, monkeypatch, answer):
    timer = SimpleNamespace(Event=threading.Event, Timer=lambda _seconds, function: threading.Timer(0.05, function))
    monkeypatch.setattr(_bounded, "threading", timer)
    assert ask(answer)[0] == HeldWal(None, "no WAL came within 10 seconds")


def test_asks_by_a_name_of_its_own(ask):
    _found, server = ask(COPYING + WAL, application_name="n1")
    startup = server.startup.split("\0")
    assert startup[startup.index("application_name") + 1] == "pgfleet_wal_probe"
    assert "replication\0true" in server.startup


def test_a_login_that_fails_tells_no_secret():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    found = holds_wal({"host": "127.0.0.1", "port": port, "sslpassword": "Geh3im"}, 1, 0)
    assert found.held is None
    assert "refused" in found.reason
    assert "Geh3im" not in found.reason


def test_without_psycopg2(monkeypatch):
    monkeypatch.setattr(_libpq, "psycopg2", None)
    with pytest.raises(StandbyError) as refused:
        holds_wal({}, 1, 0)
    assert refused.value.code == "psycopg2_missing"
