# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalogue of backups to choose from."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.selection import WAITING, choose, request_of
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import backup

NOW = 1_795_300_000  # 2026-11-21 22:26:40 UTC
HOUR = 3600
WAITS = {"status": WAITING}
WAITS_SAID = (
    "its status is WAITING_FOR_WALS, not DONE: Barman has not yet archived all WAL that it needs;"
    " with wait=SECONDS it would be waited for"
)


def wanted(backup_id, **options):
    return request_of({"backup_id": backup_id, "before": None, "max_age": None, "wait": 0, **options}, NOW)


def ended(hours_ago, **fields):
    """When it ended, as the list tells it to the second and the backup itself with its zone."""
    return {"end_timestamp": NOW - hours_ago * HOUR, "end_time": f"{hours_ago} h ago", **fields}


class Catalogue:
    """Backups by id, newest first, and the record of which of them were looked at and waited for.

    The list tells little; ``timeless``, as of an old Barman, not even when they ended. ``becomes`` is what a backup is
    after waiting.
    """

    def __init__(self, timeless=False, becomes=None, **details):
        self.details = {name: backup(backup_id=name, **fields) for name, fields in details.items()}
        self.listed = [
            backup(
                backup_id=name,
                status=full.status,
                mode=None,
                name=full.name,
                type=full.type,
                end_time=full.end_time,
                end_timestamp=None if timeless else full.end_timestamp,
            )
            for name, full in self.details.items()
        ]
        self.becomes = becomes or {}
        self.asked = []
        self.waited = []

    def choose(self, backup_id, may_wait=True, **options):
        ready = self.ready if may_wait else None
        return choose(self.listed, wanted(backup_id, **options), "pg", self.detail, ready)

    def chosen(self, backup_id, **options):
        """The id, and those passed over in the order in which they were."""
        chosen, skipped = self.choose(backup_id, **options)
        return chosen.backup_id, [name for name, _reasons in skipped]

    def detail(self, name):
        self.asked.append(name)
        return self.details[name]

    def ready(self, name):
        self.waited.append(name)
        return replace(self.details[name], **self.becomes.get(name, {}))


INCREMENTAL = {"type": "incremental", "mode": "postgres", "name": "nightly"}
