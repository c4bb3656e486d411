# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where on this host the parts of a cluster are: programs, links, state directory. Private to the collection."""

from __future__ import annotations

import os
import pwd
import shutil

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = [
    "default_state_directory",
    "feed_of",
    "find_bindir",
    "home_directories",
    "linked_directories",
    "links",
    "place_exists",
    "runner_of",
    "spool_of",
    "wal_spool_of",
]

# Where packages put the programs of a major version: those of Debian and Ubuntu, of the PGDG for Red Hat and its kin,
# of SUSE, and of EDB's Advanced Server. The last is where PostgreSQL installs itself from its source.
_BINDIRS = (
    "/usr/lib/postgresql/{major}/bin",
    "/usr/pgsql-{major}/bin",
    "/usr/lib/postgresql{major}/bin",
    "/usr/edb/as{major}/bin",
    "/usr/local/pgsql/bin",
)


def home_directories() -> list[str]:
    """The homes of this host's users."""
    return [entry.pw_dir for entry in pwd.getpwall() if entry.pw_dir]


def default_state_directory(data_directory: str) -> str:
    """The state directory, beside the data directory: hosts that share the file system share the lock, too."""
    parent, name = os.path.split(os.path.abspath(data_directory))
    return os.path.join(parent, f".{name}.standby")


def runner_of(state_directory: str) -> str:
    """The lock of the process that works by itself for a state directory: a copy, a rewind or a feed."""
    return os.path.join(state_directory, "runner")


def spool_of(state_directory: str) -> str:
    """Where barman-wal-restore keeps the segments that it has fetched ahead for this cluster alone."""
    return os.path.join(state_directory, "spool")


def feed_of(state_directory: str) -> str:
    """What the WAL feed of this cluster has: its lock, its notes and its spool."""
    return os.path.join(state_directory, "wal_feed")


def wal_spool_of(state_directory: str) -> str:
    """Where the WAL feed puts whole segments, and the server's restore_command looks first."""
    return os.path.join(feed_of(state_directory), "ready")


def place_exists(data_directory: str, name: str, value: str) -> bool:
    """Whether a path that a postgresql.conf in the data directory names is right on this host."""
    path = os.path.join(data_directory, value)
    if name == "data_directory":
        return os.path.realpath(path) == os.path.realpath(data_directory)
    if name == "external_pid_file":
        return os.access(os.path.dirname(path), os.W_OK)
    return os.path.exists(path)


def find_bindir(major: int | None, wanted: str | None = None) -> str:
    """The directory of the server programs. Raises StandbyError when there is none for the major version."""
    candidates = [wanted] if wanted else [place.format(major=major) for place in _BINDIRS]
    for directory in candidates:
        if directory and os.access(os.path.join(directory, "postgres"), os.X_OK):
            return directory
    if not wanted:
        found = shutil.which("postgres")
        if found:
            return os.path.dirname(os.path.realpath(found))
    raise StandbyError(
        Refusal(
            "postgresql_not_installed",
            f"No PostgreSQL {major or ''} server programs in {', '.join(str(place) for place in candidates)}.",
            "install the server package, or name its directory in pg_bindir",
        )
    )


def links(data_directory: str) -> dict[str, str]:
    """The links of a cluster by their names in it, ``pg_wal`` or ``pg_tblspc/OID``, and the real paths they lead to."""
    names = ["pg_wal"]
    tablespaces = os.path.join(data_directory, "pg_tblspc")
    if os.path.isdir(tablespaces) and not os.path.islink(tablespaces):
        names += [os.path.join("pg_tblspc", name) for name in os.listdir(tablespaces)]
    places = {name: os.path.join(data_directory, name) for name in names}
    return {name: os.path.realpath(place) for name, place in places.items() if os.path.islink(place)}


def linked_directories(data_directory: str) -> set[str]:
    """The real paths to which the links of a cluster lead: its tablespaces, and its WAL if that is elsewhere."""
    return set(links(data_directory).values())
