# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen of a host and of its upstream before the host becomes a standby, as plain data. Pure.

None stands for what could not be seen. Private to the collection.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._model import Tablespace

__all__ = [
    "Clock",
    "ClusterFiles",
    "Collation",
    "Database",
    "HostPlace",
    "Sender",
    "Slot",
    "UpstreamFacts",
    "libraries_of",
    "library_name",
    "machine_of",
    "sorts_by_bytes",
]

_LIBRARY = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,"]+))\s*(?:,|$)')


@dataclass(frozen=True)
class Clock:
    """Another host's clock against ours: ``offset`` is theirs minus ours, known to half of ``round_trip``. Seconds."""

    offset: float
    round_trip: float


@dataclass(frozen=True)
class Slot:
    """A replication slot by name. ``kind`` is ``absent``, ``physical`` or ``logical``.

    ``active`` is None if only the replication protocol was asked. ``wal_status`` is there from PostgreSQL 13 on,
    ``invalidation_reason`` from 17 on (PostgreSQL manual, 54.19 "pg_replication_slots").
    """

    name: str
    kind: str
    active: bool | None = None
    pid: int | None = None
    application_name: str | None = None
    client_addr: str | None = None
    wal_status: str | None = None
    invalidation_reason: str | None = None


@dataclass(frozen=True)
class Sender:
    """A row of ``pg_stat_replication``; ``client_addr`` is None for a socket, and for other roles' connections."""

    pid: int
    application_name: str
    client_addr: str | None = None


@dataclass(frozen=True)
class Collation:
    """What orders strings in ``owner``. ``provider`` is ``c`` (libc) or ``i`` (ICU).

    ``recorded`` is the version that indexes were built with, ``actual`` the one that the upstream has now.
    """

    owner: str
    provider: str
    locale: str
    recorded: str | None
    actual: str | None


@dataclass(frozen=True)
class Database:
    """A database that accepts connections, and the names of its two locales."""

    name: str
    collate: str
    ctype: str


@dataclass(frozen=True)
class UpstreamFacts:
    """What the upstream told. ``max_slot_wal_keep_size`` is in bytes, -1 for no limit, None before PostgreSQL 13.

    ``preload`` is None unless the role may read all settings. ``block_sizes`` are those of its programs, by the
    settings' names. ``slot`` is None also when none is wanted. ``database`` is the one that let us in.
    """

    database: str | None = None
    max_replication_slots: int | None = None
    slots_in_use: int | None = None
    max_wal_senders: int | None = None
    senders: tuple[Sender, ...] | None = None
    slot: Slot | None = None
    max_slot_wal_keep_size: int | None = None
    databases: tuple[Database, ...] | None = None
    collations: tuple[Collation, ...] | None = None
    clock: Clock | None = None
    preload: tuple[str, ...] | None = None
    block_sizes: dict[str, int] | None = None
    machine: str | None = None


@dataclass(frozen=True)
class ClusterFiles:
    """What a copy of a running cluster will bring. ``bytes`` are those of all databases, None if that is refused.

    ``tablespace_bytes`` are by the tablespace's oid, if they are told. ``settings`` are those that its configuration
    files set, as far as the role may see them, in the units of pg_settings. ``config_file`` and ``data_directory`` are
    where it has its own, None unless the role may read all settings.
    """

    tablespaces: tuple[Tablespace, ...]
    bytes: int | None
    tablespace_bytes: dict[int, int]
    settings: Mapping[str, str] = field(default_factory=dict)
    config_file: str | None = None
    data_directory: str | None = None

    @property
    def configuration_elsewhere(self) -> str | None:
        """Its configuration file, if that is not in the data directory: then no copy brings it."""
        file, data = self.config_file, self.data_directory
        return file if file and data and not file.startswith(data.rstrip("/") + "/") else None


@dataclass(frozen=True)
class HostPlace:
    """A path that the standby will use. ``role`` names it as the options do: ``data_directory``, ``waldir``, ...

    Where nothing is at ``path`` yet, the other fields speak of ``existing``, the nearest directory above it.
    ``selinux_type`` is None if files carry no label.
    """

    role: str
    path: str
    existing: str
    user: str
    owner: str
    ours: bool
    mode: int
    writable: bool
    read_only: bool = False
    selinux_type: str | None = None

    @property
    def exists(self) -> bool:
        """Whether there is something at the path itself."""
        return self.path == self.existing


def libraries_of(setting: str) -> tuple[str, ...]:
    """The names in shared_preload_libraries: a list by commas, in which double quotes keep commas and spaces."""
    found = []
    for match in _LIBRARY.finditer(setting):
        quoted, bare = match.groups()
        name = bare.strip() if quoted is None else quoted.replace('""', '"')
        if name:
            found.append(name)
    return tuple(found)


def library_name(library: str) -> str:
    """The name by which a library is the same one on two hosts, wherever it is installed."""
    base = posixpath.basename(library)
    return base[: -len(".so")] if base.endswith(".so") else base


def machine_of(version: str) -> str | None:
    """The machine in what ``version()`` returns: ``... on x86_64-pc-linux-gnu, compiled by ...``."""
    match = re.search(r" on ([^-,\s]+)-[^,]*,", version)
    return match.group(1) if match else None


def sorts_by_bytes(locale: str) -> bool:
    """Whether a libc locale compares bytes, so that no version of libc matters to it."""
    name = locale.upper()
    return name in ("C", "POSIX") or name.startswith("C.")
