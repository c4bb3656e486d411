# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdicts on a backup: its age, its version, its cluster, its timeline. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn, parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, CheckItem, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._times import spoken
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem

__all__ = ["backup", "barman", "staged", "upstream", "version"]


def barman(checks: Iterable[CheckItem]) -> list[Verdict]:
    """The failed lines of ``barman check``: errors if they stop a clone, else warnings (the primary is down)."""
    failed = [item for item in checks if not item.ok]
    found = []
    for item in failed:
        hint = f" ({item.hint})" if item.hint else ""
        if item.blocking:
            failure = f"`barman check` fails at {item.name}{hint}."
            found.append(problem("barman", Refusal("barman_check_failed", failure, "mend that on the Barman host")))
        else:
            found.append(Verdict("barman", "warning", f"`barman check` fails at {item.name}{hint}; a clone goes on."))
    return found or [Verdict("barman", "ok", "`barman check` finds nothing wrong")]


def backup(chosen: Backup, now: int) -> list[Verdict]:
    """What the backup is and how old, for a person who reads the plan. ``now`` is seconds since 1970."""
    size = f", {chosen.size} bytes" if chosen.size is not None else ""
    what = f"backup {chosen.backup_id} of {chosen.server} is {chosen.status}, of type {chosen.type}{size}"
    age = "" if chosen.end_timestamp is None else f", {spoken(max(0, now - chosen.end_timestamp))} ago"
    return [Verdict("backup", "ok", f"{what}, taken at {chosen.end_time}{age}")]


def staged(chosen: Backup) -> list[Verdict]:
    """That Barman has to restore a backup of this kind before it can be copied."""
    kind = "encrypted" if chosen.encryption else "incremental"
    how = "is restored on the Barman host first, and what it holds is checked then"
    return [Verdict("staging", "ok", f"backup {chosen.backup_id} is {kind}: it {how}")]


def version(backup: Backup, server_version: str) -> list[Verdict]:
    """Whether the programs here are of the backup's major version; ``server_version`` is ``postgres --version``."""
    word = next((part for part in server_version.split() if part[0].isdigit()), "")
    major = "".join(takewhile(str.isdigit, word))
    if major == str(backup.major):
        return [Verdict("version", "ok", f"PostgreSQL {word} here, {backup.major} in the backup")]
    return [
        problem(
            "version",
            Refusal(
                "version_differs",
                f"The server programs here are PostgreSQL {word}, backup {backup.backup_id} is of {backup.major}.",
                f"install PostgreSQL {backup.major}, or name its directory in pg_bindir",
            ),
        )
    ]


def upstream(backup: Backup, server: Upstream) -> list[Verdict]:
    """Whether a standby made from the backup can follow this upstream."""
    if backup.system_identifier not in (None, server.system_identifier):
        return [
            problem(
                "upstream",
                Refusal(
                    "system_identifier_differs",
                    f"The upstream {server.host} has system identifier {server.system_identifier},"
                    f" backup {backup.backup_id} of {backup.server} has {backup.system_identifier}:"
                    " they are different clusters.",
                    "correct upstream_conninfo or barman_server",
                ),
            )
        ]
    if backup.major != server.version // 10000:
        return [
            problem(
                "upstream",
                Refusal(
                    "upstream_version_differs",
                    f"The upstream {server.host} runs PostgreSQL {server.version // 10000}, backup {backup.backup_id}"
                    " is of"
                    f" {backup.major}.",
                    "choose a backup that was taken after the upgrade",
                ),
            )
        ]
    return [_timeline(backup, server)]


def _behind(backup: Backup, server: Upstream) -> Verdict:
    """A sender refuses a position beyond its own end (PostgreSQL 15, walsender.c, StartReplication)."""
    return problem(
        "timeline",
        Refusal(
            "upstream_behind_backup",
            f"Backup {backup.backup_id} ends at {backup.end_lsn}, and the upstream {server.host} has come to"
            f" {format_lsn(server.lsn)} only, on the same timeline {server.timeline}: it lags, or it has lost what the"
            " backup has.",
            "wait, if it is a standby that catches up; otherwise follow the server that was backed up",
        ),
    )


def _timeline(backup: Backup, server: Upstream) -> Verdict:
    if backup.timeline in (None, server.timeline):
        if backup.end_lsn and server.lsn < parse_lsn(backup.end_lsn):
            return _behind(backup, server)
        return Verdict("timeline", "ok", f"backup and upstream are on timeline {server.timeline}")
    left = dict(server.history).get(int(backup.timeline or 0))
    if left is not None and backup.end_lsn and left >= parse_lsn(backup.end_lsn):
        return Verdict(
            "timeline",
            "ok",
            f"the upstream left the backup's timeline {backup.timeline} at {format_lsn(left)}, after the backup",
        )
    return problem(
        "timeline",
        Refusal(
            "timeline_not_ancestor",
            f"Backup {backup.backup_id} ends at {backup.end_lsn} on timeline {backup.timeline}, which is no ancestor"
            " of the"
            f" upstream's timeline {server.timeline} there.",
            "choose a backup taken from the upstream's own history",
        ),
    )
