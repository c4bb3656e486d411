# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsed server has said, as a person needs it. The texts are those of real servers."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.words import (
    is_port_taken,
    unheard_addresses,
    words,
)

STARTED = """\
LOG:  starting PostgreSQL 15.18 on x86_64-pc-linux-gnu, compiled by gcc (Ubuntu 7.5.0-3ubuntu1~18.04) 7.5.0, 64-bit
LOG:  listening on IPv4 address "127.0.0.1", port 5999
LOG:  listening on Unix socket "/tmp/.s.PGSQL.5999"
LOG:  database system was shut down at 2026-11-30 22:00:24 UTC
WARNING:  specified neither primary_conninfo nor restore_command
HINT:  The database server will regularly poll the pg_wal subdirectory to check for files placed there.
LOG:  entering standby mode
LOG:  consistent recovery state reached at 0/14F4AE8
LOG:  invalid record length at 0/14F4AE8: wanted 24, got 0
LOG:  waiting for WAL to become available at 0/1002000
LOG:  received immediate shutdown request
LOG:  database system is shut down
"""
NOT_HERE = """\
LOG:  could not bind IPv4 address "203.0.113.7": Cannot assign requested address
WARNING:  could not create listen socket for "203.0.113.7"
"""
REFUSED = """\
LOG:  unrecognized configuration parameter "foo" in file "/srv/main/postgresql.conf" line 4
FATAL:  configuration file "/srv/main/postgresql.conf" contains errors
"""


def test_what_every_server_says_is_left_out():
    assert words(STARTED) == ""


def test_what_it_refuses_comes_whole_with_file_and_line():
    assert words(STARTED + REFUSED) == (
        'LOG: unrecognized configuration parameter "foo" in file "/srv/main/postgresql.conf" line 4'
        ' / FATAL: configuration file "/srv/main/postgresql.conf" contains errors'
    )


def test_words_without_a_level_count():
    said = "postgres: superuser_reserved_connections (3) must be less than max_connections (3)\n"
    assert words(said) == said.strip()


def test_a_configuration_that_is_wrong_as_a_whole_is_told_in_part():
    said = words("".join(f"LOG:  mistake {number}\n" for number in range(40)))
    assert "mistake 10 " in said
    assert said.endswith("(and 29 lines more)")


@pytest.mark.parametrize(
    "secret",
    [
        "host=primary password=s3cret",
        "postgresql://me:s3cret@primary/",
        "ldapbindpasswd=s3cret",
        "radiussecrets=s3cret",
    ],
)
def test_secrets_are_taken_out(secret):
    assert "s3cret" not in words(f'LOG:  invalid value: "{secret}"\n')


def test_a_command_that_holds_a_secret_is_taken_out():
    assert "s3cret" not in words('LOG:  command "echo s3cret" failed\n', ["echo s3cret"])


def test_an_address_that_is_not_here_is_known():
    assert len(unheard_addresses(STARTED + NOT_HERE)) == 2
    assert unheard_addresses(STARTED) == []


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ('LOG:  could not bind IPv4 address "127.0.0.1": Address already in use\n', True),
        ('FATAL:  lock file "/tmp/.s.PGSQL.5999.lock" already exists\n', True),
        (NOT_HERE, False),
    ],
)
def test_a_port_that_somebody_else_has_taken(said, taken):
    assert is_port_taken(said) == taken
