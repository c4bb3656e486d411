# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reboot of the host will do to the server that a unit starts. Pure. Private to the collection."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit import (
    RUNTIME,
    DebianCluster,
    Starter,
    StartUnit,
)

__all__ = ["NO_UNIT", "UNKNOWN", "AfterReboot", "after_reboot", "once_enabled"]


@dataclass(frozen=True)
class AfterReboot:
    """``starts`` is None if it is not known. ``why`` is what decides it, ``step`` what would have it started."""

    starts: bool | None
    why: str
    step: str = ""


NO_UNIT = AfterReboot(False, "no unit starts it", "name a unit of systemd in service, which the role enables")

UNKNOWN = AfterReboot(None, "systemd tells only root of the unit")


def after_reboot(seen: Starter) -> AfterReboot:
    """Whether the unit is started again, and what decides it."""
    if seen.cluster is not None:
        return _of_debian(seen.unit, seen.cluster)
    unit = seen.unit
    if unit.load != "loaded":
        return AfterReboot(False, f"systemd does not know a unit {unit.name} that it may start", "correct service")
    enable = f"run systemctl enable {unit.name}"
    if unit.at_boot:
        how = f"wanted by {', '.join(unit.wanted_by)}" if unit.wanted_by else unit.file_state
        return AfterReboot(True, f"the unit {unit.name} is {how}")
    if unit.file_state == RUNTIME:
        return AfterReboot(False, f"the unit {unit.name} is enabled until the next reboot only", enable)
    if not unit.can_be_enabled:
        why = f"no unit wants {unit.name}, and it has no [Install] section"
        return AfterReboot(False, why, "add one (systemctl edit)")
    return AfterReboot(False, f"the unit {unit.name} is {unit.file_state or 'not enabled'}", enable)


def _of_debian(unit: StartUnit, cluster: DebianCluster) -> AfterReboot:
    """The packaging's generator has postgresql.service start the clusters whose start.conf says auto.

    A unit that is enabled by itself is started whatever that says, unless it says disabled: then pg_ctlcluster
    refuses (postgresql-common, pg_ctlcluster and systemd/system-generators/postgresql-generator).
    """
    file = f"{cluster.directory}/start.conf"
    if cluster.start == "disabled":
        return AfterReboot(False, f"{file} says disabled", "write auto there")
    if unit.file_state == "enabled":
        return AfterReboot(True, f"the unit {unit.name} is enabled")
    if cluster.start == "manual":
        return AfterReboot(False, f"{file} says manual", "write auto there")
    if not cluster.umbrella_at_boot:
        why = f"postgresql.service, which starts {unit.name} along, is not enabled"
        return AfterReboot(False, why, "enable that unit")
    return AfterReboot(True, f"{file} says {cluster.start}")


def once_enabled(seen: Starter, enabled: bool) -> Starter:
    """The same after ``systemctl enable``, or ``disable``."""
    return replace(seen, unit=replace(seen.unit, file_state="enabled" if enabled else "disabled"))
