# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running server uses, against what is wanted; every setting of real servers: tests/servers/test_settings.py."""

from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import pg_settings as _pg_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import LocalServer
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.pg_settings import (
    FileLine,
    LiveSetting,
    RunningSettings,
    read_settings,
)

RUNNING = DataDir("/pgdata", "standby", pid=7, port=5432, socket_directory="/run/postgresql")
FROM_FILE = "configuration file"
LIVE = RunningSettings(
    {
        "work_mem": LiveSetting("8192", "kB", "integer", FROM_FILE),
        "hot_standby": LiveSetting("on", "", "bool", "default", "postmaster"),
        "port": LiveSetting("5433", "", "integer", "command line", "postmaster"),
        "wal_level": LiveSetting("replica", "", "enum", FROM_FILE, "postmaster"),
        "log_file_mode": LiveSetting("0640", "", "integer", FROM_FILE),
        "max_stack_depth": LiveSetting("2048", "kB", "integer", "environment variable"),
        "wal_buffers": LiveSetting("512", "8kB", "integer", "override", "postmaster", "-1"),
        "max_connections": LiveSetting("100", "", "integer", "default", "postmaster", "100"),
        "datestyle": LiveSetting("ISO, MDY", "", "string", "session"),
    },
    (("/pgdata/postgresql.auto.conf", "line 1: no"), ("/etc/pg/postgresql.conf", "line 2: no")),
)
# As the server's program writes them.
MEANINGS = {("wal_level", "hot_standby"): "replica", ("log_file_mode", "416"): "416", ("log_file_mode", "0640"): "416"}


def meaning(name, text):
    return MEANINGS.get((name, text), text)


@pytest.mark.parametrize(
    ("wanted", "outdated"),
    [
        ({"work_mem": "8MB", "hot_standby": "yes"}, []),
        ({"work_mem": "9MB", "hot_standby": "off"}, ["work_mem", "hot_standby"]),
        ({"unknown_setting": "1"}, []),
        ({"wal_level": "hot_standby"}, []),
        ({"wal_level": "logical"}, ["wal_level"]),
        ({"log_file_mode": "416"}, []),
        ({"log_file_mode": "0600"}, ["log_file_mode"]),
        ({"wal_buffers": "-1"}, []),
        ({"wal_buffers": "4MB"}, []),
        ({"wal_buffers": "8MB"}, ["wal_buffers"]),
        ({"max_connections": "-1"}, ["max_connections"]),
        ({"datestyle": "German"}, []),
    ],
    ids=[
        *("the same in other words", "others", "not told", "an alias", "no alias", "a mode", "another mode"),
        *("worked out", "as worked out", "not as worked out", "not worked out", "only our session's"),
    ],
)
def test_what_is_outdated(wanted, outdated):
    assert LIVE.outdated(wanted, meaning) == outdated


@pytest.mark.parametrize(
    ("name", "line", "outdated"),
    [
        pytest.param("work_mem", FileLine("4097kB", False, True), False, id="loaded"),
        pytest.param("work_mem", FileLine("4097kB", False, False), True, id="written since"),
        pytest.param("work_mem", FileLine("4MB", False, True), True, id="another text"),
        pytest.param("work_mem", FileLine("4097kB", True, True), True, id="the server does not take it"),
        pytest.param("wal_level", FileLine("4097kB", False, False), False, id="no restart would change it"),
        pytest.param("wal_level", FileLine("4097kB", True, True), True, id="it waits for a restart"),
        pytest.param("port", FileLine("4097kB", False, True), True, id="no file can change it"),
        pytest.param("datestyle", FileLine("4097kB", False, True), False, id="only our session has another"),
        pytest.param("datestyle", FileLine("x", False, True), True, id="only our session has another, not written"),
    ],
)
def test_what_the_server_says_of_its_own_files_counts(name, line, outdated):
    live = RunningSettings(LIVE.settings, (), {name: line})
    assert live.outdated({name: "4097kB"}, meaning) == ([name] if outdated else [])


