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
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal

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
    ``rewind``, ``delta``, ``replace``, ``resume``, ``clone``, or ``refuse``, then with a ``refusal``.
    ``stop``: a server that runs there has to be stopped before.
    """

    action: str
    reason: str
    stop: bool = False
    refusal: Refusal | None = None

    @property
    def error_code(self) -> str | None:
        """The refusal's stable name."""
        return self.refusal.code if self.refusal is not None else None


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
        return _refuse(
            Refusal(
                "primary_running",
                "a primary of this very cluster runs there, perhaps the upstream itself; no overwrite replaces a"
                " running"
                " primary.",
                "correct the inventory, or stop the server if it is the one that has failed",
            )
        )
    return _same_cluster(now, overwrite)


def _refuse(refusal: Refusal) -> Decision:
    return Decision("refuse", refusal.msg.rstrip("."), refusal=refusal)


def _pristine(now: HostState, overwrite: str) -> Decision:
    if now.running and not now.unused:
        return _refuse(
            Refusal(
                "server_running",
                "it looks like a new cluster, but a server runs there that is in use.",
                "stop it and remove the cluster yourself, if it may go",
            )
        )
    what = "a new cluster that nobody has used is there"
    if allows(overwrite, "pristine"):
        return Decision("replace", what, stop=now.running)
    return _refuse(Refusal("data_directory_pristine", f"{what}.", "allow overwrite=pristine to replace it"))


def _foreign(now: HostState, overwrite: str) -> Decision:
    if not now.postgresql:
        return _refuse(
            Refusal(
                "data_directory_foreign",
                "what is there is not PostgreSQL's, and no overwrite removes that.",
                "choose an empty data_directory, or remove what is there yourself",
            )
        )
    what = "a damaged cluster is there"
    if allows(overwrite, "always"):
        return Decision("replace", what)
    return _refuse(Refusal("data_directory_damaged", f"{what}.", "allow overwrite=always to replace it"))


def _other_cluster(now: HostState, overwrite: str) -> Decision:
    if now.running:
        return _refuse(
            Refusal(
                "server_running",
                "a server of another cluster runs there, and a running server is never replaced.",
                "stop it, if it may go, or correct data_directory",
            )
        )
    what = "another cluster is there"
    if allows(overwrite, "always"):
        return Decision("replace", what)
    return _refuse(Refusal("data_directory_cluster", f"{what}.", "allow overwrite=always to replace it"))


def _same_cluster(now: HostState, overwrite: str) -> Decision:
    """A standby, running or not, or a former primary, of the cluster that is wanted."""
    standby = now.state == "standby"
    what = "a standby of this cluster" if standby else "a former primary of this cluster"
    consent = allows(overwrite, "same_cluster")
    if now.relation == "behind" and not now.wal_missing:
        if not consent and not (standby and now.ours):
            made = "that this collection did not make " if standby else ""
            step = "allow overwrite=same_cluster to take it over as it is"
            return _refuse(Refusal("cluster_not_ours", f"{what} {made}is there.", step))
        if now.running:
            return Decision("settings", f"{what} runs there and can go on; only its settings are wrong")
        return Decision("start", f"{what} is there and can go on where it stopped")
    stuck = _stuck(now, what)
    if not consent:
        return _refuse(stuck)
    reason = stuck.found.rstrip(".")
    if now.relation == "diverged" and not now.running and now.no_rewind is None:
        return Decision("rewind", reason)
    why = f"; no pg_rewind: {now.no_rewind}" if now.relation == "diverged" and now.no_rewind else ""
    return Decision("delta", reason + why, stop=now.running)


def _stuck(now: HostState, what: str) -> Refusal:
    """Why a cluster cannot go on by itself."""
    step = "allow overwrite=same_cluster to bring it to the backup's state, or the upstream's"
    reasons = {
        "diverged": f"{what} is there whose history has left the upstream's.",
        "ahead": f"{what} is there that is ahead of the upstream.",
        "unknown": f"{what} is there of which it is not known where it stopped.",
    }
    if now.relation in reasons:
        return Refusal("cluster_diverged", reasons[now.relation], step)
    return Refusal("wal_missing", f"{what} is there, and the WAL that it needs next is gone everywhere.", step)
