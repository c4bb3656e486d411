# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That every rule can be broken, by a module that does harm in place of the real one, and what a walk does then."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.modules import pgdata_info as _pgdata_info
from ansible_collections.pgfleet.standby.tests.explorer import questions as _questions
from ansible_collections.pgfleet.standby.tests.explorer.asking import Outcome, ask
from ansible_collections.pgfleet.standby.tests.explorer.questions import violations
from ansible_collections.pgfleet.standby.tests.explorer.rules import RULES, Violation
from ansible_collections.pgfleet.standby.tests.explorer.state import (
    LEFT_OUT,
    VALUES,
    State,
    can_be_made,
    from_text,
    normal,
)
from ansible_collections.pgfleet.standby.tests.explorer.walk import Kept, RuleError, Walk

CONTROL = "global/pg_control"


def in_earnest(harm):
    """Harm that is done by a run, not by a look at what it would do."""
    return lambda host, check, outcome: outcome if check else harm(host, outcome)


def writes(place):
    def harm(host, _check, outcome):
        (host.base / place).write_text("harm", encoding="utf-8")
        return outcome

    return harm


def tells(**changed):
    return lambda _host, _check, outcome: replace(outcome, **changed)


def plans(action, stop=False):
    """Whatever there is, the plan is this."""
    plan = {"action": action, "stop": stop}
    return lambda _host, _check, _outcome: Outcome(result={"plan": plan, "action": action})


def unseen(_host, _check, outcome):
    return replace(outcome, result={"pgdata": {**outcome.result["pgdata"], "running": False}})


def loses(host, outcome):
    (host.main / "PG_VERSION").unlink()
    return outcome


def loses_the_old_one(host, outcome):
    (host.main.with_name("main.old") / "PG_VERSION").unlink()
    return outcome


def leaves_control(host, outcome):
    if outcome.refused:
        (host.main / CONTROL).write_text("x", encoding="utf-8")
    return outcome


def never_again(_host, check, outcome):
    return outcome if check else Outcome(code="clone_running", msg="It runs.")


SILENT = "Say nothing of it."
RUNS = State("standby_ours", runs="server", answer="streaming")
# For each rule: where it is broken, and by what.
HARMS: dict[str, tuple[str, State, Callable[..., Outcome]]] = {
    "server": ("judge", RUNS, plans("delta", stop=True)),
    "seen": ("look", RUNS, unseen),
    "outside": ("look", State("empty"), writes("victim/precious")),
    "border": ("look", State("used_other", mount="inside"), writes("host/main/dumps/monday.dump")),
    "refusal": ("copy", State("foreign"), in_earnest(lambda host, outcome: writes("host/main/x")(host, 0, outcome))),
    "code": ("look", State("empty"), tells(code="of_no_page", msg=SILENT)),
    "all_problems": ("judge", State("empty", upstream="silent"), tells(codes=("backup_old",))),
    "advice": ("judge", RUNS, tells(code="wal_missing", msg="Next: allow overwrite=same_cluster.")),
    "check_mode": ("look", State("empty"), writes("host/main/new")),
    "plan": ("copy", State("empty"), lambda _host, check, outcome: Outcome(code="lsn_invalid") if check else outcome),
    "consent": ("judge", State("used_other"), plans("replace")),
    "whole": ("copy", State("empty"), in_earnest(loses)),
    "unstartable": ("copy", State("empty", fault="killed_at_control"), in_earnest(leaves_control)),
    "goes_on": ("copy", State("empty", fault="killed_at_pull"), never_again),
    "kept": (
        *("copy", State("used_other", overwrite="always", keep_old="yes")),
        in_earnest(loses_the_old_one),
    ),
}


def harmful(monkeypatch, harm):
    """Every question is answered so."""

    def asked(host, state, module, check_mode=False, options=None):
        return harm(host, check_mode, ask(host, state, module, check_mode, options))

    monkeypatch.setattr(_questions, "ask", asked)


def test_every_rule_has_its_harm():
    assert set(HARMS) == set(RULES)


@pytest.mark.parametrize("rule", [rule for rule, (_question, state, _harm) in HARMS.items() if state.possible])
def test_every_rule_can_be_broken(host, monkeypatch, rule):
    question, state, harm = HARMS[rule]
    assert rule not in {one.rule for one in violations(host, question, state)}
    harmful(monkeypatch, harm)
    assert rule in {one.rule for one in violations(host, question, state)}


def test_a_signal_to_another_server_breaks_a_rule_and_is_not_sent(host, monkeypatch):
    def work(_params, _check_mode):
        os.kill(host.neighbour.pid, signal.SIGINT)
        return {"pgdata": {"running": False}}

    monkeypatch.setattr(_pgdata_info, "work", work)
    assert "server" in {one.rule for one in violations(host, "look", State("empty"))}
    assert host.neighbour.poll() is None


class TestWalk:
    """What becomes of a state in which a rule breaks."""

    @staticmethod
    def breaks(state):
        """A rule that does not hold for clusters of another system on a file system of their own."""
        if state.disk == "used_other" and state.mount != "nothing":
            yield Violation("outside", "it went")

    def test_makes_it_simple_and_keeps_it(self, tmp_path):
        kept = Kept(tmp_path)
        with pytest.raises(RuleError, match="outside: it went"):
            Walk("look", self.breaks, kept).explore(2000, 7)
        assert kept.of("look") == [State("used_other", mount="inside")]
        assert kept.of("judge") == []

    def test_asks_it_first_the_next_time_and_forgets_it_when_it_is_mended(self, tmp_path):
        kept = Kept(tmp_path)
        kept.add("look", State("used_other", mount="inside"))
        with pytest.raises(RuleError):
            Walk("look", self.breaks, kept).replay(("never",))
        assert len(kept.of("look")) == 1
        Walk("look", lambda _state: (), kept).replay(("never",))
        assert kept.of("look") == []

    def test_forgets_what_is_no_state_any_more(self, tmp_path):
        kept = Kept(tmp_path)
        (tmp_path / "look-1.json").write_text('{"disk": "a floppy"}', encoding="utf-8")
        assert kept.of("look") == []
        assert list(tmp_path.iterdir()) == []

    def test_is_the_same_for_the_same_seed(self, tmp_path):
        walks = [Walk("copy", lambda _state: (), Kept(tmp_path)) for _number in range(3)]
        for walk, with_seed in zip(walks, (3, 3, 4), strict=True):
            walk.explore(100, with_seed)
        assert len(walks[0].passed) == 100
        assert walks[0].passed == walks[1].passed != walks[2].passed

    def test_meets_every_word_of_every_list(self, tmp_path):
        walk = Walk("copy", lambda _state: (), Kept(tmp_path))
        walk.explore(600, 5)
        for name in set(VALUES) - set(LEFT_OUT["copy"]):
            words = {getattr(state, name) for state in walk.passed}
            assert words == {word for word in VALUES[name] if can_be_made(name, word)}

    def test_writes_states_as_it_reads_them(self, tmp_path):
        walk = Walk("judge", lambda _state: (), Kept(tmp_path))
        walk.explore(200, 5)
        assert [state for state in walk.passed if normal(state) != state] == []
        assert [state for state in walk.passed if from_text(state.text()) != state] == []
