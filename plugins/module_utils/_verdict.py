# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one check found, and all of them in one message. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Verdict", "errors", "message", "numbered", "problem", "warning"]


@dataclass(frozen=True)
class Verdict:
    """What one check found: ``severity`` is ``ok``, ``warning`` or ``error``."""

    check: str
    severity: str
    msg: str
    error_code: str | None = None


def problem(check: str, code: str, said: str, step: str) -> Verdict:
    """What is in the way, and the step that helps."""
    return Verdict(check, "error", f"{said} Next: {step}.", code)


def warning(check: str, code: str, said: str, step: str) -> Verdict:
    """What is not in the way but should be known, and the step that helps."""
    return Verdict(check, "warning", f"{said} Next: {step}.", code)


def errors(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts that stop a clone."""
    return [verdict for verdict in verdicts if verdict.severity == "error"]


def message(host: str, data_directory: str, found: Iterable[Verdict]) -> str:
    """All problems in one text for one person."""
    return f"{host} cannot become a standby in {data_directory}; nothing was changed. {numbered(found)}"


def numbered(found: Iterable[Verdict]) -> str:
    """The one problem, or all of them with their number."""
    problems = list(found)
    if len(problems) == 1:
        return problems[0].msg
    said = " ".join(f"({number}) {verdict.msg}" for number, verdict in enumerate(problems, 1))
    return f"{len(problems)} problems: {said}"
