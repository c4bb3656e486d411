# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several questions to one Barman at once, and its verdicts as a module tells them. Private to the collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._model import CheckItem, as_dict

__all__ = ["at_once", "verdicts"]


def at_once(*questions: Callable[[], Any]) -> list[Any]:
    """The answers, in the order of the questions, none of which needs the answer of another.

    A barman command spends most of its time with starting: some 0.4 s, whatever it is asked. Ask for Barman's version
    first, alone: whether the login works is known then, and so is how this version calls its commands.

    Raises what the first of the questions that failed has raised, after all of them have come to their end.
    """
    with ThreadPoolExecutor(max_workers=len(questions)) as threads:
        answers = [threads.submit(question) for question in questions]
    return [answer.result() for answer in answers]


def verdicts(server: str, checks: Iterable[CheckItem]) -> dict[str, Any]:
    """What ``barman check`` said of a server, as keys of a module's result."""
    checks = tuple(checks)
    failed = [item for item in checks if not item.ok]
    return {
        "checks": [as_dict(item) for item in checks],
        "failed_checks": [item.name for item in failed],
        "warnings_to_show": [
            f"barman check {server}: {item.name} failed{f' ({item.hint})' if item.hint else ''}." for item in failed
        ],
    }
