# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a unit is enabled as it is wanted, as any user may know it. Private to the collection."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._server.unit import Unit, debian_directory

__all__ = ["decided_by_packaging", "is_as_wanted", "state_in_files"]

_SECONDS = 60


def decided_by_packaging(service: str) -> bool:
    """Whether Debian's packaging decides what starts at boot, by the cluster's start.conf (pg_createcluster(1))."""
    directory = debian_directory(service)
    return directory is not None and os.path.exists(os.path.join(directory, "start.conf"))


def state_in_files(service: str) -> str | None:
    """The word of ``systemctl is-enabled`` for the unit, by its files alone; None if that cannot be known.

    systemd answers others than root over the bus, and a host may have none: then systemctl looks at the files itself
    (systemctl(1), --root). Raises StandbyError if systemctl does not end.
    """
    return _said(["systemctl", "--root=/", "is-enabled", "--", service])


def _said(argv: Sequence[str]) -> str | None:
    return LocalShell().run(argv, _SECONDS).out.strip() or None


def is_as_wanted(service: str, enabled: bool) -> bool | None:
    """Whether the unit is enabled or not, as it is wanted, or cannot be either; None if that cannot be known.

    Raises StandbyError if systemctl does not end.
    """
    over_the_bus = _said(["systemctl", "show", "--property=UnitFileState", "--value", "--", service])
    state = over_the_bus or state_in_files(service)
    return Unit(service, file_state=state).is_as_wanted(enabled) if state is not None else None
