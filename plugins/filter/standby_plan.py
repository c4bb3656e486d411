# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_plan
short_description: Show the plan of a preflight for reading
version_added: 0.1.0
author:
  - The pgfleet maintainers (@pgfleet)
description:
  - Turns the plan of M(pgfleet.standby.standby_preflight) into lines that say what would be done, why, how many bytes
    it takes, about how long, and what would be removed.
options:
  _input:
    description: RV(pgfleet.standby.standby_preflight#module:plan).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ preflight.plan | pgfleet.standby.standby_plan }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
  sample:
    - "clone: the data directory is empty"
    - "copy 414.6 MB of backup 20261121T114827 of pg (414.6 MB in 1586 files), about 1 s at 380.0 MB/s (an estimate)"
    - "tablespace fast: 19.0 MB to /srv/tablespaces/fast"
    - "replay 128.0 MB of WAL, then follow primary:5432 on timeline 1"
    - "free afterwards on /var/lib/postgresql/15: 74.5 GB"
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.filter.standby_report import human

_COPYING = ("clone", "resume", "delta", "replace")


def standby_plan(plan: Mapping[str, Any]) -> list[str]:
    """The plan in a few lines, the action with its reason first."""
    return list(_lines(plan))


def _lines(plan: Mapping[str, Any]) -> Iterator[str]:
    yield f"{plan['action']}: {plan['reason']}"
    if plan.get("stop"):
        yield "the server that runs there is stopped first"
    if plan["action"] in _COPYING:
        yield from _copy(plan)
    if plan.get("not_checked"):
        yield f"not checked: {'; '.join(plan['not_checked'])}"
    derived = plan.get("upstream_derived")
    if derived:
        left_out = ", ".join(derived["left_out"])
        without = f", without its {left_out}" if left_out else ""
        yield f"the upstream was not given and is taken from {derived['source']}{without}"
    upstream = plan.get("upstream")
    if upstream:
        follow = f"{upstream['host']}:{upstream['port']} on timeline {upstream['timeline']}"
        yield f"replay {human(plan.get('wal_to_replay'))} of WAL, then follow {follow}"
    slot = plan.get("slot")
    if slot and slot["create"]:
        most = slot["max_wal_bytes"]
        limit = f"at most {human(most)} of WAL" if most is not None and most >= 0 else "WAL without a limit"
        yield f"make slot {slot['name']} there, which keeps {limit} for this standby"
    if plan.get("settings"):
        raised = ", ".join(f"{name} to {value}" for name, value in sorted(plan["settings"].items()))
        yield f"raise {raised}, which would be below the primary's"


def _copy(plan: Mapping[str, Any]) -> Iterator[str]:
    if plan.get("staged"):
        yield f"have Barman restore backup {plan['backup_id']} on its host first, once for all standbys"
        yield f"copy {human(plan['bytes_to_copy'])} of it, as much as the cluster had when it was taken"
        for tablespace in plan["tablespaces"]:
            yield f"tablespace {tablespace['name']} to {tablespace['location']}"
        for place in plan.get("kept_old") or ():
            yield f"keep what is there now as {place}"
        return
    rate, seconds = plan.get("bytes_per_second"), float(plan.get("seconds") or 0)
    estimate = f", about {max(1, round(seconds))} s at {human(rate)}/s (an estimate)" if rate else ""
    method = plan.get("method")
    if method == "pg_basebackup":
        yield f"copy {human(plan['bytes'] or None)} of {plan['server']} itself by pg_basebackup"
    else:
        by = f" by {method}" if method not in (None, "rsync") else ""
        yield (
            f"copy {human(plan['bytes_to_copy'])} of backup {plan['backup_id']} of {plan['server']}"
            f" ({human(plan['bytes'])} in {plan['files']} files){by}{estimate}"
        )
    for tablespace in plan["tablespaces"]:
        yield f"tablespace {tablespace['name']}: {human(tablespace['bytes'])} to {tablespace['location']}"
    if plan.get("removed"):
        names = ", ".join(plan["removed_names"]) + (", ..." if plan["removed"] > len(plan["removed_names"]) else "")
        yield f"remove {plan['removed']} entries that the backup does not have: {names}"
    for place in plan.get("kept_old") or ():
        yield f"keep what is there now as {place}"
    for place, size in sorted((plan.get("free_after") or {}).items()):
        yield f"free afterwards on {place}: {human(size)}"


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        return {"standby_plan": standby_plan}
