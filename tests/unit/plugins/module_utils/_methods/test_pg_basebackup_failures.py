# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pg_basebackup's words mean: lines as the programs of 10 to 18 and their servers write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.pg_basebackup_failures import (
    FAILURES,
    diagnosis,
)

PAGE = (Path(__file__).parents[5] / "docs/troubleshooting.md").read_text(encoding="utf-8")
_FAILED = 'pg_basebackup: error: connection to server at "p" (10.0.0.1), port 5432 failed: '


@pytest.mark.parametrize(
    ("said", "code", "part_of_step"),
    [
        ('pg_basebackup: error: could not send replication command "START_REPLICATION": ERROR:  replication slot'
         ' "n1" is active for PID 4711', "slot_active", "another slot_name"),
        ('pg_basebackup: error: could not send replication command "START_REPLICATION": ERROR:  replication slot'
         ' "n1" does not exist', "slot_absent", "make it"),
        ('pg_basebackup: error: could not write to file "x": No space left on device', "disk_full", "df -i"),
        (f"{_FAILED}FATAL:  number of requested standby connections exceeds max_wal_senders (currently 2)",
         "walsenders_exhausted", "raise the limit"),
        (f'{_FAILED}FATAL:  number of requested standby connections exceeds "max_wal_senders" (currently 2)',
         "walsenders_exhausted", "raise the limit"),
        (f"{_FAILED}FATAL:  sorry, too many clients already", "walsenders_exhausted", "max_connections"),
        ("pg_basebackup: error: could not create replication slot: ERROR:  all replication slots are in use",
         "walsenders_exhausted", "max_replication_slots"),
        (f"{_FAILED}Connection refused", "upstream_unreachable", "runs and listens"),
        (f'{_FAILED}FATAL:  no pg_hba.conf entry for replication connection from host "10.0.0.2", user "r", no'
         " encryption", "upstream_unreachable", "add a line for database replication"),
        (f'{_FAILED}FATAL:  password authentication failed for user "r"', "upstream_unreachable", "password"),
        (f"{_FAILED}fe_sendauth: no password supplied", "upstream_unreachable", "password"),
        (f"{_FAILED}FATAL:  must be superuser or replication role to start walsender", "upstream_unreachable",
         "REPLICATION"),
        (f"{_FAILED}FATAL:  permission denied to start WAL sender", "upstream_unreachable", "REPLICATION"),
        (f'{_FAILED}FATAL:  role "nosuch" does not exist', "upstream_unreachable", "replication_user"),
        ("pg_basebackup: could not connect to server: could not connect to server: No route to host",
         "upstream_unreachable", "firewall"),
        ('pg_basebackup: error: directory "/srv/x" exists but is not empty', "target_not_empty", "empty it"),
        ("pg_basebackup: error: could not receive data from WAL stream: ERROR:  requested WAL segment"
         " 000000010000000000000003 has already been removed", "basebackup_failed", "slot_name"),
        ("pg_basebackup: error: checksum error occurred", "basebackup_failed", "pg_amcheck"),
        ("pg_basebackup: error: incompatible server version 18.4", "basebackup_failed", "pg_bindir"),
        ("pg_basebackup: error: backup failed: ERROR:  the standby was promoted during online backup",
         "basebackup_failed", "run again"),
        ("pg_basebackup: error: could not read COPY data: server closed the connection unexpectedly",
         "basebackup_failed", "wal_sender_timeout"),
        ("pg_basebackup: error: backup failed: ERROR:  something new", "basebackup_failed", "mend what it says"),
    ],
)  # fmt: skip
def test_what_an_error_means(said, code, part_of_step):
    line, meaning = diagnosis(["pg_basebackup: removing contents of data directory", said])
    assert (line, meaning.code) == (said, code)
    assert part_of_step in meaning.next_step


def test_the_reason_is_told_and_not_what_came_of_it():
    """The process that fetches the WAL fails first; the other one only sees that it is gone. Warnings come before."""
    reason = (
        "pg_basebackup: error: could not receive data from WAL stream: ERROR:  requested WAL segment"
        " 000000010000000000000003 has already been removed"
    )
    lines = [
        "WARNING:  skipping special file",
        "NOTICE:  WAL archiving is not enabled; you must ensure that all required WAL segments are copied",
        "pg_basebackup: warning: changing output directory",
        reason,
        "pg_basebackup: error: child process exited with exit code 1",
        'pg_basebackup: removing data directory "/srv/x"',
    ]
    assert diagnosis(lines)[0] == reason


def test_of_words_that_are_not_known_the_error_is_told():
    lines = ["WARNING:  something", "pg_basebackup: error: something new", "pg_basebackup: removing data directory"]
    assert diagnosis(lines)[0] == lines[1]


def test_it_said_nothing():
    assert diagnosis([])[0] == "it said nothing"


def test_each_has_a_row_for_people():
    rows = [f"| {failure.refusal.found} | {failure.refusal.next_step} |" for failure in FAILURES]
    assert [row for row in rows if row not in PAGE] == []
