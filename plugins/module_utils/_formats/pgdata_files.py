# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small files of a data directory, as text. Pure. Private to the collection."""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import truth
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn

__all__ = [
    "AUTO_CONF",
    "RECOVERY_CONF",
    "BackupLabel",
    "PidFile",
    "needs_signal",
    "parse_backup_label",
    "parse_history",
    "parse_pid_file",
    "standby_mode",
]


class PidFile(NamedTuple):
    """postmaster.pid: its first line, and the third to the sixth and the eighth (PostgreSQL source, utils/pidfile.h).

    ``started`` is when the server was started, in seconds since 1970. ``socket_directory`` and ``listen_address`` are
    where it listens, as it was told: the first may be relative to the data directory, the second is ``*`` for all
    addresses. ``status`` is ``starting``, ``stopping``, ``ready`` or ``standby``, a hot standby is ``ready``
    (PostgreSQL 10 and later). ``standby`` means that hot_standby is off (postmaster.c, process_pm_pmsignal).
    """

    pid: int
    port: int | None = None
    socket_directory: str | None = None
    status: str | None = None
    listen_address: str | None = None
    started: int | None = None

    @property
    def is_up(self) -> bool:
        """Whether its start is over: it takes connections, or is a standby that takes none."""
        return self.status in ("ready", "standby")


class BackupLabel(NamedTuple):
    """backup_label: the position from which replay has to begin (PostgreSQL source, xlogbackup.c; before 15 xlog.c)."""

    begin_lsn: str
    begin_wal: str
    timeline: int | None


def parse_pid_file(text: str) -> PidFile | None:
    """postmaster.pid, or None when it holds no process id yet."""
    lines = text.splitlines()
    try:
        pid = abs(int(lines[0]))
    except (IndexError, ValueError):
        return None
    _pid, _path, started, port, socket_directory, address, _shared_memory, status = (
        line.strip() or None for line in (*lines, *[""] * 8)[:8]
    )
    return PidFile(pid, _number(port), socket_directory, status, address, _number(started))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def parse_backup_label(text: str) -> BackupLabel:
    """backup_label. Raises StandbyError when it names no start of the WAL."""
    start = re.search(r"^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) \(file ([0-9A-F]{24})\)", text, re.MULTILINE)
    if start is None:
        raise StandbyError(
            Refusal(
                "backup_label_invalid",
                "backup_label names no START WAL LOCATION.",
                "choose another backup_id, and look at this one on the Barman host",
            )
        )
    timeline = re.search(r"^START TIMELINE: (\d+)", text, re.MULTILINE)
    return BackupLabel(start.group(1), start.group(2), int(timeline.group(1)) if timeline else None)


def parse_history(text: str) -> tuple[tuple[int, int], ...]:
    """A timeline history file: (timeline, WAL position at which it ended) for every ancestor, the oldest first.

    The positions may go backwards: a lagging standby that was promoted has seen the history of a timeline whose WAL it
    never had. The server looks for a position from the newest timeline on (timeline.c, tliOfPointInHistory), so a
    timeline ends at the least of its own position and all later ones.
    """
    left = [
        (int(match.group(1)), parse_lsn(match.group(2)))
        for match in re.finditer(r"^\s*(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)", text, re.MULTILINE)
    ]
    return tuple((timeline, min(at for _later, at in left[place:])) for place, (timeline, _at) in enumerate(left))


def standby_mode(recovery_conf: str) -> bool:
    """Whether a recovery.conf, the file of PostgreSQL 11 and before, makes the server a standby."""
    values = [setting.value for setting in _conf.read(recovery_conf) if setting.name == "standby_mode"]
    return bool(values) and truth(values[-1]) is True


AUTO_CONF = "postgresql.auto.conf"

# Until PostgreSQL 11 the recovery settings stand in this file, and its presence makes the server a standby or begins an
# archive recovery. From 12 on a server refuses to start while the file is there (release notes of 12, "Migration").
RECOVERY_CONF = "recovery.conf"

_SIGNAL_SINCE = 12


def needs_signal(major: int) -> bool:
    """Whether standby.signal makes a server a standby; before 12 standby_mode in recovery.conf does."""
    return major >= _SIGNAL_SINCE
