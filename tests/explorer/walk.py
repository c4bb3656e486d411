# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A walk through generated states: the same for the same seed, shrunk when a rule breaks, and that state kept.

Hypothesis makes the states and shrinks them. Its own database is not used: a state is kept as its own words, which
people can read and which still mean the same when a list of words has grown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from ansible_collections.pgfleet.standby.tests.explorer.rules import Violation
from ansible_collections.pgfleet.standby.tests.explorer.state import LEFT_OUT, VALUES, State, from_text, states
from hypothesis import HealthCheck, Phase, given, seed, settings

__all__ = ["Kept", "RuleError", "Walk"]

Ask = Callable[[State], Iterable[Violation]]


class RuleError(AssertionError):
    """A rule does not hold in a state."""


class Kept:
    """The states in which a rule broke, a file for each one, below a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def _path(self, question: str, state: State) -> Path:
        name = hashlib.blake2b(state.text().encode(), digest_size=6).hexdigest()
        return self.directory / f"{question}-{name}.json"

    def add(self, question: str, state: State) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self._path(question, state)
        path.write_text(state.text() + "\n", encoding="utf-8")
        return path

    def forget(self, question: str, state: State) -> None:
        self._path(question, state).unlink(missing_ok=True)

    def of(self, question: str) -> list[State]:
        """Those that are still states: a word may have gone."""
        found = []
        for path in sorted(self.directory.glob(f"{question}-*.json")):
            try:
                found.append(from_text(path.read_text(encoding="utf-8")))
            except (TypeError, json.JSONDecodeError):
                path.unlink()
        return found


class Walk:
    """One question asked in many states. ``passed`` are those in which all rules hold."""

    def __init__(self, question: str, ask: Ask, kept: Kept) -> None:
        self.question = question
        self.passed: set[State] = set()
        self._ask = ask
        self._kept = kept
        self._broken: State | None = None

    def replay(self, overwrite: tuple[str, ...]) -> None:
        """The states in which a rule broke before. Raises RuleError if it still does."""
        for state in self._kept.of(self.question):
            if state.overwrite in overwrite:
                self._check(state)
                self._kept.forget(self.question, state)

    def visit(self, states: Iterable[State]) -> None:
        """These states. Raises RuleError for the first one in which a rule breaks."""
        for state in states:
            self._check(state)
            self.passed.add(state)

    def explore(self, number: int, with_seed: int, overwrite: tuple[str, ...] = VALUES["overwrite"]) -> None:
        """So many different states. Raises RuleError for one that is as simple as one in which a rule breaks can be."""
        fixed = {name: VALUES[name][:1] for name in LEFT_OUT[self.question]}
        if "overwrite" not in fixed:
            fixed["overwrite"] = overwrite

        @seed(with_seed)
        @settings(
            max_examples=2 * number,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(states(**fixed))
        def walk(state: State) -> None:
            enough = self._broken is None and len(self.passed) >= number
            if state not in self.passed and not enough:
                self._check(state)
                self.passed.add(state)

        try:
            walk()
        except RuleError as broken:
            assert self._broken is not None
            path = self._kept.add(self.question, self._broken)
            raise RuleError(f"{broken}\nThe state is kept in {path}, and is asked first the next time.") from None

    def _check(self, state: State) -> None:
        found = list(self._ask(state))
        if found:
            self._broken = state
            lines = "\n".join(f"  {one.rule}: {one.seen}" for one in found)
            raise RuleError(f"{self.question} in the state {state.text()}:\n{lines}")
