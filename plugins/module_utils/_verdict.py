# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one check found, and all of them in one refusal. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal

__all__ = ["Verdict", "all_in_one", "errors", "problem", "refusals", "shown", "warning"]


@dataclass(frozen=True)
class Verdict:
    """What one check found: ``severity`` is ``ok``, ``warning`` or ``error``. An error has the refusal that says it."""

    check: str
    severity: str
    msg: str
    refusal: Refusal | None = None

    @property
    def error_code(self) -> str | None:
        """The refusal's stable name."""
        return self.refusal.code if self.refusal is not None else None


def problem(check: str, refusal: Refusal) -> Verdict:
    """What is in the way, and the step that helps."""
    return Verdict(check, "error", refusal.msg, refusal)


def warning(check: str, refusal: Refusal) -> Verdict:
    """What is not in the way but should be known, and the step that helps."""
    return Verdict(check, "warning", refusal.msg, refusal)


def shown(verdict: Verdict) -> dict[str, Any]:
    """A verdict as modules return it."""
    return {
        "check": verdict.check,
        "severity": verdict.severity,
        "msg": verdict.msg,
        "error_code": verdict.error_code,
    }


def errors(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts that stop a clone."""
    return [verdict for verdict in verdicts if verdict.severity == "error"]


def refusals(verdicts: Iterable[Verdict]) -> list[Refusal]:
    """What stops a clone, in the words of the checks."""
    return [verdict.refusal for verdict in errors(verdicts) if verdict.refusal is not None]


def all_in_one(code: str, head: str, refusals: Sequence[Refusal]) -> Refusal:
    """The one refusal, or all of them with their number under a code of their own; ``head`` is the sentence before."""
    if len(refusals) == 1:
        [only] = refusals
        return Refusal(only.code, f"{head} {only.found}", only.next_step)
    numbered = " ".join(f"({number}) {refusal.msg}" for number, refusal in enumerate(refusals, 1))
    return Refusal(code, f"{head} {len(refusals)} problems: {numbered}", "take these steps, then run again")
