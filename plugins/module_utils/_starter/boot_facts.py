# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reboot will do to the server of a unit, as any user may know it. Private to the collection."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._server.boot import state_in_files
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.reboot import (
    UNKNOWN,
    AfterReboot,
    after_reboot,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit_facts import UMBRELLA, look

__all__ = ["reboot_of"]


def reboot_of(service: str) -> AfterReboot:
    """Whether a reboot starts the unit, and what decides it.

    Where systemd answers only root, its files tell as much as this question needs.
    """
    try:
        seen = look(service, {})
        if seen is None:
            states = {name: state_in_files(name) for name in (service, UMBRELLA)}
            if states[service] is None:
                return UNKNOWN
            seen = look(service, {name: _loaded(state) for name, state in states.items()})
    except StandbyError:
        return UNKNOWN
    return after_reboot(seen) if seen is not None else UNKNOWN


def _loaded(state: str | None) -> dict[str, str]:
    """The properties of a unit that is known by its file alone, or of one that has none."""
    return {"LoadState": "loaded" if state else "not-found", "UnitFileState": state or ""}
