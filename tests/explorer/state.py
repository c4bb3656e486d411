# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host may be like, and what is asked of it: one combination of it all, and every combination generated.

The first word of every list is the simplest one: a failing combination is shrunk towards it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from itertools import product

from hypothesis import strategies as st

__all__ = [
    "CLUSTERS",
    "LEFT_OUT",
    "OTHERS",
    "RUNNING",
    "VALUES",
    "State",
    "can_be_made",
    "every_word",
    "from_text",
    "normal",
    "states",
]

ROOT = os.geteuid() == 0

VALUES: dict[str, tuple[str, ...]] = {
    # What is in the data directory.
    "disk": (
        *("missing", "empty", "lost_and_found", "foreign", "pristine", "pristine_same", "used_same", "used_other"),
        *("standby_ours", "standby_ours_older", "standby_same", "standby_other"),
        # A copy of ours that was really interrupted; an earlier record of this path, and other things there since.
        *("unfinished", "stale_record_foreign", "stale_record_salvage"),
        *("rewinding_same", "rewinding_other", "no_control", "damaged_control", "unknown_control"),
    ),
    "version": ("15", "11", "12", "13", "14", "16", "17", "18", "10"),
    # Where the tablespace of the cluster is, and what is in the place that the copy will use.
    "tablespace": ("none", "used", "inside", "elsewhere", "stranger", "linked", "victim"),
    "wal": ("inside", "linked", "linked_without_waldir", "mounted"),
    "planted": (
        *("nothing", "file_link", "directory_link", "hard_link", "global_link", "control_link", "new_control_link"),
        *("state_link", "state_link_to_roots", "state_link_to_nothing", "record_link", "lock_link", "runner_link"),
        *("work_link", "result_link", "old_there"),
    ),
    # A file system of its own: below the data directory, the data directory itself, or behind a link there.
    "mount": ("nothing", "inside", "whole", "link"),
    "owner": ("ours", "theirs", "theirs_closed"),
    "runs": (
        *("nothing", "dead_pid_file", "reused_pid_file", "pid_file_of_1", "shell", "server", "server_without_file"),
        *("postmaster_without_file", "edb_without_file", "server_by_another_mount", "server_of_the_same_path"),
    ),
    # What the server that runs there says, and the upstream.
    "answer": ("refused", "primary", "streaming", "waiting", "diverged", "unused"),
    "upstream": ("there", "left", "silent", "not_asked", "other"),
    "overwrite": ("never", "pristine", "same_cluster", "always"),
    "keep_old": ("no", "yes"),
    "again": ("no", "yes"),
    # What befalls a copy: it is killed at that moment, or the Barman host does not send.
    "fault": ("nothing", "killed_at_listing", "killed_at_pull", "killed_at_sync", "killed_at_control", "unsent"),
}

# Those that only root can make; without root's rights they are not generated.
_ROOTS = {
    "wal": ("mounted",),
    "planted": ("state_link_to_roots", "state_link_to_nothing"),
    "mount": ("inside", "whole", "link"),
    "owner": ("theirs", "theirs_closed"),
    "runs": ("server_by_another_mount", "server_of_the_same_path"),
    "tablespace": ("linked",),
}

CLUSTERS = frozenset(VALUES["disk"]) - {
    *("missing", "empty", "lost_and_found", "foreign", "unfinished", "stale_record_foreign"),
}
# Of another system identifier than the backup's.
OTHERS = frozenset({"used_other", "standby_other", "pristine", "rewinding_other", "stale_record_salvage"})
# A server whose working directory is the data directory, however it is called and found.
RUNNING = frozenset(
    {"server", "server_without_file", "postmaster_without_file", "edb_without_file", "server_by_another_mount"}
)
_IN_STATE_DIRECTORY = ("record_link", "lock_link", "runner_link", "work_link", "result_link")
_IN_CLUSTER = ("file_link", "directory_link", "hard_link", "global_link", "control_link", "new_control_link")


@dataclass(frozen=True)
class State:
    """One host. The words are those of VALUES."""

    disk: str = "missing"
    version: str = "15"
    tablespace: str = "none"
    wal: str = "inside"
    planted: str = "nothing"
    mount: str = "nothing"
    owner: str = "ours"
    runs: str = "nothing"
    answer: str = "refused"
    upstream: str = "there"
    overwrite: str = "never"
    keep_old: str = "no"
    again: str = "no"
    fault: str = "nothing"

    @property
    def possible(self) -> bool:
        """Whether this process has the rights to make it."""
        return all(can_be_made(name, value) for name, value in asdict(self).items())

    def text(self) -> str:
        """All that is not as simple as can be, for people and for a file."""
        return json.dumps({name: value for name, value in asdict(self).items() if value != VALUES[name][0]})


