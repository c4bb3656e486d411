# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection knows about backups, directories and servers, as plain data.

Sizes are bytes, LSNs are integers (byte positions in the WAL), times are strings as the
source printed them, timestamps are seconds since 1970. Private to the collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = [
    "HOT_STANDBY_SETTINGS",
    "LANDMARKS",
    "MANIFEST",
    "MANIFEST_SINCE",
    "MARK",
    "Backup",
    "BarmanServer",
    "CheckItem",
    "ControlData",
    "DataDir",
    "Instance",
    "Receiver",
    "Tablespace",
    "Upstream",
    "as_dict",
    "backup_from",
]

# A standby refuses to start while one of these is below the primary's value
# (PostgreSQL manual, 27.4.3 "Administrator's Overview" of hot standby).
HOT_STANDBY_SETTINGS = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)

# The files without which a directory is no backup of a cluster, by their paths in its data directory.
LANDMARKS = ("PG_VERSION", "global/pg_control", "backup_label")

# What pg_basebackup writes beside them, and since which major version of PostgreSQL (release notes of 13).
MANIFEST, MANIFEST_SINCE = "backup_manifest", 13

# The file that marks the directories of an unfinished copy: `_pgdata/marks`.
MARK = ".pgfleet.mark"


def as_dict(value: Any) -> dict[str, Any]:
    """A dataclass as the plain dictionary that module results are made of."""
    return asdict(value)


def _major_of(version: str | None) -> int | None:
    """The major version in the content of PG_VERSION, or None where there is none in it."""
    head = (version or "").partition(".")[0]
    return int(head) if head.isdigit() else None


@dataclass(frozen=True)
class Tablespace:
    """A tablespace of the primary: ``location`` is its path there."""

    name: str
    oid: int
    location: str


@dataclass(frozen=True)
class CheckItem:
    """One line of ``barman check``. ``blocking`` items stop a clone, the others warn."""

    name: str
    ok: bool
    hint: str
    blocking: bool


@dataclass(frozen=True)
class BarmanServer:
    """What ``barman show-server`` says of a server; never its conninfo, which may hold a password."""

    name: str
    active: bool
    backup_method: str
    backup_directory: str
    basebackups_directory: str
    passive: bool
    postgres_version: str | None
    system_identifier: str | None
    primary_data_directory: str | None
    primary_config_file: str | None
    primary_hba_file: str | None
    primary_ident_file: str | None


@dataclass(frozen=True)
class Backup:
    """One base backup of Barman's catalogue.

    ``mode`` is Barman's own word (``rsync-concurrent``, ``postgres``, ...), ``type`` one of
    ``rsync``, ``full``, ``incremental``, ``snapshot``. ``directory`` is its place on the Barman
    host: ``data/`` and one directory per tablespace oid below it. ``end_timestamp`` is ``end_time`` in whole seconds
    since 1970, or None where Barman did not tell which moment that is. ``root_backup_id`` is the full backup on which
    an incremental one rests.
    """

    backup_id: str
    status: str
    server: str
    type: str | None = None
    mode: str | None = None
    name: str | None = None
    compression: str | None = None
    encryption: str | None = None
    version: int | None = None
    system_identifier: str | None = None
    timeline: int | None = None
    begin_wal: str | None = None
    end_wal: str | None = None
    begin_lsn: str | None = None
    end_lsn: str | None = None
    begin_time: str | None = None
    end_time: str | None = None
    end_timestamp: int | None = None
    size: int | None = None
    data_directory: str | None = None
    tablespaces: tuple[Tablespace, ...] = ()
    error: str | None = None
    directory: str | None = None
    root_backup_id: str | None = None

    @property
    def staged(self) -> bool:
        """Whether only Barman can make a plain copy of a cluster of it, which is then what hosts copy."""
        return self.type == "incremental" or self.encryption is not None

    @property
    def major(self) -> int | None:
        """The PostgreSQL major version: 15 for 150018 (all versions from 10 on)."""
        return None if self.version is None else self.version // 10000


def backup_from(given: Mapping[str, Any]) -> Backup:
    """A backup, back from what ``as_dict`` made of it. Raises KeyError, TypeError or ValueError for anything else."""
    known = {name: given[name] for name in Backup.__dataclass_fields__ if name in given}
    known["tablespaces"] = tuple(
        Tablespace(str(item["name"]), int(item["oid"]), str(item["location"]))
        for item in given.get("tablespaces") or ()
    )
    return Backup(**known)


