# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What breaks a rule today, and why: to be emptied. What broke one before is in CASES, and is asked in every run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.tests.explorer.rules import Violation
from ansible_collections.pgfleet.standby.tests.explorer.state import CLUSTERS, RUNNING, State

__all__ = ["CASES", "KNOWN", "Known", "is_known"]

CASES: tuple[tuple[str, State], ...] = ()


@dataclass(frozen=True)
class Cause:
    """``why`` a rule breaks in the states that ``of`` tells."""

    why: str
    of: Callable[[State], bool]


CAUSES = {
    "other_name": Cause(
        "Without its pid file a server is found by the name `postgres` alone.",
        lambda state: state.runs in ("postmaster_without_file", "edb_without_file"),
    ),
    "other_mount": Cause(
        "A server's working directory is compared by its path, not by device and inode.",
        lambda state: state.runs == "server_by_another_mount",
    ),
    "same_path": Cause(
        "A server in another mount namespace, at the same path there, counts as this directory's.",
        lambda state: state.runs == "server_of_the_same_path",
    ),
    "no_cluster": Cause(
        "A server is looked for only in a directory that still holds its cluster.",
        lambda state: state.runs in RUNNING and (state.disk not in CLUSTERS or state.disk == "stale_record_salvage"),
    ),
    "cannot_ask": Cause(
        "A server that cannot be asked counts as one whose position is unknown, and that as diverged.",
        lambda state: state.runs in RUNNING and state.answer == "refused",
    ),
    "container": Cause(
        "A postmaster.pid of another pid namespace names process 1, and counts as left over.",
        lambda state: state.runs == "pid_file_of_1",
    ),
    "later_version": Cause(
        "A pg_control of a later version cannot be read, and counts as damaged.",
        lambda state: state.disk == "unknown_control",
    ),
    "silent": Cause(
        "An upstream that does not answer leaves a standby's position unknown, and that counts as diverged.",
        lambda state: state.upstream in ("silent", "not_asked"),
    ),
    "by_path": Cause(
        "The record of an unfinished copy is believed by its path, whatever is there now.",
        lambda state: state.disk.startswith("stale_record"),
    ),
    "places_by_path": Cause(
        "The places that a record names are believed to be its own, whatever they hold now.",
        lambda state: state.tablespace == "stranger" and state.disk.startswith(("rewinding", "stale_record")),
    ),
    "mount_inside": Cause(
        "Strangers are removed across the border of a file system, after pg_control has gone.",
        lambda state: state.mount == "inside",
    ),
    "wal_volume": Cause(
        "lost+found of a file system at pg_wal is a stranger, and cannot be removed.",
        lambda state: state.wal == "mounted",
    ),
    "dangling": Cause(
        "A data directory that is a link to nothing is refused when the record is written.",
        lambda state: state.mount == "link" and state.disk == "missing",
    ),
    "state_link": Cause(
        "A state directory that is a link is followed, and what it leads to gets mode 0700.",
        lambda state: state.planted == "state_link",
    ),
    "locks": Cause(
        "Check mode does not look at the files and the directory that a copy locks.",
        lambda state: state.planted in ("lock_link", "runner_link", "state_link_to_roots"),
    ),
    "theirs": Cause(
        "Whose the data directory is matters to the preflight alone: a copy finds out after its first change.",
        lambda state: state.owner != "ours",
    ),
}


@dataclass(frozen=True)
class Known:
    """A rule that breaks by a cause; ``state`` is a simple one in which it does. ``seen`` narrows what is seen."""

    cause: str
    rule: str
    question: str
    state: State
    seen: str = ""

    @property
    def why(self) -> str:
        return CAUSES[self.cause].why

    @property
    def name(self) -> str:
        return f"{self.cause}-{self.rule}-{self.question}"

    def tells(self, question: str, state: State, violation: Violation) -> bool:
        """Whether it is this one that broke the rule there."""
        same = (question, violation.rule) == (self.question, self.rule)
        return same and CAUSES[self.cause].of(state) and re.search(self.seen, violation.seen) is not None


def is_known(question: str, state: State, violation: Violation) -> bool:
    return any(known.tells(question, state, violation) for known in KNOWN)


_HALF = "remove_failed"
_GONE = "directory_not_writable"

