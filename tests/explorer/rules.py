# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not be, whatever the state and the question: each rule by its name, with what was seen against it.

A rule knows the truth from the state, which made it; the modules have to find it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ansible_collections.pgfleet.standby.tests.explorer.asking import Outcome
from ansible_collections.pgfleet.standby.tests.explorer.snapshot import Listing, difference
from ansible_collections.pgfleet.standby.tests.explorer.state import CLUSTERS, OTHERS, RUNNING, State

__all__ = ["RULES", "Violation", "advice", "check_mode", "consent", "known_code", "nothing_changed", "outside"]

ROOT = Path(__file__).resolve().parents[2]
LEVELS = ("never", "pristine", "same_cluster", "always")
COPIES = ("clone", "resume", "delta", "replace", "rewind")

RULES = {
    "server": "No running server is stopped, and nothing taken from under one, without consent for this very cluster;"
    " never one that could not be asked.",
    "seen": "A server that works in the data directory is seen.",
    "outside": "Nothing outside of the declared places changes.",
    "border": "Nothing on a file system changes that is mounted below the data directory.",
    "refusal": "A refusal changes nothing.",
    "code": "What is refused has a code that the documentation knows; nothing ends with a traceback.",
    "all_problems": "The preflight tells all problems at once.",
    "advice": "What is healthy, or could not be asked, is not advised to be overwritten.",
    "check_mode": "Check mode changes nothing.",
    "plan": "What was planned is what is done.",
    "consent": "What was there goes only at the level of overwrite that allows it.",
    "whole": "After a success all of the backup is here, with pg_control.",
    "unstartable": "After an interruption there is no pg_control, or nothing has changed.",
    "goes_on": "A run after an interruption comes to its end.",
    "kept": "With keep_old, what was there is whole in its new place.",
}


@dataclass(frozen=True)
class Violation:
    """``rule`` is a name of RULES, ``seen`` is what was seen against it."""

    rule: str
    seen: str


# --- what the state means ---------------------------------------------------------------------
# The lowest level of overwrite at which what is there may go; None if it may at no level.
_LEVEL: dict[str, str | None] = {
    **dict.fromkeys(("missing", "empty", "lost_and_found", "unfinished", "rewinding_same"), "never"),
    **dict.fromkeys(("pristine", "pristine_same"), "pristine"),
    **dict.fromkeys(("used_same", "standby_ours", "standby_ours_older", "standby_same"), "same_cluster"),
    **dict.fromkeys(("used_other", "standby_other", "rewinding_other"), "always"),
    # Damage is certain; what a later PostgreSQL has written only cannot be read.
    **dict.fromkeys(("no_control", "damaged_control", "stale_record_salvage"), "always"),
    **dict.fromkeys(("foreign", "stale_record_foreign", "unknown_control"), None),
}


def allows(state: State) -> bool:
    """Whether what is there may be overwritten at this level."""
    level = _LEVEL[state.disk]
    return level is not None and LEVELS.index(state.overwrite) >= LEVELS.index(level)


def _may_stop(state: State) -> bool:
    """Whether there is consent to stop the server that runs there, which has told what it is."""
    if state.runs != "server" or state.answer in ("refused", "primary"):
        return False
    if state.answer == "unused":
        return state.disk == "pristine" and allows(state)
    gone = state.answer == "diverged" or state.upstream == "left"
    return gone and state.disk not in OTHERS and state.upstream != "other" and allows(state)


# --- rules --------------------------------------------------------------------------------------
def server(state: State, planned: Outcome) -> Iterator[Violation]:
    """Of a plan, or of what a copy would do."""
    if planned.refused or planned.crash is not None:
        return
    stop = bool(planned.result.get("plan", {}).get("stop"))
    if stop and not _may_stop(state):
        yield Violation("server", f"{planned.action} would stop the server")
    occupied = state.runs in RUNNING or state.runs == "pid_file_of_1"
    if planned.action in COPIES and occupied and not stop:
        yield Violation("server", f"{planned.action} would change what the server works on")


def seen(state: State, asked: Outcome) -> Iterator[Violation]:
    """Of pgdata_info."""
    if state.runs in RUNNING and asked.result and not asked.result["pgdata"]["running"]:
        yield Violation("seen", f"no server is said to run, and {state.runs} does")


def signals(asked: Outcome, allowed: Iterable[int] = ()) -> Iterator[Violation]:
    """That nothing was ended or told but those that may be."""
    for pid, number in asked.signals:
        if pid not in allowed:
            yield Violation("server", f"process {pid} got signal {number}")


def outside(before: Listing, after: Listing, mounts: Iterable[Path] = ()) -> Iterator[Violation]:
    """Of everything that no copy may change."""
    changed = difference(before, after)
    across = [line for line in changed if any(line.startswith(f"{mount}/") for mount in mounts)]
    beside = [line for line in changed if line not in across and not any(line.startswith(f"{m} ") for m in mounts)]
    if across:
        yield Violation("border", "; ".join(across[:4]))
    if beside:
        yield Violation("outside", "; ".join(beside[:4]))


# What a run that refuses late has written beside the record: docs/troubleshooting.md has them, file by file.
_NOTES = re.compile(r"/\.main\.standby/(lock|runner|result\.json|progress\.json)( |$)")
_STATE_DIRECTORY_TIME = re.compile(r"/\.main\.standby has another changed_ns$")


