# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a server's log is found, and where an attempt begins in it."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._server import log_files
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_files import (
    LogPlaces,
    ServerLog,
    words_of_last_start,
)

OLD, NEW = "FATAL:  long ago\n", "FATAL:  now\n"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "state").mkdir()
    return tmp_path / "data"


@pytest.fixture
def journal(monkeypatch):
    """What the journal holds, in place of the machine's."""
    held = []
    monkeypatch.setattr(log_files, "_journal", lambda _unit, _since: log_files.of_stderr("".join(held)))
    return held


def places(data, unit=None):
    return LogPlaces(str(data), str(data.parent / "state"), unit)


def csv_line(said):
    return ",".join(['"t"'] * 11 + ['"FATAL"', "", f'"{said}"', "", "", *[""] * 7]) + "\n"


def json_line(said):
    return json.dumps({"error_severity": "FATAL", "message": said}) + "\n"


# Where the line is, what the configuration says, and how the line is written.
FILES = {
    "pg_ctl's": ("../state/server.log", "", "FATAL:  {}\n".format),
    "the collector's": ("log/postgresql-2026-11-30_120000.log", "logging_collector = on\n", "FATAL:  {}\n".format),
    "of each day": ("log/postgresql-Mon.log", "log_filename = 'postgresql-%a.log'\n", "2026 FATAL:  {}\n".format),
    "elsewhere": (
        "../elsewhere/pg.log",
        "log_directory = '../elsewhere'\nlog_filename = 'pg'\n",
        "FATAL:  {}\n".format,
    ),
    "csv": ("log/postgresql-2026-11-30_120000.csv", "log_destination = csvlog\n", csv_line),
    "json": ("log/postgresql-2026-11-30_120000.json", "log_destination = jsonlog\n", json_line),
}
EACH = pytest.mark.parametrize(("name", "conf", "line"), FILES.values(), ids=FILES)


@EACH
@pytest.mark.parametrize("there", [True, False], ids=["a log of earlier starts", "no log"])
def test_only_what_is_written_from_now_on(data, name, conf, line, there):
    (data / "postgresql.conf").write_text(conf)
    path = data / name
    path.parent.mkdir(exist_ok=True)
    if there:
        path.write_text(line("long ago"))
    log = ServerLog(places(data))
    assert log.words().lines == ()
    with path.open("a") as file:
        file.write(line("now"))
    assert log.words().lines == ("FATAL:  now",)


@pytest.mark.parametrize("begun_anew", ["removed", "truncated"])
def test_a_log_that_begins_anew_is_read_from_its_beginning(data, begun_anew):
    path = data.parent / "state/server.log"
    path.write_text(OLD * 3)
    log = ServerLog(places(data))
    if begun_anew == "removed":
        os.rename(path, f"{path}.1")
    path.write_text(NEW)
    assert log.words().lines == ("FATAL:  now",)


def test_the_file_that_the_server_itself_names(data):
    (data / "postgresql.conf").write_text("")
    log = ServerLog(places(data))
    (data / "odd").mkdir()
    (data / "odd/name.log").write_text(NEW)
    (data / "current_logfiles").write_text("stderr odd/name.log\n")
    assert log.words().lines == ("FATAL:  now",)


def test_another_configuration_that_the_server_was_started_with(data):
    other = data.parent / "etc"
    other.mkdir()
    (other / "postgresql.conf").write_text(f"log_directory = '{other}'\n")
    (data / "postmaster.opts").write_text(f'/bin/postgres "-D" "{data}" "-c" "config_file={other}/postgresql.conf"\n')
    log = ServerLog(places(data))
    (other / "postgresql-2026-11-30_120000.log").write_text(NEW)
    assert log.words().lines == ("FATAL:  now",)


def test_a_collector_that_writes_three_forms_says_each_thing_once(data):
    log = ServerLog(places(data))
    (data / "log").mkdir()
    for name, line in (("log", "FATAL:  now\n"), ("csv", csv_line("now")), ("json", json_line("now"))):
        (data / f"log/postgresql-2026-11-30_120000.{name}").write_text(line)
    assert log.words().lines == ("FATAL:  now",)


def test_the_journal_of_a_unit(data, journal):
    log = ServerLog(places(data, "postgresql-15"))
    journal.append("FATAL:  in the journal\n")
    assert log.words().lines == ("FATAL:  in the journal",)


def test_what_is_no_file_is_not_waited_for(data):
    os.mkfifo(data.parent / "state/server.log")
    (data / "log").mkdir()
    (data / "log/postgresql-2026-11-30_120000.log").symlink_to("/dev/zero")
    assert ServerLog(places(data)).words().lines == ()


class TestTheLastStart:
    def test_of_a_server_that_has_ended(self, data):
        path = data.parent / "state/server.log"
        path.write_text(f"LOG:  starting PostgreSQL 15.18\n{OLD}LOG:  starting PostgreSQL 15.18\n{NEW}")
        assert words_of_last_start(places(data)).lines == ("FATAL:  now",)

    def test_a_log_to_which_it_has_not_written(self, data):
        path = data.parent / "state/server.log"
        path.write_text(OLD)
        os.utime(path, (1, 1))
        (data / "postmaster.opts").write_text("postgres\n")
        assert words_of_last_start(places(data)).lines == ()

    def test_of_a_running_server_by_its_stderr(self, data):
        """We ourselves stand for the server, with its stderr in a file."""
        (data / "anywhere").write_text(NEW)
        saved = os.dup(2)
        handle = os.open(data / "anywhere", os.O_WRONLY | os.O_APPEND)
        try:
            os.dup2(handle, 2)
            words = words_of_last_start(places(data), os.getpid())
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(handle)
        assert words.lines == ("FATAL:  now",)
