# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a clone of a backup asks for its WAL, and from where to where."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.wal import check_wal
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._preflight.examining import (
    ALL_WAL,
    FETCHED,
    NO_WAL,
    SEGMENT,
    Answers,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL, backup, upstream


class Archive:
    """A Barman that has the first segments of the backup, as many as it is told."""

    def __init__(self, has):
        self.has = has

    def peek_wal(self, first, count):
        return (SEGMENT,)[: self.has]


@pytest.fixture
def check():
    answers = Answers()

    def ask(server=None, of=None, **changed):
        request = Request("/srv/pg", "/srv/.pg", {}, None, **{"restore_command": "fetch %f %p", **changed})
        answers.asked.clear()
        verdicts = check_wal(request, of or backup(), CONTROL, server, answers.questions())
        return verdicts, answers

    return ask


def test_the_upstream_is_asked_from_the_begin_of_the_backup(check):
    verdicts, answers = check(upstream())
    assert verdicts == (*ALL_WAL.verdicts, FETCHED)
    assert answers.asked == {"begin": (1, 0x3000028), "restore_command": "fetch %f %p"}


def test_a_trial_may_differ_from_what_the_server_runs(check):
    _verdicts, answers = check(upstream(), restore_trial="fetch elsewhere %f %p")
    assert answers.asked["restore_command"] == "fetch elsewhere %f %p"


@pytest.mark.parametrize(
    ("proof", "command"), [(replace(ALL_WAL, in_archive=None), "fetch %f %p"), (ALL_WAL, None)], ids=["none", "unused"]
)
def test_a_command_is_only_tried_on_a_segment_that_the_archive_has(check, proof, command):
    _verdicts, answers = check(upstream())
    answers.wal = proof
    verdicts, answers = check(upstream(), restore_command=command)
    assert (verdicts, "restore_command" in answers.asked) == (proof.verdicts, False)


def test_wal_that_is_missing_is_told(check):
    _verdicts, answers = check(upstream())
    answers.wal = NO_WAL
    assert check(upstream())[0] == NO_WAL.verdicts


@pytest.mark.parametrize("of", [{"begin_lsn": None}, {"timeline": None}], ids=str)
def test_a_backup_that_does_not_tell_where_it_begins(check, of):
    assert check(upstream(), backup(**of))[0] == ()


MIB = 1 << 20


@pytest.mark.parametrize(
    ("block_size", "of_upstream", "size"),
    [
        pytest.param(8192, 64 * MIB, 16 * MIB, id="pg_control tells"),
        pytest.param(0, 64 * MIB, 64 * MIB, id="of tars, the upstream tells"),
        pytest.param(0, None, 16 * MIB, id="of tars, no other than the catalogue"),
    ],
)
def test_how_large_a_segment_is(block_size, of_upstream, size):
    """The names and positions of a packed backup may fit several sizes."""
    sizes = []

    def wal(_begin, _upstream, _keywords, segment_size, _archive):
        sizes.append(segment_size)
        return ALL_WAL

    def fetch(_command, _segment, segment_size, _identifier, _data_directory):
        sizes.append(segment_size)
        return FETCHED

    control = replace(CONTROL, block_size=block_size, wal_segment_size=16 * MIB)
    request = Request("/srv/pg", "/srv/.pg", {}, None, restore_command="fetch %f %p")
    questions = replace(Answers().questions(), wal=wal, fetch=fetch)
    check_wal(request, backup(), control, upstream(wal_segment_size=of_upstream), questions)
    assert sizes == [size, size]


def test_an_upstream_that_does_not_answer_is_another_checks_problem(check):
    assert check(None)[0] == ()


class TestUpstreamNotAsked:
    @pytest.mark.parametrize(("has", "expected"), [(1, ["ok", "ok"]), (0, ["error"])])
    def test_barman_has_to_have_the_wal_of_the_backup(self, check, has, expected):
        verdicts, answers = check(None, upstream_asked=False, barman=Archive(has))
        assert [verdict.severity for verdict in verdicts] == expected
        assert "begin" not in answers.asked

    def test_some_source_is_needed(self, check):
        verdicts, _answers = check(None, upstream_asked=False, restore_command=None, barman=Archive(1))
        assert [verdict.error_code for verdict in verdicts] == ["wal_unproven"]
