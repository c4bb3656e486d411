# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd tells of a unit. Pure. Private to the collection."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["PROPERTIES", "Unit", "debian_cluster", "debian_directory", "parse_unit", "unit_of_cgroup"]

# What `systemctl show` is asked for (systemd 219 and later, org.freedesktop.systemd1(5)).
PROPERTIES = ("LoadState", "ActiveState", "SubState", "MainPID", "UnitFileState", "Environment", "Job", "Result")

# systemctl(1), is-enabled: the units about which `systemctl enable` and `disable` change nothing. One that is only
# linked, or enabled for the running system ("enabled-runtime"), is started by nothing after a reboot.
_DECIDED = ("static", "alias", "generated", "indirect", "transient")

_CLUSTERS = "/etc/postgresql"

_ASSIGNMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')

_DEBIAN = re.compile(r"postgresql@([0-9.]+)-(.+?)(?:\.service)?")


class Unit(NamedTuple):
    """A unit of systemd. ``load``, ``active``, ``sub``, ``file_state`` and ``result`` are systemd's own words.

    ``main_pid`` is None if the unit has no main process. ``pgdata`` is the value of PGDATA in the unit's environment.
    ``job`` tells whether systemd has yet to do something with the unit.
    """

    name: str
    load: str = "loaded"
    active: str = "inactive"
    sub: str = "dead"
    main_pid: int | None = None
    file_state: str = ""
    pgdata: str | None = None
    job: bool = False
    result: str = "success"

    @property
    def exists(self) -> bool:
        """Whether systemd knows the unit and may start it."""
        return self.load == "loaded"

    @property
    def enabled(self) -> bool:
        """Whether the unit is enabled for every boot."""
        return self.file_state == "enabled"

    @property
    def decided_elsewhere(self) -> bool:
        """Whether it cannot be enabled or disabled: other units start it, or none does."""
        return self.file_state in _DECIDED

    def is_as_wanted(self, enabled: bool) -> bool:
        """Whether there is nothing to enable or to disable."""
        return self.enabled == enabled or self.decided_elsewhere

    @property
    def at_rest(self) -> bool:
        """Whether the unit does not run, and systemd does nothing about that."""
        return self.active in ("inactive", "failed") and not self.job


def parse_unit(name: str, text: str) -> Unit:
    """A unit from what ``systemctl show`` has printed, a line ``NAME=value`` for each property."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    main_pid = values.get("MainPID", "0")
    return Unit(
        name,
        load=values.get("LoadState", "not-found"),
        active=values.get("ActiveState", "inactive"),
        sub=values.get("SubState", "dead"),
        main_pid=int(main_pid) if main_pid.isdigit() and main_pid != "0" else None,
        file_state=values.get("UnitFileState", ""),
        pgdata=_environment(values.get("Environment", "")).get("PGDATA"),
        job=values.get("Job", "") not in ("", "0"),
        result=values.get("Result", "success"),
    )


def _environment(text: str) -> dict[str, str]:
    """``A=1 "B=two words"`` as systemd prints it."""
    found = {}
    for quoted, bare in _ASSIGNMENT.findall(text):
        name, equals, value = (re.sub(r"\\(.)", r"\1", quoted) if quoted else bare).partition("=")
        if equals:
            found[name] = value
    return found


def debian_cluster(service: str) -> tuple[str, str] | None:
    """Version and name of the cluster whose unit Debian's packaging has made: ``postgresql@15-main``."""
    match = _DEBIAN.fullmatch(service)
    return (match.group(1), match.group(2)) if match else None


def debian_directory(service: str) -> str | None:
    """Where the packaging has the configuration of the cluster whose unit this is; None for another unit."""
    cluster = debian_cluster(service)
    return "/".join((_CLUSTERS, *cluster)) if cluster is not None else None


def unit_of_cgroup(text: str) -> str | None:
    """The service that a process belongs to, from its /proc/PID/cgroup; None if that names no service."""
    for line in text.splitlines():
        hierarchy, controllers, path = [*line.split(":", 2), "", ""][:3]
        if (hierarchy == "0" or controllers == "name=systemd") and path.endswith(".service"):
            return path.rpartition("/")[2]
    return None
