# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_report
short_description: Show what became of a fleet of standbys as a table
version_added: 0.1.0
author:
  - The pgfleet maintainers (@pgfleet)
description:
  - Turns the records of the role P(pgfleet.standby.standby_from_barman#role) into the lines of a table,
    the hosts that need attention first.
  - Below it there is a line for each server that stays down after a reboot, with what decides it.
options:
  _input:
    description:
      - One record for each host, with C(host), C(action), C(backup_id), C(bytes), C(seconds), C(state),
        C(error_code), C(lag_bytes), and C(after_reboot) as M(pgfleet.standby.standby_server) returns it. C(method) is
        shown with the action unless it is V(rsync). Of a host with several records, the C(data_directory) is shown as
        well. A failure with the C(error_code) V(standby_catching_up) is that of a standby that still catches up.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the report of the play
  ansible.builtin.debug:
    msg: "{{ standby_from_barman_report | pgfleet.standby.standby_report }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
  sample:
    - host  action  backup           bytes     seconds  state      lag  reboot
    - n1    clone   20261121T114827  414.6 MB  4.1      streaming  0 B  starts
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

_COLUMNS = ("host", "action", "backup", "bytes", "seconds", "state", "lag", "reboot")
_GOOD = ("streaming", "waiting_for_upstream", "planned")
_REBOOT = {True: "starts", False: "stays down", None: "-"}


def human(size: Any) -> str:
    """Bytes in the largest unit that leaves a number above one; a dash for what is not known."""
    if size is None:
        return "-"
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"


def standby_report(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """The table: one line for each record, the hosts that need attention first. Below it who a reboot leaves down."""
    records = list(records)
    ordered = sorted(records, key=lambda record: (_is_well(record), str(record.get("host"))))
    times = Counter(record.get("host") for record in records)
    rows = [_COLUMNS, *(_row(record, times[record.get("host")] > 1) for record in ordered)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return lines + [_stays_down(record, times[record.get("host")] > 1) for record in ordered if not _starts(record)]


def _boot(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return record.get("after_reboot") or {}


def _starts(record: Mapping[str, Any]) -> bool:
    """Whether it starts after a reboot, as far as that is known."""
    return _boot(record).get("starts") is not False


def _is_well(record: Mapping[str, Any]) -> bool:
    return record.get("state") in _GOOD and _starts(record)


def _state(record: Mapping[str, Any]) -> str:
    """The state; of a host that failed only because its standby had not caught up in time, that as well."""
    late = record.get("state") == "failed" and record.get("error_code") == "standby_catching_up"
    return "failed (catching up)" if late else str(record.get("state"))


def _name(record: Mapping[str, Any], one_of_several: bool) -> str:
    place = f":{record.get('data_directory') or '-'}" if one_of_several else ""
    return f"{record.get('host')}{place}"


def _stays_down(record: Mapping[str, Any], one_of_several: bool) -> str:
    boot = _boot(record)
    next_step = f" To have it started: {boot['step']}." if boot.get("step") else ""
    return f"{_name(record, one_of_several)} stays down after a reboot: {boot['why']}.{next_step}"


def _row(record: Mapping[str, Any], one_of_several: bool) -> tuple[str, ...]:
    seconds, method = record.get("seconds"), record.get("method")
    by = f" ({method})" if method not in (None, "rsync") else ""
    return (
        _name(record, one_of_several),
        str(record.get("action") or "-") + by,
        str(record.get("backup_id") or "-"),
        human(record.get("bytes")),
        "-" if seconds is None else f"{float(seconds):.1f}",
        _state(record),
        human(record.get("lag_bytes")),
        _REBOOT[_boot(record).get("starts")],
    )


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        return {"standby_report": standby_report}