def test_what_no_file_can_change():
    wanted = {"work_mem": "9MB", "port": "5432", "wal_buffers": "8MB", "max_stack_depth": "1MB"}
    outdated = LIVE.outdated(wanted, meaning)
    assert outdated == list(wanted)
    assert LIVE.overridden(outdated) == {"port": "command line"}


def test_what_waits_for_a_restart_by_the_servers_own_word():
    lines = {"wal_level": FileLine("minimal", True, True), "max_connections": FileLine("100", False, True)}
    names = ["wal_level", "max_connections", "gone"]
    assert RunningSettings(LIVE.settings, (), lines).waiting(names) == ["wal_level", "gone"]
    assert LIVE.waiting(names) == names


def test_errors_go_with_the_file_that_is_written_anew(tmp_path):
    (tmp_path / "link").symlink_to("/pgdata")
    assert LIVE.lasting([]) == ["line 1: no", "line 2: no"]
    assert LIVE.lasting([f"{tmp_path}/link/postgresql.auto.conf"]) == ["line 2: no"]


class Server:
    """A connection that gives these answers, and notes what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []
        self.line = socket.socketpair()

    def fileno(self):
        return self.line[0].fileno()

    def cursor(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_failed):
        return None

    def close(self):
        self.asked.append("close")

    def execute(self, question, values=None):
        self.asked.append(question)

    def fetchall(self):
        return self.answers.pop(0)

    def fetchone(self):
        return self.answers.pop(0)


@pytest.fixture
def answers(monkeypatch):
    def give(server):
        def connection(place):
            assert place == LocalServer("/run/postgresql", 5432, 7)
            if isinstance(server, StandbyError):
                raise server
            return server

        monkeypatch.setattr(_pg_settings, "local_connection", connection)
        return server

    return give


ROW = ("port", "5432", "", "integer", "default", "postmaster", "5432")


def test_a_server_tells_settings_lines_and_errors(answers, tmp_path):
    path = str(tmp_path / "f")
    (tmp_path / "f").touch()
    os.utime(tmp_path / "f", (0, 0))  # as tar writes an old one
    written = (tmp_path / "f").stat().st_ctime
    rows = [
        ("port", "1", path, 1, None, written),
        ("port", "5433", path, 2, "setting could not be applied", written),
        ("work_mem", "8MB", path, 3, None, written - 1),
        ("jit", "on", str(tmp_path / "gone"), 4, None, written),
        (None, None, path, 5, "no", written),
    ]
    server = answers(Server([ROW], (True,), rows))
    assert read_settings(RUNNING, ["port"]) == RunningSettings(
        {"port": LiveSetting(*ROW[1:])},
        ((path, f"{path} line 5: no"),),
        {
            "port": FileLine("5433", True, True),
            "work_mem": FileLine("8MB", False, False),
            "jit": FileLine("on", False, False),
        },
    )
    assert server.asked[-1] == "close"


def test_a_role_that_may_not_see_the_files_is_told_nothing_of_them(answers):
    answers(Server([ROW], (False,)))
    found = read_settings(RUNNING, ["port"])
    assert (found.errors, found.lines) == ((), None)


@pytest.mark.parametrize(
    "pgdata", [DataDir("/pgdata", "standby"), DataDir("/pgdata", "standby", pid=7)], ids=["stopped", "starting"]
)
def test_a_server_that_does_not_listen_is_not_asked(pgdata):
    assert read_settings(pgdata, ["port"]) is None


def test_a_server_that_lets_nobody_in(answers):
    answers(StandbyError(Refusal("instance_unreachable", "It is starting.", "wait")))
    assert read_settings(RUNNING, ["port"]) is None
    answers(StandbyError(Refusal("psycopg2_missing", "There is no psycopg2.", "install it")))
    with pytest.raises(StandbyError):
        read_settings(RUNNING, ["port"])
