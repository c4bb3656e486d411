# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions that are asked at once."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._at_once import at_once
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError


def test_the_answers_come_in_the_order_of_the_questions_which_are_asked_at_the_same_time():
    all_ask = threading.Barrier(3, timeout=600)

    def asks(answer):
        def question():
            all_ask.wait()
            return answer

        return question

    assert at_once(asks("a"), asks("b"), asks("c")) == ["a", "b", "c"]


def test_what_the_first_of_those_that_failed_said_is_told_when_all_have_ended():
    ended = []

    def fails(code, after):
        def question():
            after.wait(600)
            ended.append(code)
            raise StandbyError(Refusal(code, "It failed.", "mend it"))

        return question

    now, later = threading.Event(), threading.Event()
    now.set()
    with pytest.raises(StandbyError) as told:
        at_once(fails("first", later), fails("second", now), later.set)
    assert (told.value.code, sorted(ended)) == ("first", ["first", "second"])