@dataclass(frozen=True)
class ControlData:
    """The parts of ``pg_control`` that decisions rest on.

    ``state`` is the server's own word, such as ``shut down`` or ``in production``. ``checkpoint_lsn`` is that of the
    latest checkpoint, ``redo_lsn`` where replay begins for it; ``min_recovery_lsn`` is how far a standby has to replay
    before its pages are consistent, on ``min_recovery_timeline`` (``0/0`` and 0 on a primary). ``next_oid`` is the
    next object's number; the first of a user's own is 16384.
    """

    system_identifier: str
    state: str
    timeline: int
    checkpoint_lsn: str
    block_size: int
    wal_segment_size: int
    data_checksums: bool
    settings: dict[str, int] = field(default_factory=dict)
    redo_lsn: str = "0/0"
    min_recovery_lsn: str = "0/0"
    min_recovery_timeline: int = 0
    next_oid: int = 0
    wal_log_hints: bool = False


@dataclass(frozen=True)
class DataDir:
    """A data directory as it is on disk.

    ``state``: ``absent``, ``empty`` (also with only what a file system puts there, or an empty pg_wal), ``incomplete``
    (a clone of ours that has not been committed), ``pristine`` (a cluster that initdb made and nobody has used),
    ``standby``, ``cluster`` (one that is neither), ``foreign`` (anything else; with a ``version`` it is a damaged
    cluster).
    ``pid`` is the server that runs on it. Its ``port``, ``socket_directory`` and ``listen_address`` are how it can be
    asked from this host, ``status`` is what its postmaster.pid says. Without a server ``doubt`` says why it is not
    certain that none runs, as a clause; None if it is certain.
    """

    path: str
    state: str
    version: str | None = None
    control: ControlData | None = None
    pid: int | None = None
    port: int | None = None
    socket_directory: str | None = None
    signals: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    clone: dict[str, Any] | None = None
    listen_address: str | None = None
    status: str | None = None
    doubt: str | None = None

    @property
    def major(self) -> int | None:
        """The major version, or None where PG_VERSION is missing or makes no sense."""
        return _major_of(self.version)

    @property
    def running(self) -> bool:
        """Whether a postmaster runs on the directory."""
        return self.pid is not None

    def kind(self, system_identifier: str | None) -> str:
        """Its state seen from the cluster with that identifier; the state alone where either is not known.

        ``standby``, ``former_primary`` and ``primary`` (it runs) are of that cluster, ``other_standby``,
        ``other_cluster`` and ``other_primary`` are not.
        """
        if self.state not in ("standby", "cluster", "pristine") or system_identifier is None or self.control is None:
            return self.state
        ours = self.control.system_identifier == system_identifier
        if self.state == "pristine" and not ours:
            return self.state
        if self.state == "standby":
            return "standby" if ours else "other_standby"
        stopped = "former_primary" if ours else "other_cluster"
        return ("primary" if ours else "other_primary") if self.running else stopped


@dataclass(frozen=True)
class Upstream:
    """What the upstream says of itself over the replication protocol.

    ``wal_segment_size`` is in bytes, None if it is not known.
    """

    host: str
    port: str
    system_identifier: str
    timeline: int
    lsn: int
    version: int
    settings: dict[str, int]
    history: tuple[tuple[int, int], ...] = ()
    wal_segment_size: int | None = None


@dataclass(frozen=True)
class Receiver:
    """The row of ``pg_stat_wal_receiver``."""

    status: str
    sender_host: str | None
    sender_port: int | None
    slot_name: str | None
    timeline: int | None


@dataclass(frozen=True)
class Instance:
    """A running server, asked by SQL.

    ``delayed``: it replays later than it receives, by recovery_min_apply_delay. ``paused``: it does not replay at all
    until it is told to.
    """

    version: int
    in_recovery: bool
    system_identifier: str
    timeline: int
    receive_lsn: int | None
    replay_lsn: int | None
    receiver: Receiver | None
    settings: dict[str, int]
    delayed: bool = False
    paused: bool = False
