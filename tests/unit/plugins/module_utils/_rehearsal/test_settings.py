# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsed server is told on its command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal import settings as _settings
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.settings import (
    Relocation,
    command_line,
    log_directory,
    relocated,
    told_at_login,
)

ROOT = Path(__file__).resolve().parents[5]
PLACES = Relocation("/srv/main", (("/srv/main", "/tmp/x/data"), ("/etc/pg", "/tmp/x/config")))


def told(major: int, beside_another: bool = False, **moved: str) -> dict[str, str]:
    words = command_line(major, moved, "/tmp/x", 4711, beside_another)
    assert set(words[::2]) == {"-c"}
    return dict(word.split("=", 1) for word in words[1::2])


class TestCommandLine:
    def test_the_server_is_no_other_than_the_scratch_one(self):
        settings = told(15)
        assert (settings["data_directory"], settings["port"]) == ("/tmp/x/data", "4711")

    @pytest.mark.parametrize("name", ["primary_conninfo", "primary_slot_name", "restore_command"])
    def test_it_asks_no_upstream_and_no_archive(self, name):
        assert told(18)[name] == ""
        assert name not in told(11)  # recovery.conf has it, and that of the rehearsal has none

    def test_it_archives_nothing_and_lets_nobody_in(self):
        settings = told(16)
        assert (settings["archive_command"], settings["archive_library"], settings["hot_standby"]) == ("", "", "off")
        assert "archive_mode" not in settings

    def test_it_gets_no_setting_that_its_version_does_not_know(self):
        assert "archive_library" not in told(14)
        assert "stats_temp_directory" in told(14)
        assert "stats_temp_directory" not in told(15)

    def test_a_place_of_the_configuration_does_not_win_over_the_table(self):
        assert told(15, archive_command="/srv/main/archive", ssl_key_file="/x")["archive_command"] == ""
        assert told(15, ssl_key_file="/x")["ssl_key_file"] == "/x"

    def test_beside_a_server_that_works_it_takes_little_memory(self):
        assert (told(15, True)["shared_buffers"], told(15, True)["huge_pages"]) == ("16MB", "off")
        assert "shared_buffers" not in told(15)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ssl_key_file", "server.key", None),
        ("ssl_key_file", "/etc/ssl/server.key", None),
        ("ssl_key_file", "/srv/main/server.key", "/tmp/x/data/server.key"),
        ("ssl_key_file", "../server.key", "/srv/server.key"),
        ("hba_file", "/etc/pg/pg_hba.conf", "/tmp/x/config/pg_hba.conf"),
        ("hba_file", "/srv/mainly/pg_hba.conf", None),
        ("unix_socket_directories", "/run/pg, /srv/main/run", "/run/pg,/tmp/x/data/run"),
        ("unix_socket_directories", "../run,@abstract", "/srv/run,@abstract"),
        ("unix_socket_directories", "", None),
        ("application_name", "../x", None),
    ],
)
def test_a_place_means_what_it_will_mean(name, value, expected):
    assert relocated({name: value}, PLACES) == ({} if expected is None else {name: expected})


def test_words_speak_of_the_standbys_own_places():
    said = 'in file "/tmp/x/data/postgresql.conf" line 3, "/tmp/x/config/a.conf"'
    assert PLACES.back(said) == 'in file "/srv/main/postgresql.conf" line 3, "/etc/pg/a.conf"'


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ({}, None),
        ({"logging_collector": "on"}, None),
        ({"logging_collector": "on", "log_directory": "/srv/main/pg_log"}, None),
        ({"logging_collector": "yes", "log_directory": "/var/log/pg"}, "/var/log/pg"),
        ({"logging_collector": "on", "log_directory": "../log"}, "/srv/log"),
        ({"logging_collector": "off", "log_directory": "/var/log/pg"}, None),
    ],
)
def test_a_log_outside_of_the_data_directory_is_looked_at(configured, expected):
    assert log_directory(configured, "/srv/main") == expected


def test_libraries_of_a_login_are_known():
    assert told_at_login({"session_preload_libraries": "x", "local_preload_libraries": ""}) == [
        "session_preload_libraries (x)"
    ]


def test_the_page_tells_every_setting_and_why():
    page = (ROOT / "docs" / "rehearsal.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| (.+) \|$", page, re.MULTILINE))
    assert rows == {one.name: one.why for one in _settings._GIVEN}
