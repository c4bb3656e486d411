# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From healthy to fresh: the smallest change that makes a host the standby that is wanted. Pure.

The rungs: nothing, settings, start, rewind, delta, clone. What costs the host something that it has needs the
consent that ``overwrite`` gives; every refusal names the level that would do. Private to the collection.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._clone.consent import allows

__all__ = ["COPYING", "Decision", "HostState", "decide"]

# The actions that bring files from the backup.
COPYING = ("clone", "resume", "delta", "replace")


@dataclass(frozen=True)
class HostState:
    """What a host has, and what is known of it.

    ``state`` is that of the data directory. ``same_cluster``: whether it has the system identifier that is wanted; None
    where it has none. ``ours``: a finished copy of ours made it. ``primary``: the server that runs there is one.
    ``unused``: the server itself says that nobody has used it. ``relation`` of its history to the upstream's:
    ``behind``, ``diverged``, ``ahead`` or ``unknown``. ``wal_missing``: the WAL from its position on is to be had
    nowhere. ``no_rewind``: why pg_rewind cannot help, None when it can.
    """

    state: str
    running: bool = False
    primary: bool = False
    same_cluster: bool | None = None
    ours: bool = False
    healthy: bool = False
    unused: bool = False
    postgresql: bool = True
    relation: str = "unknown"
    wal_missing: bool = False
    no_rewind: str | None = "it was not asked"


@dataclass(frozen=True)
class Decision:
    """What is to be done and why.

    ``action``: ``none``, ``settings`` (of a running standby), ``start`` (of a stopped one, with its settings),
    ``rewind``, ``delta``, ``replace``, ``resume``, ``clone``, or ``refuse``, then with ``error_code``.
    ``stop``: a server that runs there has to be stopped before.
    """

    action: str
    reason: str
    stop: bool = False
    error_code: str | None = None


def decide(now: HostState, overwrite: str) -> Decision:
    """The lowest rung that leads to a healthy standby, or a refusal."""
    if now.healthy:
        return Decision("none", "it is a standby that streams from the wanted upstream")
    if now.state in ("absent", "empty"):
        return Decision("clone", f"the data directory is {now.state}")
    if now.state == "incomplete":
        return Decision("resume", "an unfinished copy is there")
    if now.state == "pristine":
        return _pristine(now, overwrite)
    if now.state == "foreign":
        return _foreign(now, overwrite)
    if not now.same_cluster:
        return _other_cluster(now, overwrite)
    if now.running and now.primary:
        return Decision(
            "refuse",
            "a primary of this very cluster runs there, perhaps the upstream itself; no overwrite replaces a running"
            " primary. Next: correct the inventory, or stop the server if it is the one that has failed",
            error_code="primary_running",
        )
    return _same_cluster(now, overwrite)


def _pristine(now: HostState, overwrite: str) -> Decision:
    if now.running and not now.unused:
        return Decision(
            "refuse",
            "it looks like a new cluster, but a server runs there that is in use."
            " Next: stop it and remove the cluster yourself, if it may go",
            error_code="server_running",
        )
    if allows(overwrite, "pristine"):
        return Decision("replace", "a new cluster that nobody has used is there", stop=now.running)
    return _needs("pristine", "a new cluster that nobody has used is there", "to replace it", "data_directory_pristine")


def _foreign(now: HostState, overwrite: str) -> Decision:
    if not now.postgresql:
        return Decision(
            "refuse",
            "what is there is not PostgreSQL's, and no overwrite removes that."
            " Next: choose an empty data_directory, or remove what is there yourself",
            error_code="data_directory_foreign",
        )
    if allows(overwrite, "always"):
        return Decision("replace", "a damaged cluster is there")
    return _needs("always", "a damaged cluster is there", "to replace it", "data_directory_damaged")


def _other_cluster(now: HostState, overwrite: str) -> Decision:
    if now.running:
        return Decision(
            "refuse",
            "a server of another cluster runs there, and a running server is never replaced."
            " Next: stop it, if it may go, or correct data_directory",
            error_code="server_running",
        )
    if allows(overwrite, "always"):
        return Decision("replace", "another cluster is there")
    return _needs("always", "another cluster is there", "to replace it", "data_directory_cluster")


def _same_cluster(now: HostState, overwrite: str) -> Decision:
    """A standby, running or not, or a former primary, of the cluster that is wanted."""
    standby = now.state == "standby"
    what = "a standby of this cluster" if standby else "a former primary of this cluster"
    consent = allows(overwrite, "same_cluster")
    if now.relation == "behind" and not now.wal_missing:
        if not consent and not (standby and now.ours):
            made = "that this collection did not make " if standby else ""
            return _needs("same_cluster", f"{what} {made}is there", "to take it over as it is", "cluster_not_ours")
        if now.running:
            return Decision("settings", f"{what} runs there and can go on; only its settings are wrong")
        return Decision("start", f"{what} is there and can go on where it stopped")
    stuck = _cannot_go_on(now, what)
    if not consent:
        purpose = "to bring it to the backup's state, or the upstream's"
        return _needs("same_cluster", stuck.reason, purpose, str(stuck.error_code))
    if now.relation == "diverged" and not now.running and now.no_rewind is None:
        return Decision("rewind", stuck.reason)
    why = f"; no pg_rewind: {now.no_rewind}" if now.relation == "diverged" and now.no_rewind else ""
    return Decision("delta", stuck.reason + why, stop=now.running)


def _cannot_go_on(now: HostState, what: str) -> Decision:
    reasons = {
        "diverged": f"{what} is there whose history has left the upstream's",
        "ahead": f"{what} is there that is ahead of the upstream",
        "unknown": f"{what} is there of which it is not known where it stopped",
    }
    if now.relation in reasons:
        return Decision("refuse", reasons[now.relation], error_code="cluster_diverged")
    gone = f"{what} is there, and the WAL that it needs next is gone everywhere"
    return Decision("refuse", gone, error_code="wal_missing")


def _needs(level: str, found: str, purpose: str, code: str) -> Decision:
    return Decision("refuse", f"{found}. Next: allow overwrite={level} {purpose}", error_code=code)
