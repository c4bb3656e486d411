# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a clone is to do, and what it did. Private to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory

__all__ = ["Consent", "Job", "ManifestCheck", "Result", "Target", "TransferOptions"]


@dataclass(frozen=True)
class Target:
    """Where a copy goes. ``tablespaces`` are their directories by oid, ``waldir`` is the WAL's if it is not PGDATA's.

    ``bindir`` has the programs of the backup's major version. ``lock_timeout`` is for how many seconds a copy waits for
    programs of an earlier one that still write there.
    """

    data_directory: str
    state_directory: str
    bindir: str
    tablespaces: dict[int, str]
    waldir: str | None = None
    lock_timeout: float = 3600

    @property
    def other_places(self) -> dict[str, str]:
        """What is written beside the data directory, by its name in messages.

        The state directory's default place is the data directory's neighbour and needs no word of its own.
        """
        places = {f"tablespace {oid}": path for oid, path in self.tablespaces.items()}
        if self.state_directory != default_state_directory(self.data_directory):
            places["state_directory"] = self.state_directory
        if self.waldir is not None:
            places["waldir"] = self.waldir
        return places

    @property
    def places_outside(self) -> list[str]:
        """Where tablespaces go, and the WAL if that is elsewhere."""
        return [*self.tablespaces.values(), *([self.waldir] if self.waldir else [])]


@dataclass(frozen=True)
class Consent:
    """What a copy may overwrite, in the user's words: ``overwrite`` is a level of ``_clone/consent``.

    ``keep_old``: what would be overwritten is renamed aside. ``again``: a finished copy of this very backup is not good
    enough.
    """

    overwrite: str = "never"
    keep_old: bool = False
    again: bool = False


@dataclass(frozen=True)
class TransferOptions:
    """How the files come: ``bwlimit`` is KiB/s of all workers together, ``io_timeout`` is seconds without a byte."""

    jobs: int = 2
    bwlimit: int | None = None
    compress: str = "auto"
    io_timeout: int = 300


@dataclass(frozen=True)
class ManifestCheck:
    """How to compare with the manifest of a backup: ``verify`` is the user's wish, ``bindir`` has pg_verifybackup."""

    backup_id: str
    verify: str
    bindir: str
    threads: int


@dataclass(frozen=True)
class Job:
    """What to copy from where to where, and how.

    ``verify``: ``none``, ``size``, ``manifest`` (if the backup has one) or ``checksum``. ``settings`` go into
    postgresql.auto.conf. ``method`` is what fills the directory: ``rsync``, ``barman`` or ``pg_basebackup``.
    """

    backup: Backup
    barman_host: BarmanHost
    target: Target
    consent: Consent = Consent()
    transfer: TransferOptions = TransferOptions()
    verify: str = "manifest"
    settings: dict[str, str] = field(default_factory=dict)
    method: str = "rsync"

    @property
    def manifest_check(self) -> ManifestCheck:
        """How what has been copied is compared with the backup's manifest: an rsync keeps a processor busy as well."""
        threads = max(1, self.transfer.jobs // 2)
        return ManifestCheck(self.backup.backup_id, self.verify, self.target.bindir, threads)

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this copy from another one into the same directory."""
        return {
            "backup_id": self.backup.backup_id,
            "server": self.backup.server,
            "method": self.method,
            "data_directory": self.target.data_directory,
            "targets": sorted(self.target.places_outside),
        }


@dataclass(frozen=True)
class Result:
    """What a copy did. ``seconds`` are wall-clock.

    ``sent`` are the bytes of the backup's files that had to be sent, ``received`` those on the wire, compressed.
    ``verified`` is ``size``, ``manifest`` or ``checksum``; ``left_behind`` are places outside of the directory that
    the cluster used before and the backup does not know. ``before`` is what the directory was, in words;
    ``kept_old`` is where that is now, if it was kept. ``said`` is what another program warned of meanwhile.
    ``by_size`` are the places of files of which the manifest does not know, so that ``verified`` is no more than
    ``size``. ``durable`` is how the last sync was known to have succeeded: ``syncfs`` or ``fsync``. ``restarts`` is
    how often the process was started again because the one before it was killed.
    """

    action: str
    files: int = 0
    bytes: int = 0
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    retries: int = 0
    compress: str | None = None
    verified: str | None = None
    left_behind: tuple[str, ...] = ()
    before: str = ""
    kept_old: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    durable: str | None = None
    restarts: int = 0
    by_size: tuple[str, ...] = ()
