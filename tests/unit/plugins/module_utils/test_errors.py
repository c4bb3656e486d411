# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

NO_ROOM = Refusal("space_missing", "There is no room on /srv.", "make room")


def test_a_refusal_says_what_was_found_and_what_helps():
    assert NO_ROOM.msg == "There is no room on /srv. Next: make room."


def test_an_error_is_its_refusal():
    error = StandbyError(NO_ROOM)
    assert (error.code, error.msg, str(error)) == ("space_missing", NO_ROOM.msg, NO_ROOM.msg)


def test_a_failed_task_has_the_code_and_what_else_is_known():
    assert StandbyError(NO_ROOM, rc=1, stderr="full").as_result() == {
        "msg": NO_ROOM.msg,
        "error_code": "space_missing",
        "rc": 1,
        "stderr": "full",
    }


def test_what_else_is_known_replaces_neither_message_nor_code():
    assert StandbyError(NO_ROOM, error_code="other").as_result()["error_code"] == "space_missing"


def test_an_error_of_another_process_is_the_same_error():
    error = StandbyError(NO_ROOM, rc=1, cmd=["rsync"])
    back = StandbyError.from_record(json.loads(json.dumps(error.as_record())))
    assert (back.refusal, back.result) == (error.refusal, error.result)


@pytest.mark.parametrize("record", [{}, {"refusal": {"code": "x", "found": "y", "next_step": "z"}}])
def test_a_record_of_something_else_is_none(record):
    with pytest.raises(KeyError):
        StandbyError.from_record(record)


def test_a_refusal_is_found_again_in_a_result():
    asked = Refusal("standby_not_ready", "It is not ready: it is late. Next: wait.", "look")
    assert Refusal.of_result(StandbyError(asked).as_result()) == asked


def test_a_failure_that_is_none_of_ours_has_a_step_as_well():
    assert Refusal.of_result({"msg": "Out of memory"}) == Refusal("None", "Out of memory", "see the task that failed")
