# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several questions at once, for answers that take time and not our processor. Private to the collection."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["at_once"]


def at_once(*questions: Callable[[], Any]) -> list[Any]:
    """The answers, in the order of the questions, none of which needs the answer of another.

    Raises what the first of the questions that failed has raised, after all of them have come to their end.
    """
    with ThreadPoolExecutor(max_workers=len(questions)) as threads:
        answers = [threads.submit(question) for question in questions]
    return [answer.result() for answer in answers]
