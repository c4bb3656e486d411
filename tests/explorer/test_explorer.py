# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated states of a host against the real modules: what must not be is in RULES, what is today in KNOWN.

The same seed makes the same states: EXPLORER_SEED, which the first lines of a run tell.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import pytest
from ansible_collections.pgfleet.standby.tests.explorer.known import CASES, KNOWN, is_known
from ansible_collections.pgfleet.standby.tests.explorer.questions import QUESTIONS, violations
from ansible_collections.pgfleet.standby.tests.explorer.rules import RULES
from ansible_collections.pgfleet.standby.tests.explorer.state import LEFT_OUT, VALUES
from ansible_collections.pgfleet.standby.tests.explorer.walk import Walk

LEVELS = VALUES["overwrite"]


class Part(NamedTuple):
    """So many states of a question. Those of other parts are others: of another question, or of another level."""

    question: str
    number: int
    overwrite: tuple[str, ...] = LEVELS

    @property
    def name(self) -> str:
        return "-".join([self.question, *(self.overwrite if len(self.overwrite) == 1 else ())])


# Copies are dear: about a second each.
PARTS = (
    *(Part("copy", 40, (level,)) for level in LEVELS),
    *(Part("judge", 310, (level,)) for level in LEVELS),
    *(Part(question, 220) for question in ("look", "directories", "serve")),
)


def unknown(host, question, state):
    """What is wrong and not known to be."""
    return [one for one in violations(host, question, state) if not is_known(question, state, one)]


def test_there_are_enough_states_and_none_twice():
    assert sum(part.number for part in PARTS) >= 2000
    assert {part.question for part in PARTS} == set(QUESTIONS)
    for one, other in combinations(PARTS, 2):
        apart = "overwrite" not in LEFT_OUT[one.question] and not set(one.overwrite) & set(other.overwrite)
        assert one.question != other.question or apart


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_rule_holds_in_every_state(host, kept, with_seed, part):
    walk = Walk(part.question, lambda state: unknown(host, part.question, state), kept)
    walk.replay(part.overwrite)
    walk.explore(part.number, with_seed, part.overwrite)
    assert len(walk.passed) >= part.number


def test_what_broke_a_rule_once_does_so_no_more(host):
    broken = {case: unknown(host, *case) for case in CASES if case[1].possible}
    assert {case: found for case, found in broken.items() if found} == {}


@pytest.mark.parametrize("known", [one for one in KNOWN if one.state.possible], ids=lambda known: known.name)
def test_what_is_known_still_happens(host, known):
    """If not, it is mended: its row goes from KNOWN, and its state to CASES."""
    found = violations(host, known.question, known.state)
    assert [one for one in found if known.tells(known.question, known.state, one)] != []


def test_every_known_one_breaks_a_rule_and_says_why():
    assert [known.name for known in KNOWN if known.rule not in RULES or not known.why] == []
    assert len({known.name for known in KNOWN}) == len(KNOWN)