def from_text(text: str) -> State:
    """A state as ``text`` has it. Raises TypeError for a word that is none."""
    state = State(**json.loads(text))
    unknown = [field.name for field in fields(State) if getattr(state, field.name) not in VALUES[field.name]]
    if unknown:
        raise TypeError(f"no such {', '.join(unknown)}: {text}")
    return state


def normal(state: State) -> State:
    """The state without what cannot be or does not matter beside the rest, so that two that are alike are equal."""
    changed: dict[str, str] = {}
    if state.disk not in CLUSTERS:
        changed["wal"] = "inside" if state.disk == "missing" or state.wal != "mounted" else state.wal
        if state.tablespace in ("used", "inside", "elsewhere", "victim"):
            changed["tablespace"] = "none"
        if state.planted in _IN_CLUSTER:
            changed["planted"] = "nothing"
        if state.runs.endswith(("pid_file", "pid_file_of_1")):
            changed["runs"] = "nothing"
        elif state.runs in ("server", "server_by_another_mount"):  # its pid file would not leave the directory empty
            changed["runs"] = "server_without_file"
    if state.disk == "missing":
        changed |= {"runs": "nothing", "owner": "ours", "mount": "nothing" if state.mount != "link" else "link"}
    if state.disk == "unfinished":
        changed |= {"owner": "ours", "runs": "nothing", "mount": "nothing", "wal": "inside"}
        if state.planted in ("state_link", "state_link_to_roots", "state_link_to_nothing", "old_there"):
            changed["planted"] = "nothing"
        if state.tablespace in ("linked", "stranger"):
            changed["tablespace"] = "none"
    if state.disk in ("no_control", "unknown_control", "damaged_control", "stale_record_salvage") and (
        state.planted in ("global_link", "control_link")
    ):
        changed["planted"] = "nothing"
    if state.planted in ("state_link_to_nothing", "state_link_to_roots") and _has_record(state.disk):
        changed["planted"] = "nothing"
    if changed.get("runs", state.runs) != "server":
        changed["answer"] = "refused"
    if state.runs == "server_of_the_same_path" and state.mount != "nothing":
        changed["runs"] = "nothing"
    if state.owner != "ours" and state.planted == "hard_link":
        changed["planted"] = "nothing"
    return replace(state, **changed)


def _has_record(disk: str) -> bool:
    return disk.startswith(("standby_ours", "stale_record", "rewinding", "unfinished"))


def can_be_made(name: str, word: str) -> bool:
    """Whether this process has the rights for it."""
    return ROOT or word not in _ROOTS.get(name, ())


# What a question does not depend on is as simple as can be, so that no two states are one case.
_OF_COPIES = ("keep_old", "again", "fault")
_OF_SERVERS = ("answer", "upstream")
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "look": ("overwrite", *_OF_COPIES, *_OF_SERVERS),
    "judge": ("fault",),
    "directories": (*_OF_COPIES, *_OF_SERVERS, "overwrite", "runs"),
    "serve": (*_OF_COPIES, *_OF_SERVERS),
    "copy": _OF_SERVERS,
}


def every_word(question: str, overwrite: tuple[str, ...], beside: tuple[str, ...]) -> list[State]:
    """Each word of what a question depends on alone, beside each of a few directories. A seed may leave one out."""
    found: dict[State, None] = {}
    names = [name for name in VALUES if name not in LEFT_OUT[question]]
    for level, disk, name in product(overwrite, beside, names):
        base = State(disk=disk) if "overwrite" in LEFT_OUT[question] else State(disk=disk, overwrite=level)
        for word in overwrite if name == "overwrite" else VALUES[name]:
            state = normal(replace(base, **{name: word}))
            if state.possible:
                found[state] = None
    return list(found)


def states(**fixed: tuple[str, ...]) -> st.SearchStrategy[State]:
    """All of them; ``fixed`` narrows the words of some fields."""
    chosen = {}
    for field in fields(State):
        words = fixed.get(field.name, VALUES[field.name])
        chosen[field.name] = st.sampled_from([word for word in words if can_be_made(field.name, word)])
    return st.builds(State, **chosen).map(normal)
