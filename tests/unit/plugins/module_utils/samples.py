# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Model objects with everything filled in, for tests that are about one field."""

from __future__ import annotations

import struct
from pathlib import Path

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Entry
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.crc32c import crc32c
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pg_control import parse_control_file
from ansible_collections.pgfleet.standby.plugins.module_utils._model import (
    HOT_STANDBY_SETTINGS,
    Backup,
    ControlData,
    DataDir,
    Instance,
    Receiver,
    Tablespace,
    Upstream,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.marks import Marked

FIXTURES = Path(__file__).parent / "fixtures"
BARMAN_VERSIONS = sorted(path.name for path in (FIXTURES / "barman").iterdir())
SYSTEM_IDENTIFIER = "7710593896377129854"
# Those whose JSON lacks what backup.info has; recorded from Debian's packages, with a backup by rsync alone.
OLD_BARMAN_VERSIONS = sorted(path.name for path in (FIXTURES / "barman_old").iterdir())
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
# What a finished copy of that backup leaves, and what pg_rewind leaves when it is interrupted.
RECORD = {
    "phase": "committed",
    "backup_id": BACKUP_ID,
    "server": "pg",
    "data_directory": "/srv/pg",
    "system_identifier": SYSTEM_IDENTIFIER,
}
REWINDING = {**RECORD, "phase": "rewinding"}


def noted(*places: Path | str) -> dict:
    """What a record notes of directories that hold no mark, as those of a rewind."""
    return Marked.of(None, {str(place): str(place) for place in places}).noted


SETTINGS = dict(zip(HOT_STANDBY_SETTINGS, (100, 8, 10, 0, 64), strict=True))
# Where pg_control of PostgreSQL 13 to 16 has it, and how.
_IN_CONTROL = {
    "system_identifier": (0, "<Q"),
    "state": (16, "<I"),
    "checkpoint_lsn": (32, "<Q"),
    "redo_lsn": (40, "<Q"),
    "timeline": (48, "<I"),
    "next_oid": (72, "<I"),
    "wal_log_hints": (176, "<?"),
    **{name: (180 + 4 * number, "<I") for number, name in enumerate(HOT_STANDBY_SETTINGS)},  # in the same order
    "data_checksums": (252, "<I"),
}
_CONTROL_CRC = 288
STARTING_UP, SHUT_DOWN, SHUT_DOWN_IN_RECOVERY = 0, 1, 2
IN_CRASH_RECOVERY, IN_ARCHIVE_RECOVERY, IN_PRODUCTION = 4, 5, 6


def recorded_control(major: int) -> bytes:
    """The pg_control of a server that was shut down; what follows the structure is not recorded."""
    text = (FIXTURES / "postgresql" / f"pg_control-{major}.hex").read_text(encoding="utf-8")
    return bytes.fromhex(text).ljust(8192, b"\0")


def control_text(**changed: int) -> str:
    """A pg_control of a new cluster with other fields, for write_tree: what is no UTF-8 is escaped."""
    fields = {
        "system_identifier": int(SYSTEM_IDENTIFIER),
        "state": SHUT_DOWN,
        "checkpoint_lsn": 0x17414C8,
        "redo_lsn": 0x17414C8,
        "next_oid": 13572,
        "wal_log_hints": False,
        "data_checksums": True,
        **SETTINGS,
        **changed,
    }
    content = bytearray(recorded_control(15))
    for name, value in fields.items():
        place, kind = _IN_CONTROL[name]
        struct.pack_into(kind, content, place, value)
    struct.pack_into("<I", content, _CONTROL_CRC, crc32c(bytes(content[:_CONTROL_CRC])))
    return content.decode("utf-8", "surrogateescape")


CONTROL_TEXT = control_text()
CONTROL = parse_control_file(CONTROL_TEXT.encode("utf-8", "surrogateescape"))


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


def write_segments(pgdata: Path, *numbers: int) -> None:
    """Segments of 16 MiB in pg_wal, by their numbers on timeline 1, as far as the header of their first page."""
    (pgdata / "pg_wal").mkdir(exist_ok=True)
    for number in numbers:
        head = struct.pack("=HHIQI4xQII", 0xD110, 2, 1, number << 24, 0, int(SYSTEM_IDENTIFIER), 16 << 20, 8192)
        (pgdata / "pg_wal" / f"{1:08X}{0:08X}{number:08X}").write_bytes(head)


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


def data_directory(state, system_identifier=SYSTEM_IDENTIFIER, record=None, **changed) -> DataDir:
    """A data directory, with a cluster in it unless the state says otherwise."""
    control = ControlData(system_identifier, "shut down", 1, "0/3000060", 8192, 16 << 20, True)
    with_cluster = {"version": "15", "control": control} if state in ("standby", "cluster", "pristine") else {}
    return DataDir("/srv/pg", state, clone=record, **{**with_cluster, **changed})


def file(path: str, size: int = 1, mtime_ns: int = 1_700_000_000_000_000_000) -> Entry:
    """A file of a backup."""
    return Entry("f", size, mtime_ns, path)


def directory(path: str) -> Entry:
    """A directory of a backup."""
    return Entry("d", 4096, 0, path)


HEAP_PAGE = 8192


def heap_page(*numbers, flags=1):
    """A heap page with a row for each number, as PostgreSQL lays it out."""
    rows = b""
    pointers = []
    for number in numbers:
        row = bytes(22) + bytes([24, 0]) + struct.pack("=I", number) + bytes(4)
        rows = row + rows
        pointers.append((HEAP_PAGE - len(rows)) | flags << 15 | len(row) << 17)
    lower, upper = 24 + 4 * len(pointers), HEAP_PAGE - len(rows)
    header = bytes(12) + struct.pack("=HHHH", lower, upper, HEAP_PAGE, HEAP_PAGE | 4) + bytes(4)
    return header + struct.pack(f"={len(pointers)}I", *pointers) + bytes(upper - lower) + rows
