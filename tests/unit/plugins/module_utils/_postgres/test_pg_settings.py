# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running server uses, against what is wanted; a server that answers is asked by the tests of real servers."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import pg_settings as _pg_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import LocalServer
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.pg_settings import (
    LiveSetting,
    RunningSettings,
    read_settings,
)

RUNNING = DataDir("/pgdata", "standby", pid=7, port=5432, socket_directory="/run/postgresql")
LIVE = RunningSettings(
    {
        "work_mem": LiveSetting("8192", "kB", "integer", "configuration file"),
        "hot_standby": LiveSetting("on", "", "bool", "default"),
        "port": LiveSetting("5433", "", "integer", "command line"),
        "restore_command": LiveSetting("", "", "string", "environment variable"),
    },
    (("/pgdata/postgresql.auto.conf", "line 1: no"), ("/etc/pg/postgresql.conf", "line 2: no")),
)


@pytest.mark.parametrize(
    ("wanted", "outdated"),
    [
        ({"work_mem": "8MB", "hot_standby": "yes"}, []),
        ({"work_mem": "9MB", "hot_standby": "off"}, ["work_mem", "hot_standby"]),
        ({"unknown_setting": "1"}, []),
    ],
    ids=["the same in other words", "others", "not told"],
)
def test_what_is_outdated(wanted, outdated):
    assert LIVE.outdated(wanted) == outdated


def test_what_no_file_can_change():
    wanted = {"work_mem": "9MB", "port": "5432", "restore_command": "cp"}
    assert LIVE.overridden(wanted) == {"port": "command line", "restore_command": "environment variable"}
    assert LIVE.overridden({"port": "5433"}) == {}


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


def test_a_server_tells_settings_and_errors(answers):
    server = answers(Server([("port", "5432", "", "integer", "default")], (True,), [("/f", "/f line 1: no")]))
    settings = read_settings(RUNNING, ["port"])
    assert settings == RunningSettings(
        {"port": LiveSetting("5432", "", "integer", "default")}, (("/f", "/f line 1: no"),)
    )
    assert server.asked[-1] == "close"


def test_a_role_that_may_not_see_errors_is_told_none(answers):
    answers(Server([("port", "5432", "", "integer", "default")], (False,)))
    assert read_settings(RUNNING, ["port"]).errors == ()


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