KNOWN = (
    Known("other_name", "seen", "look", State("used_same", runs="postmaster_without_file")),
    Known("other_name", "server", "judge", State("used_other", runs="edb_without_file", overwrite="always")),
    Known("other_name", "server", "copy", State("used_other", runs="edb_without_file", overwrite="always")),
    Known("other_name", "advice", "judge", State("used_other", runs="postmaster_without_file")),
    Known("other_name", "advice", "copy", State("used_other", runs="postmaster_without_file")),
    Known("other_mount", "seen", "look", State("used_same", runs="server_by_another_mount")),
    Known("other_mount", "server", "judge", State("used_other", runs="server_by_another_mount", overwrite="always")),
    Known("other_mount", "server", "copy", State("used_other", runs="server_by_another_mount", overwrite="always")),
    Known("other_mount", "advice", "judge", State("used_other", runs="server_by_another_mount")),
    Known("other_mount", "advice", "copy", State("used_other", runs="server_by_another_mount")),
    Known("same_path", "server", "serve", State("pristine", runs="server_of_the_same_path"), "got signal"),
    Known("no_cluster", "seen", "look", State("empty", runs="server_without_file")),
    Known("no_cluster", "server", "judge", State("empty", runs="server_without_file")),
    Known("no_cluster", "server", "copy", State("empty", runs="server_without_file")),
    Known("cannot_ask", "server", "judge", State("standby_ours", runs="server", overwrite="same_cluster"), "stop the"),
    Known("cannot_ask", "advice", "judge", State("standby_ours", runs="server")),
    Known("container", "server", "judge", State("used_other", runs="pid_file_of_1", overwrite="always")),
    Known("container", "server", "copy", State("used_other", runs="pid_file_of_1", overwrite="always")),
    Known("container", "advice", "judge", State("used_other", runs="pid_file_of_1")),
    Known("container", "advice", "copy", State("used_other", runs="pid_file_of_1")),
    Known("later_version", "advice", "judge", State("unknown_control")),
    Known("later_version", "advice", "copy", State("unknown_control")),
    Known("later_version", "consent", "judge", State("unknown_control", overwrite="always")),
    Known("later_version", "consent", "copy", State("unknown_control", overwrite="always")),
    Known("silent", "advice", "judge", State("standby_same", upstream="silent")),
    Known("by_path", "consent", "judge", State("stale_record_foreign")),
    Known("by_path", "consent", "copy", State("stale_record_foreign")),
    Known("by_path", "plan", "copy", State("stale_record_foreign"), "resume was planned, and clone was done"),
    Known("places_by_path", "all_problems", "judge", State("rewinding_other", tablespace="stranger")),
    Known("places_by_path", "consent", "judge", State("rewinding_same", tablespace="stranger"), "letters"),
    Known("places_by_path", "consent", "copy", State("rewinding_same", tablespace="stranger"), "letters"),
    Known("mount_inside", "border", "copy", State("used_other", mount="inside", overwrite="always")),
    Known("mount_inside", "refusal", "copy", State("used_other", mount="inside", overwrite="always")),
    Known("mount_inside", "plan", "copy", State("used_other", mount="inside", overwrite="always"), _HALF),
    Known(
        *("mount_inside", "goes_on", "copy"),
        State("used_other", mount="inside", overwrite="always", fault="killed_at_pull"),
        _HALF,
    ),
    Known("wal_volume", "refusal", "copy", State("used_same", wal="mounted", overwrite="same_cluster")),
    Known("wal_volume", "plan", "copy", State("used_same", wal="mounted", overwrite="same_cluster"), _HALF),
    Known(
        *("wal_volume", "goes_on", "copy"),
        State("used_same", wal="mounted", overwrite="same_cluster", fault="killed_at_pull"),
        _HALF,
    ),
    Known("dangling", "refusal", "copy", State(mount="link")),
    Known("dangling", "plan", "copy", State(mount="link"), _GONE),
    Known("dangling", "goes_on", "copy", State(mount="link", fault="unsent"), _GONE),
    Known("state_link", "outside", "copy", State(planted="state_link")),
    Known("locks", "plan", "copy", State(planted="lock_link"), "write_failed"),
    Known("theirs", "refusal", "copy", State("empty", owner="theirs")),
    Known("theirs", "plan", "copy", State("empty", owner="theirs")),
    Known("theirs", "goes_on", "copy", State("empty", owner="theirs", fault="unsent")),
    Known("theirs", "code", "serve", State("standby_ours", owner="theirs"), "PermissionError"),
)
