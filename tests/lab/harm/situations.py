"""The table: what a host may hold that is healthy or somebody else's, and what is answered at each level of consent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import in_the_way as there
import running as runs
from bed import ELSEWHERE, Bed
from clone_on_host import FAST
from standby_host import DATA

__all__ = ["LEVELS", "SITUATIONS", "Row", "rows"]

LEVELS = ("never", "pristine", "same_cluster", "always")

# What makes a situation: it may hold something while the questions are asked, or say which options they have.
Maker = Callable[[Bed], AbstractContextManager[Any] | Mapping[str, Any] | None]


@dataclass(frozen=True)
class Row:
    """``preflight`` and ``clone`` are the two modules' answers: an error_code or an action, for all levels or for each.

    ``victims`` are what stays as it is even if a clone does something.
    """

    kind: str
    situation: str
    made: Maker
    preflight: str | tuple[str, ...]
    clone: str | tuple[str, ...]
    victims: tuple[str, ...] = ()


def four(answers: str) -> tuple[str, ...]:
    """One for each level."""
    return tuple(answers.split())


DIVERGED = four("cluster_diverged cluster_diverged")
CLUSTER = four("data_directory_cluster data_directory_cluster")
MOUNTED = four("mount_point_inside mount_point_inside")
OTHERS_MOUNTED = (*CLUSTER, "data_directory_cluster", "mount_point_inside")
DELTA = four("delta delta")
FIXED = four("not_removable not_removable")
# A tablespace of the old copy is in the way, and stays.
DAMAGED = four("data_directory_damaged data_directory_damaged data_directory_damaged target_not_empty")
FOREIGN, FULL, UNREADABLE = "data_directory_foreign", "target_not_empty", "data_directory_unreadable"
LINKED = "link_untrusted"
LOST, WAL_LOST = f"{DATA}/lost+found", f"{DATA}/pg_wal/lost+found"

SITUATIONS = (
    # kind, situation, made by, preflight, standby_clone
    Row("running", "it streams", runs.streaming, "none", "server_running"),
    Row("running", "it has no Unix socket", runs.without_a_socket, "none", "server_running"),
    Row("running", "its socket is in its directory", runs.with_a_relative_socket, "none", "server_running"),
    Row("running", "hot_standby is off", runs.hot_standby_off, "hot_standby_off", "server_running"),
    Row("running", "pg_hba.conf rejects", runs.hba_rejects, "instance_unreachable", "server_running"),
    Row("running", "all connections are taken", runs.connections_used_up, "instance_unreachable", "server_running"),
    Row("running", "it is starting", runs.starting, "server_starting", "server_running"),
    Row("running", "it is shutting down", runs.stopping, "server_stopping", "server_running"),
    Row("running", "no sender is to spare", runs.no_sender_to_spare, "none", "server_running"),
    Row("running", "it is a primary", runs.primary, "primary_running", "server_running"),
    Row("running", "it is the upstream itself", runs.the_upstream_itself, "primary_running", "server_running"),
    Row("hidden", "through a bind mount", runs.bind_mounted, "primary_running", "server_running"),
    Row("hidden", "in a mount namespace", runs.in_a_mount_namespace, "primary_running", "server_running"),
    Row("hidden", "in a pid namespace", runs.in_a_pid_namespace, "primary_running", "server_running"),
    Row("hidden", "by the name postmaster", runs.under_another_name, "primary_running", "server_running"),
    Row(
        "hidden",
        "another's at this path",
        runs.at_the_same_path_in_a_namespace,
        "start",
        (*CLUSTER, *DELTA),
        (ELSEWHERE,),
    ),
    Row("mounts", "in a diverged cluster", there.a_file_system_inside, (*DIVERGED, *MOUNTED), (*CLUSTER, *MOUNTED)),
    Row("mounts", "by bind, in one", there.a_bind_mount_inside, (*DIVERGED, *MOUNTED), (*CLUSTER, *MOUNTED)),
    Row("mounts", "in another cluster", there.a_file_system_inside_another_cluster, OTHERS_MOUNTED, OTHERS_MOUNTED),
    Row("mounts", "a disk of its own", there.a_disk_of_its_own, "clone", "clone", (LOST,)),
    Row("mounts", "snapshots of its disk", there.a_snapshot_directory, "clone", "clone", (f"{DATA}/.snapshot",)),
    Row("mounts", "a WAL disk, empty", there.a_wal_disk_in_an_empty_directory, "clone", "clone", (WAL_LOST,)),
    Row(
        "mounts",
        "a WAL disk, used",
        there.a_wal_disk_of_a_cluster,
        (*DIVERGED, *DELTA),
        (*CLUSTER, *DELTA),
        (WAL_LOST,),
    ),
    Row("mounts", "a tablespace's disk", there.a_tablespace_disk, "clone", "clone", (f"{FAST}/lost+found",)),
    Row("others", "an immutable file", there.an_immutable_file, (*DIVERGED, *FIXED), (*CLUSTER, *FIXED)),
    Row(
        "others", "one of the cluster", there.an_immutable_file_of_the_cluster, (*DIVERGED, *FIXED), (*CLUSTER, *FIXED)
    ),
    Row("others", "an unknown version", there.of_an_unknown_version, "control_data_unknown", "control_data_unknown"),
    Row("others", "one that awaits salvage", there.without_its_control_file, DAMAGED, DAMAGED),
    Row("others", "letters, where a copy was", there.letters_at_the_path_of_an_unfinished_copy, FOREIGN, FOREIGN),
    Row("others", "letters, where a tablespace was", there.letters_at_a_tablespace_of_an_unfinished_copy, FULL, FULL),
    Row("others", "letters, mounted over a copy", there.letters_mounted_over_an_unfinished_copy, FOREIGN, FOREIGN),
    Row("others", "a user's", there.of_the_user_nobody, UNREADABLE, UNREADABLE),
    Row("links", "the state directory", there.a_linked_state_directory, LINKED, LINKED),
    Row("links", "the state directory, to root's", there.a_state_directory_linked_to_roots, LINKED, LINKED),
    Row("links", "a tablespace", there.a_linked_tablespace, FULL, FULL),
    Row("links", "waldir", there.a_linked_waldir, FULL, FULL),
    Row("links", "the data directory", there.a_linked_data_directory, FOREIGN, FOREIGN),
    Row("links", "parts of a cluster", there.a_linked_part, (*DIVERGED, *DELTA), (*CLUSTER, *DELTA), (there.VICTIM,)),
    Row("links", "a mark", there.a_linked_mark, "clone", "clone", (there.VICTIM,)),
)


def rows(kind: str) -> list[Row]:
    return [row for row in SITUATIONS if row.kind == kind]
