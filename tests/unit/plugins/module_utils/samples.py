# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Model objects with everything filled in, for tests that are about one field."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.pgfleet.standby.plugins.module_utils._model import (
    HOT_STANDBY_SETTINGS,
    Backup,
    Entry,
    Instance,
    Receiver,
    Tablespace,
    Upstream,
)

FIXTURES = Path(__file__).parent / "fixtures"
BARMAN_VERSIONS = sorted(path.name for path in (FIXTURES / "barman").iterdir())
# Those whose JSON lacks what backup.info has; recorded from Debian's packages, with a backup by rsync alone.
OLD_BARMAN_VERSIONS = sorted(path.name for path in (FIXTURES / "barman_old").iterdir())
CONTROL_TEXT = (FIXTURES / "postgresql" / "pg_controldata-15.txt").read_text(encoding="utf-8")
SYSTEM_IDENTIFIER = "7710593896377129854"  # the one of CONTROL_TEXT
BACKUP_ID = "20261121T114827"
LABEL = (
    "START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\n"
    "CHECKPOINT LOCATION: 0/3000060\n"
    "BACKUP METHOD: streamed\n"
    "BACKUP FROM: primary\n"
    "START TIME: 2026-11-21 11:48:27 UTC\n"
    f"LABEL: Barman backup pg {BACKUP_ID}\n"
    "START TIMELINE: 1\n"
)
SETTINGS = dict(zip(HOT_STANDBY_SETTINGS, (100, 8, 10, 0, 64), strict=True))


def barman(version: str, name: str) -> str:
    """A recorded output of one Barman version."""
    return (FIXTURES / "barman" / version / name).read_text(encoding="utf-8")


def backup(**changed) -> Backup:
    """A plain rsync backup that can be cloned."""
    return Backup(
        **{
            "backup_id": BACKUP_ID,
            "status": "DONE",
            "server": "pg",
            "type": "rsync",
            "mode": "rsync-concurrent",
            "version": 150020,
            "system_identifier": SYSTEM_IDENTIFIER,
            "timeline": 1,
            "begin_lsn": "0/3000028",
            "end_lsn": "0/3000100",
            "tablespaces": (Tablespace("fast", 16388, "/srv/tablespaces/fast"),),
            "directory": f"/var/lib/barman/pg/base/{BACKUP_ID}",
            **changed,
        }
    )


def upstream(**changed) -> Upstream:
    """A primary that the backup was taken from."""
    return Upstream(
        **{
            "host": "primary",
            "port": "5432",
            "system_identifier": SYSTEM_IDENTIFIER,
            "timeline": 1,
            "lsn": 0x5000000,
            "version": 150020,
            "settings": SETTINGS,
            **changed,
        }
    )


def receiver(**changed) -> Receiver:
    """A WAL receiver that streams from that primary."""
    return Receiver(
        **{
            "status": "streaming",
            "sender_host": "primary",
            "sender_port": 5432,
            "slot_name": "n1",
            "timeline": 1,
            **changed,
        }
    )


def instance(**changed) -> Instance:
    """A standby that has replayed all there is."""
    return Instance(
        **{
            "version": 150020,
            "in_recovery": True,
            "system_identifier": SYSTEM_IDENTIFIER,
            "timeline": 1,
            "receive_lsn": 0x5000000,
            "replay_lsn": 0x5000000,
            "receiver": receiver(),
            "settings": SETTINGS,
            **changed,
        }
    )


def file(path: str, size: int = 1, mtime_ns: int = 1_700_000_000_000_000_000) -> Entry:
    """A file of a backup."""
    return Entry("f", size, mtime_ns, path)


def directory(path: str) -> Entry:
    """A directory of a backup."""
    return Entry("d", 4096, 0, path)
