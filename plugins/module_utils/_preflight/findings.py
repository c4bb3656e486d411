# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the questions of a preflight have found: verdicts, and what they bring to the plan. Pure.

Private to the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem

__all__ = ["Findings", "ask", "merged"]

T = TypeVar("T")

_JOINED = "not_checked"


@dataclass(frozen=True)
class Findings:
    """Verdicts in the order in which a person reads them, and keys of the plan (see ``plan_result``)."""

    verdicts: Sequence[Verdict] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)


def merged(*parts: Findings) -> Findings:
    """All findings as one. If two bring the same key of the plan, the later one wins; ``not_checked`` is joined."""
    plan = {name: value for part in parts for name, value in part.plan.items()}
    unchecked = [reason for part in parts for reason in part.plan.get(_JOINED, ())]
    plan.update({_JOINED: unchecked} if unchecked else {})
    return Findings(tuple(verdict for part in parts for verdict in part.verdicts), plan)


def ask(check: str, question: Callable[[], T]) -> tuple[T | None, Findings]:
    """The answer and no findings; or, if the question raises StandbyError, None and an error verdict of that check."""
    try:
        return question(), Findings()
    except StandbyError as failed:
        return None, Findings((problem(check, failed.refusal),))