def nothing_changed(rule: str, before: Listing, after: Listing) -> Iterator[Violation]:
    """``rule`` is ``check_mode`` or ``refusal``: the latter may leave notes in a state directory that was there."""
    changed = difference(before, after)
    if rule == "refusal":
        changed = [line for line in changed if not _NOTES.search(line) and not _STATE_DIRECTORY_TIME.search(line)]
    if changed:
        yield Violation(rule, "; ".join(changed[:4]))


def check_mode(before: Listing, after: Listing) -> Iterator[Violation]:
    return nothing_changed("check_mode", before, after)


@cache
def _documented() -> frozenset[str]:
    text = (ROOT / "docs" / "error_codes.md").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))


def known_code(asked: Outcome) -> Iterator[Violation]:
    if asked.crash is not None:
        yield Violation("code", asked.crash.strip().splitlines()[-1])
    unknown = [code for code in (asked.code, *asked.codes) if code is not None and code not in _documented()]
    if unknown:
        yield Violation("code", f"{', '.join(unknown)} is not in docs/error_codes.md")


_OF_CONSENT = frozenset(f"data_directory_{what}" for what in ("foreign", "cluster", "pristine", "damaged"))


def all_problems(state: State, asked: Outcome) -> Iterator[Violation]:
    """Of the preflight: what is wrong for reasons of its own is told, whatever else is wrong."""
    if not asked.refused:
        # Where nothing is to be done a standby streams as it is wanted: who does not answer is no problem.
        if state.upstream == "silent" and asked.action != "none":
            yield Violation("all_problems", "the upstream is silent, and nothing is said of that")
        return
    expected = []
    if state.upstream == "silent":
        expected.append("upstream_unreachable")
    consent_lacks = any(code in _OF_CONSENT for code in asked.codes)
    if state.tablespace == "stranger" and consent_lacks:
        expected.append("target_not_empty")
    missing = [code for code in expected if code not in asked.codes]
    if missing:
        yield Violation("all_problems", f"{', '.join(missing)} is missing among {', '.join(asked.codes)}")


# A standby that is taken over as it is keeps what it has.
_DESTROYS = re.compile(r"overwrite=(same_cluster(?! to take it over as it is)|always)")


def _not_to_be_advised(state: State) -> bool:
    """Whether what is there is healthy, or could not be asked, so that nothing is known against it."""
    if state.disk == "unknown_control":
        return True
    if state.disk not in CLUSTERS:
        return False
    if state.runs in RUNNING:
        return state.runs != "server" or state.answer in ("refused", "primary", "streaming")
    ours = state.disk in ("standby_ours", "standby_ours_older", "standby_same")
    return state.runs == "pid_file_of_1" or (ours and state.upstream in ("silent", "not_asked"))


def advice(state: State, asked: Outcome) -> Iterator[Violation]:
    """Of every message that is a refusal."""
    if not asked.refused or not _not_to_be_advised(state):
        return
    # A standby that has lost its way by what it says itself is not healthy.
    if state.answer == "streaming" and state.upstream in ("left", "other"):
        return
    found = _DESTROYS.search(asked.msg)
    if found:
        yield Violation("advice", f"{asked.code}: the next step names {found.group()}")


def plan(planned: Outcome, done: Outcome) -> Iterator[Violation]:
    """Of two answers to the same question, one of them in check mode."""
    if planned.crash is not None or done.crash is not None:
        return
    if planned.refused != done.refused or planned.action != done.action:
        words = [outcome.code or str(outcome.action) for outcome in (planned, done)]
        yield Violation("plan", f"{words[0]} was planned, and {words[1]} was done")


# The mode is the preflight's to look at: a copy gives the directory the one that it needs.
_OF_THE_DIRECTORY = re.compile(
    r"data_directory_(?!mode)|server_running|primary_running|path_|target_not_empty|cluster_diverged"
)


def preflight_and_copy(preflight: Outcome, copy: Outcome) -> Iterator[Violation]:
    """Of a plan of the preflight, and of what a copy would do then; the server has been stopped if that was planned."""
    if preflight.crash is not None or copy.crash is not None:
        return
    if not preflight.refused and preflight.action in COPIES:
        if copy.refused:
            yield Violation("plan", f"the preflight plans {preflight.action}, and the copy refuses: {copy.code}")
        elif copy.action not in (preflight.action, "none"):
            yield Violation("plan", f"the preflight plans {preflight.action}, and the copy does {copy.action}")
    of_directory = [code for code in preflight.codes if _OF_THE_DIRECTORY.match(code)]
    if of_directory and not copy.refused and copy.action != "none":
        yield Violation("plan", f"the preflight refuses ({', '.join(of_directory)}), and the copy does {copy.action}")


def consent(state: State, done: Outcome) -> Iterator[Violation]:
    """Of a plan to copy, and of a copy that was made."""
    if done.refused or done.crash is not None or done.action not in COPIES:
        return
    kept = state.keep_old == "yes" and done.action == "clone"
    if not allows(state):
        yield Violation("consent", f"{done.action}{', kept' if kept else ''} of {state.disk} at {state.overwrite}")
    if state.tablespace == "stranger":
        yield Violation("consent", f"{done.action} over the letters in the place of the tablespace")
