# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import PIPE, ProgramGroup
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.stillness import (
    _Stillness,
    _work_of_group,
    killed_if_still,
)
from ansible_collections.pgfleet.standby.tests.waiting import FOR_EVER, more_and_more_seconds, wait_until


def test_work_has_no_limit():
    stillness = _Stillness(60)
    assert not any(stillness.is_too_long(3600.0 * hour, work=hour) for hour in range(100))


def test_doing_nothing_has():
    stillness = _Stillness(60)
    looks = [(0.0, 7), (59.0, 7), (59.5, 8), (119.0, 8), (119.5, 8)]
    assert [stillness.is_too_long(now, work) for now, work in looks] == [False, False, False, False, True]


def test_a_group_that_does_nothing_is_ended():
    with ProgramGroup(["sleep", str(FOR_EVER)]) as group, killed_if_still(group, 0.1) as overdue:
        assert group.exit_code() < 0
    assert overdue.is_set()


def works_under_a_limit(seconds):
    """Whether a group that computes is left alone until it has computed more than 30 ticks."""
    with ProgramGroup(["sh", "-c", "while :; do :; done"]) as group, killed_if_still(group, seconds) as overdue:
        wait_until(lambda: overdue.is_set() or _work_of_group(group.number) > 30, "work")
        return not overdue.is_set()


def test_a_group_that_works_is_not():
    # A busy machine may leave it no turn within a short time.
    assert any(works_under_a_limit(seconds) for seconds in more_and_more_seconds())


def test_what_its_children_do_counts():
    script = "sh -c 'read go; head -c 1000000 /dev/zero >/dev/null; read go' & wait"
    with ProgramGroup(["sh", "-c", f"exec 3<&0; {script.replace('read go', 'read go <&3')}"], stdin=PIPE) as group:
        before = _work_of_group(group.number)
        group.stdin.write(b"go\n")
        group.stdin.flush()
        wait_until(lambda: _work_of_group(group.number) >= before + 1000000, "the child's work")
