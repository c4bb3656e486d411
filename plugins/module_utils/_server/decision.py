# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done with the server of one data directory, and whether the unit that is named is its own. Pure.

Private to the collection.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._server.unit import Unit

__all__ = ["STARTABLE", "ObservedServer", "act", "require_own_unit"]

# What a data directory may be if a server is to be started on it.
STARTABLE = ("pristine", "standby", "cluster")


@dataclass(frozen=True)
class ObservedServer:
    """What was seen before anything was done.

    ``state`` is that of the data directory, ``pid`` the process of its server, None if there is none. ``unit`` is None
    if no unit is named. ``own_unit`` is another unit whose main process is that server. ``configured`` is the data
    directory that the unit's own configuration names, by its real path, None if that is not told; ``real`` is the real
    path of the data directory. ``works_in`` is the working directory of the unit's main process.
    """

    data_directory: str
    state: str
    real: str
    pid: int | None = None
    unit: Unit | None = None
    own_unit: str | None = None
    configured: str | None = None
    works_in: str | None = None

    @property
    def by_unit(self) -> bool:
        """Whether the server that runs is the unit's main process."""
        return self.unit is not None and self.pid is not None and self.unit.main_pid == self.pid


def act(wanted: str, seen: ObservedServer) -> str:
    """``none``, ``start``, ``stop``, ``reload`` or ``restart``, for a state as the module's option names it."""
    if wanted == "stopped":
        # Such as a unit that systemd is about to start again.
        waits = seen.unit is not None and seen.unit.active == "activating" and seen.configured == seen.real
        return "stop" if seen.pid is not None or waits else "none"
    if seen.pid is None:
        return "start"
    return {"started": "none", "reloaded": "reload", "restarted": "restart"}[wanted]


def require_own_unit(seen: ObservedServer, action: str) -> None:
    """That the unit is the unit of this directory's server, as far as the action uses it. Raises StandbyError.

    A running server is proven by the unit's main process. If none runs, what the unit's own configuration tells is
    compared, and the proof follows after the start. A server that no unit has started is ended and told by signals.
    """
    unit = seen.unit
    if unit is None:
        return
    if not unit.exists:
        raise StandbyError(
            Refusal(
                "service_unknown",
                f"systemd does not know a unit {unit.name} that it may start: its state is {unit.load}."
                " Nothing was changed.",
                "correct service, or install the package that brings the unit",
            )
        )
    if seen.configured is not None and seen.configured != seen.real:
        raise _other(seen, unit, f"its configuration names the data directory {seen.configured}")
    if seen.by_unit or action in ("none", "reload"):
        return
    if unit.active == "active" and unit.sub == "exited":
        raise _other(seen, unit, "it is active and has no main process, as a unit that only stands for others")
    if unit.main_pid is not None:
        where = f" in {seen.works_in}" if seen.works_in else ""
        raise _other(seen, unit, f"its main process is {unit.main_pid}{where}")
    if seen.pid is not None and seen.own_unit is not None:
        raise _other(seen, unit, f"the server there (pid {seen.pid}) is the main process of {seen.own_unit}")


def _other(seen: ObservedServer, unit: Unit, why: str) -> StandbyError:
    step = f"give service={seen.own_unit}" if seen.own_unit else "name the unit of this data directory in service"
    return StandbyError(
        Refusal(
            "service_other_server",
            f"The unit {unit.name} is not that of the server of {seen.data_directory}: {why}. Nothing was changed.",
            step,
        )
    )
