# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small files of a data directory, as text. Pure. Private to the collection."""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils import _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._guc import truth
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData

__all__ = [
    "BackupLabel",
    "PidFile",
    "parse_backup_label",
    "parse_control",
    "parse_history",
    "parse_pid_file",
    "standby_mode",
]

_SETTINGS = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}


class PidFile(NamedTuple):
    """postmaster.pid: its first, fourth and fifth line."""

    pid: int
    port: int | None
    socket_directory: str | None


class BackupLabel(NamedTuple):
    """backup_label: where replay has to begin."""

    begin_lsn: str
    begin_wal: str
    timeline: int | None


def parse_control(text: str) -> ControlData:
    """The output of ``pg_controldata`` in English. Raises StandbyError when a field is missing."""
    fields = {}
    for line in text.splitlines():
        name, _colon, value = line.partition(":")
        fields[name.strip()] = value.strip()
    try:
        return ControlData(
            system_identifier=fields["Database system identifier"],
            state=fields["Database cluster state"],
            timeline=int(fields["Latest checkpoint's TimeLineID"]),
            checkpoint_lsn=fields["Latest checkpoint location"],
            block_size=int(fields["Database block size"]),
            wal_segment_size=int(fields["Bytes per WAL segment"]),
            data_checksums=fields["Data page checksum version"] != "0",
            settings={name: int(fields[label]) for label, name in _SETTINGS.items()},
            redo_lsn=fields["Latest checkpoint's REDO location"],
            min_recovery_lsn=fields["Minimum recovery ending location"],
            min_recovery_timeline=int(fields["Min recovery ending loc's timeline"]),
            next_oid=int(fields["Latest checkpoint's NextOID"]),
            wal_log_hints=fields["wal_log_hints setting"] == "on",
        )
    except (KeyError, ValueError) as missing:
        raise StandbyError(f"pg_controldata printed no {missing}.", "control_data_unreadable") from missing


def parse_pid_file(text: str) -> PidFile | None:
    """postmaster.pid, or None when it holds no process id yet."""
    lines = text.splitlines()
    try:
        pid = abs(int(lines[0]))
    except (IndexError, ValueError):
        return None
    port = int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else None
    return PidFile(pid, port, lines[4] if len(lines) > 4 and lines[4] else None)


def parse_backup_label(text: str) -> BackupLabel:
    """backup_label. Raises StandbyError when it names no start of the WAL."""
    start = re.search(r"^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) \(file ([0-9A-F]{24})\)", text, re.MULTILINE)
    if start is None:
        raise StandbyError("backup_label names no START WAL LOCATION.", "backup_label_invalid")
    timeline = re.search(r"^START TIMELINE: (\d+)", text, re.MULTILINE)
    return BackupLabel(start.group(1), start.group(2), int(timeline.group(1)) if timeline else None)


def parse_history(text: str) -> tuple[tuple[int, str], ...]:
    """A timeline history file: (timeline, LSN at which it was left) for every ancestor."""
    return tuple(
        (int(match.group(1)), match.group(2))
        for match in re.finditer(r"^\s*(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)", text, re.MULTILINE)
    )


def standby_mode(recovery_conf: str) -> bool:
    """Whether a recovery.conf, the file of PostgreSQL 11 and before, makes the server a standby."""
    values = [setting.value for setting in _conf.read(recovery_conf) if setting.name == "standby_mode"]
    return bool(values) and truth(values[-1]) is True
