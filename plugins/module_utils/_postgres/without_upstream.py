# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby whose upstream is not asked because it is down: what is not checked. Pure. Private to the collection."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Instance
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem, warning

__all__ = ["NOT_CHECKED", "not_checked", "reasons", "state", "wal_source"]

# Every check of a preflight that only the upstream can answer.
NOT_CHECKED = (
    "that the upstream has the backup's system identifier and version",
    "that its timeline and history hold the backup",
    "that it has the WAL that follows Barman's",
    "its slot, its WAL senders and the application_name",
    "that its settings of today are not above the backup's",
    "its locales, collations, libraries, architecture and clock",
)


def not_checked() -> Verdict:
    """One warning for all of them."""
    return warning(
        "upstream",
        Refusal(
            "upstream_not_asked",
            f"The upstream was not asked, as upstream_connection=none wants it. Not proven: {'; '.join(NOT_CHECKED)}.",
            "run again with upstream_connection=required when it is back",
        ),
    )


def wal_source(restore_command: str | None) -> list[Verdict]:
    """Without the upstream all WAL of the backup has to come from the archive."""
    if restore_command:
        return []
    return [
        problem(
            "wal",
            Refusal(
                "wal_unproven",
                "Neither the upstream nor restore_command brings the WAL without which the backup is not consistent.",
                "give restore_command, or wait for the upstream and use upstream_connection=required",
            ),
        )
    ]


def reasons(instance: Instance) -> list[str]:
    """Every reason why a standby is not as far as it can come without its upstream; empty when it is."""
    if not instance.in_recovery:
        return ["it is not in recovery: it runs as a primary"]
    return [] if instance.replay_lsn is not None else ["it has replayed nothing yet"]


def state(instance: Instance | None, ready: bool) -> str:
    """What a standby says that it does: ``streaming``, ``waiting_for_upstream`` or ``not_ready``."""
    if instance is None or not ready:
        return "not_ready"
    receives = instance.receiver is not None and instance.receiver.status == "streaming"
    return "streaming" if receives else "waiting_for_upstream"
