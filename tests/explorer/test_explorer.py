# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated states of a host against the real modules: what must not be is in RULES.

The same seed makes the same states: EXPLORER_SEED, which the first lines of a run tell.
"""

from __future__ import annotations

import os
from itertools import combinations
from typing import NamedTuple

import pytest
from ansible_collections.pgfleet.standby.tests.explorer.cases import CASES
from ansible_collections.pgfleet.standby.tests.explorer.questions import QUESTIONS, violations
from ansible_collections.pgfleet.standby.tests.explorer.state import LEFT_OUT, VALUES, every_word
from ansible_collections.pgfleet.standby.tests.explorer.walk import Walk

LEVELS = VALUES["overwrite"]
TIMES = int(os.environ.get("EXPLORER_TIMES") or 1)


class Part(NamedTuple):
    """So many states of a question. Those of other parts are others: of another question, or of another level.

    ``beside``: the directories beside which every word is asked, whatever the seed.
    """

    question: str
    number: int
    overwrite: tuple[str, ...] = LEVELS
    beside: tuple[str, ...] = ("missing", "used_same", "unfinished")

    @property
    def name(self) -> str:
        return "-".join([self.question, *(self.overwrite if len(self.overwrite) == 1 else ())])


# Copies are dear: about a second each.
PARTS = (
    *(Part("copy", 40, (level,), ()) for level in LEVELS if level != "always"),
    Part("copy", 60, ("always",), ("used_same",)),
    *(Part("judge", 310, (level,)) for level in LEVELS),
    *(Part(question, 220) for question in ("look", "directories", "serve")),
)


def test_there_are_enough_states_and_none_twice():
    assert sum(part.number for part in PARTS) >= 2000
    assert {part.question for part in PARTS} == set(QUESTIONS)
    for one, other in combinations(PARTS, 2):
        apart = "overwrite" not in LEFT_OUT[one.question] and not set(one.overwrite) & set(other.overwrite)
        assert one.question != other.question or apart


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_rule_holds_in_every_state(host, kept, with_seed, part):
    walk = Walk(part.question, lambda state: violations(host, part.question, state), kept)
    walk.replay(part.overwrite)
    walk.visit(every_word(part.question, part.overwrite, part.beside))
    walk.explore(part.number * TIMES, with_seed, part.overwrite)
    assert len(walk.passed) >= part.number * TIMES


def test_what_broke_a_rule_once_does_so_no_more(host):
    broken = {case: list(violations(host, *case)) for case in CASES if case[1].possible}
    assert {case: found for case, found in broken.items() if found} == {}
