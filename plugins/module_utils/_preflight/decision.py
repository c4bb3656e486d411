# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From healthy to fresh: the smallest change that makes a host the standby that is wanted. Pure.

The rungs: nothing, settings, start, rewind, delta, clone. What costs the host something that it has needs the
consent that ``overwrite`` gives, which ``_clone/consent`` judges. Private to the collection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.pgfleet.standby.plugins.module_utils._clone.consent import (
    Contents,
    admit,
    admit_as_it_is,
    admit_rewind,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal

__all__ = ["COPYING", "UPSTREAM_UNASKED", "Decision", "HostState", "decide"]

# The actions that bring files from the backup.
COPYING = ("clone", "resume", "delta", "replace")

# The code of the refusal that only repeats what the question to the upstream has found.
UPSTREAM_UNASKED = "upstream_unreachable"


@dataclass(frozen=True)
class HostState:
    """What a host has, and what is known of it.

    ``contents`` is what the data directory holds, seen from the backup. ``same_cluster``: whether what is there has the
    upstream's system identifier; None if it has none. ``ours``: a finished copy of ours made it. ``primary``: the
    server that runs there is one. ``unused``: the server itself says that it has not been used. ``relation`` of its
    history to the upstream's: ``behind``, ``diverged``, ``ahead``, ``unknown`` or ``unasked``, if the upstream was to
    be asked and could not be. ``wal_missing``: no place has the WAL from its position on. ``no_rewind``: why pg_rewind
    cannot help, None when it can.

    What is not known is a refusal: ``uncertain`` whether a server runs, ``unasked`` why the one that runs could not be
    asked. None if it is known.
    """

    contents: Contents
    running: bool = False
    primary: bool = False
    same_cluster: bool | None = None
    ours: bool = False
    healthy: bool = False
    unused: bool = False
    relation: str = "unknown"
    wal_missing: bool = False
    no_rewind: str | None = "it was not asked"
    uncertain: Refusal | None = None
    unasked: Refusal | None = None


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
    """The lowest rung that leads to a healthy standby, or a refusal.

    Not to know is a refusal at every level: a server that may run, or that runs and was not asked, is left alone.
    """
    if now.healthy:
        return Decision("none", "it is a standby that streams from the wanted upstream")
    if now.uncertain is not None:
        return _refuse(now.uncertain)
    if now.contents.state in ("standby", "cluster", "pristine") and now.same_cluster:
        return _same_cluster(now, overwrite)
    if now.running and (now.unasked is not None or not now.unused):
        return _refuse(_in_use(now))
    copy = admit(now.contents, overwrite, again=True)
    if copy.refusal is not None:
        return _refuse(copy.refusal)
    return Decision(copy.action, copy.reason, stop=now.running)


def _refuse(refusal: Refusal) -> Decision:
    return Decision("refuse", refusal.msg.rstrip("."), refusal=refusal)


def _in_use(now: HostState) -> Refusal:
    if now.contents.state == "pristine":
        return Refusal(
            "server_running",
            "it looks like a new cluster, but a server runs there that is in use.",
            "stop it and remove the cluster yourself, if it may go",
        )
    return Refusal(
        "server_running",
        "a server runs there that is not one of the wanted cluster, and such a server is never replaced.",
        "stop it, if it may go, or correct data_directory",
    )


def _same_cluster(now: HostState, overwrite: str) -> Decision:
    """A standby, running or not, or a former primary, of the cluster that is wanted."""
    if now.running and now.primary:
        return _refuse(
            Refusal(
                "primary_running",
                "a primary of this very cluster runs there, perhaps the upstream itself; no overwrite replaces a"
                " running primary.",
                "correct the inventory, or stop the server if it is the one that has failed",
            )
        )
    if now.running and now.unasked is not None:
        return _refuse(now.unasked)
    standby = now.contents.state == "standby"
    what = "a standby of this cluster" if standby else "a former primary of this cluster"
    if now.relation == "unasked" or (now.running and now.relation == "unknown"):
        return _refuse(
            Refusal(
                UPSTREAM_UNASKED,
                f"{what} is there, and whether it can go on is not known, because the upstream could not be asked.",
                "make the upstream answer, then run again",
            )
        )
    if now.relation == "behind" and not now.wal_missing:
        going_on = admit_as_it_is(overwrite, standby and now.ours)
        if going_on.refusal is not None:
            return _refuse(going_on.refusal)
        if now.running:
            return Decision("settings", f"{what} runs there and can go on; only its settings are wrong")
        return Decision("start", f"{what} is there and can go on where it stopped")
    # A cluster with the wanted identifier is not new, however it looks.
    contents = replace(now.contents, state="cluster") if now.contents.state == "pristine" else now.contents
    copy = admit(contents, overwrite, again=True)
    can_rewind = now.relation == "diverged" and not now.running and now.no_rewind is None
    admission = admit_rewind(overwrite) if can_rewind else copy
    stuck = _stuck(now, what, admission.level)
    if admission.refusal is not None:
        return _refuse(admission.refusal if can_rewind else stuck)
    reason = stuck.found.rstrip(".")
    if now.relation == "diverged" and now.no_rewind:
        reason += f"; no pg_rewind: {now.no_rewind}"
    return Decision(admission.action, reason, stop=now.running)


def _stuck(now: HostState, what: str, level: str | None) -> Refusal:
    """Why a cluster cannot go on by itself."""
    step = f"allow overwrite={level} to bring it to the backup's state, or the upstream's"
    reasons = {
        "diverged": f"{what} is there whose history has left the upstream's.",
        "ahead": f"{what} is there that is ahead of the upstream.",
        "unknown": f"{what} is there of which it is not known where it stopped.",
    }
    if now.relation in reasons:
        return Refusal("cluster_diverged", reasons[now.relation], step)
    return Refusal("wal_missing", f"{what} is there, and no place has the WAL that it needs next.", step)
