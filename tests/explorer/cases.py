# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What broke a rule once, and is asked in every run."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.tests.explorer.state import State

__all__ = ["CASES"]

CASES: tuple[tuple[str, State], ...] = (
    # A server without its pid file, by another name than `postgres`.
    ("look", State("used_same", runs="postmaster_without_file")),
    ("judge", State("used_other", runs="edb_without_file", overwrite="always")),
    ("copy", State("used_other", runs="edb_without_file", overwrite="always")),
    ("judge", State("used_other", runs="postmaster_without_file")),
    ("copy", State("used_other", runs="postmaster_without_file")),
    # A server that works in the directory by another path.
    ("look", State("used_same", runs="server_by_another_mount")),
    ("judge", State("used_other", runs="server_by_another_mount", overwrite="always")),
    ("copy", State("used_other", runs="server_by_another_mount", overwrite="always")),
    ("judge", State("used_other", runs="server_by_another_mount")),
    ("copy", State("used_other", runs="server_by_another_mount")),
    # A server in another mount namespace, at the same path there.
    ("serve", State("pristine", runs="server_of_the_same_path")),
    # A server in a directory that has lost its cluster.
    ("look", State("empty", runs="server_without_file")),
    ("judge", State("empty", runs="server_without_file")),
    ("copy", State("empty", runs="server_without_file")),
    # A server that cannot be asked.
    ("judge", State("standby_ours", runs="server", overwrite="same_cluster")),
    ("judge", State("standby_ours", runs="server")),
    # A postmaster.pid of another pid namespace names process 1.
    ("judge", State("used_other", runs="pid_file_of_1", overwrite="always")),
    ("copy", State("used_other", runs="pid_file_of_1", overwrite="always")),
    ("judge", State("used_other", runs="pid_file_of_1")),
    ("copy", State("used_other", runs="pid_file_of_1")),
    # A pg_control of a later version.
    ("judge", State("unknown_control")),
    ("copy", State("unknown_control")),
    ("judge", State("unknown_control", overwrite="always")),
    ("copy", State("unknown_control", overwrite="always")),
    # The record of an unfinished copy, and something else at its path.
    ("judge", State("stale_record_foreign")),
    ("copy", State("stale_record_foreign")),
    # Letters in a place that the record of an interrupted rewind does not know.
    ("judge", State("rewinding_other", tablespace="stranger")),
    ("judge", State("rewinding_same", tablespace="stranger")),
    ("copy", State("rewinding_same", tablespace="stranger")),
    # A file system mounted among strangers.
    ("copy", State("used_other", mount="inside", overwrite="always")),
    ("copy", State("used_other", mount="inside", overwrite="always", fault="killed_at_pull")),
    # lost+found of a file system at pg_wal.
    ("copy", State("used_same", wal="mounted", overwrite="same_cluster")),
    ("copy", State("used_same", wal="mounted", overwrite="same_cluster", fault="killed_at_pull")),
    # An upstream that does not answer.
    ("judge", State("standby_same", upstream="silent")),
    ("judge", State("standby_same", upstream="not_asked")),
    # What is locked is a link, or in root's directory.
    ("copy", State(planted="lock_link")),
    ("copy", State(planted="runner_link")),
    ("copy", State(planted="state_link_to_roots")),
    # A data directory of another user.
    ("copy", State("empty", owner="theirs")),
    ("copy", State("empty", owner="theirs", fault="unsent")),
    ("serve", State("standby_ours", owner="theirs")),
    # A link in place of the directory in which the server's log is to be, and one that cannot be made.
    ("serve", State("used_same", owner="theirs", overwrite="pristine")),
    ("serve", State("used_same", planted="state_link", overwrite="pristine")),
    ("serve", State("used_same", planted="state_link", overwrite="same_cluster")),
    # A data directory that is a link to nothing.
    ("copy", State(mount="link", fault="unsent")),
    ("copy", State(mount="link")),
    # Notes that a copy could not write where the preflight sees them.
    ("judge", State(planted="lock_link")),
    ("judge", State(planted="state_link")),
    ("copy", State(planted="state_link")),
)
