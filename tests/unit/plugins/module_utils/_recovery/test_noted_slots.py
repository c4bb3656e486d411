# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the slots that were made for a standby."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.noted_slots import (
    NotedSlot,
    forget,
    former,
    note,
    noted_slots,
)

OURS = NotedSlot("n1", "primary", 5432, "replicator", "postgres", {"sslmode": "verify-full"})
OTHER = replace(OURS, host="other")


@pytest.fixture
def state(tmp_path):
    return str(tmp_path / ".main.standby")


class TestRecord:
    def test_what_is_noted_is_read_again_with_all_that_a_login_needs(self, state):
        assert noted_slots(state) == ()
        assert note(state, OURS, only_look=False)
        assert note(state, OTHER, only_look=False)
        assert noted_slots(state) == (OURS, OTHER)
        assert NotedSlot.from_plan(OURS.as_plan()) == OURS

    def test_twice_is_once_and_a_new_login_takes_the_place_of_the_old_one(self, state):
        note(state, OURS, only_look=False)
        assert not note(state, OURS, only_look=False)
        changed = replace(OURS, user="another")
        assert note(state, changed, only_look=False)
        assert noted_slots(state) == (changed,)

    def test_what_is_forgotten_is_gone_and_the_file_with_the_last_of_them(self, state):
        note(state, OURS, only_look=False)
        note(state, OTHER, only_look=False)
        assert forget(state, replace(OURS, user="another"), only_look=False)
        assert not forget(state, OURS, only_look=False)
        assert noted_slots(state) == (OTHER,)
        forget(state, OTHER, only_look=False)
        assert os.listdir(state) == []

    @pytest.mark.parametrize("change", [note, forget])
    def test_a_look_changes_nothing(self, state, change):
        if change is forget:
            note(state, OURS, only_look=False)
        before = noted_slots(state)
        assert change(state, OURS, only_look=True)
        assert noted_slots(state) == before
        assert os.path.exists(state) == (change is forget)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"slots": [{"name": "n1"}]}', '{"slots": [{"nonsense": 1}]}'])
    def test_what_is_no_record_is_refused_and_stays(self, state, text):
        os.mkdir(state)
        path = os.path.join(state, "slots.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        for act in (lambda: noted_slots(state), lambda: note(state, OURS, False), lambda: forget(state, OURS, False)):
            with pytest.raises(StandbyError) as refused:
                act()
            assert refused.value.code == "state_unreadable"
        with open(path, encoding="utf-8") as file:
            assert file.read() == text

    def test_nothing_is_written_through_a_link(self, state, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        os.symlink(tmp_path / "elsewhere", state)
        with pytest.raises(StandbyError) as refused:
            note(state, OURS, only_look=False)
        assert refused.value.code == "link_untrusted"
        assert os.listdir(tmp_path / "elsewhere") == []

    def test_only_its_owner_reads_it(self, state):
        note(state, OURS, only_look=False)
        assert os.stat(os.path.join(state, "slots.json")).st_mode & 0o777 == 0o600
        with open(os.path.join(state, "slots.json"), encoding="utf-8") as file:
            assert "password" not in json.dumps(json.load(file))

    @pytest.mark.parametrize(
        "wrong", [{}, {"name": "n1"}, {**OURS.as_plan(), "login_port": "x"}, {**OURS.as_plan(), "connect_params": None}]
    )
    def test_what_is_no_slot_of_a_plan_is_refused(self, wrong):
        with pytest.raises(StandbyError) as refused:
            NotedSlot.from_plan(wrong)
        assert refused.value.code == "slot_invalid"


@pytest.mark.parametrize(
    ("name", "keywords", "is_former"),
    [
        pytest.param("n1", {"host": "primary"}, False, id="the one that is wanted"),
        pytest.param("n1", {"host": "primary", "port": "5432"}, False, id="with its port"),
        pytest.param("n2", {"host": "primary"}, True, id="another name"),
        pytest.param(None, {"host": "primary"}, True, id="no slot is wanted"),
        pytest.param("n1", {"host": "promoted"}, True, id="another server"),
        pytest.param("n1", {"host": "primary", "port": "5433"}, True, id="another port"),
        pytest.param("n1", {"host": "a,primary", "port": "5433,5432"}, False, id="one of several"),
        pytest.param("n1", {"host": "a,primary", "port": "5432,5433"}, True, id="one of several, on another port"),
        pytest.param("n1", {"host": "a,primary", "port": "5432"}, False, id="several on one port"),
        pytest.param("n1", {"hostaddr": "192.0.2.1"}, True, id="an address"),
        pytest.param("n1", {"service": "up"}, False, id="a server that is not told"),
        pytest.param("n2", {"service": "up"}, True, id="another name at a server that is not told"),
        pytest.param("n1", {}, False, id="no server"),
    ],
)
def test_a_slot_is_former_if_it_is_not_the_one_that_is_used(name, keywords, is_former):
    assert former([OURS], name, keywords) == ((OURS,) if is_former else ())
