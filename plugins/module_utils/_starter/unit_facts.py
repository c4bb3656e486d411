# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the unit that is to run the standby would start, as systemd and Debian's packaging tell it. Changes nothing.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._server.unit import debian_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.packaging import packaging_file
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit import (
    PROPERTIES,
    DebianCluster,
    Starter,
    StartUnit,
    environment_of,
    parse_start_unit,
    start_unit,
)

__all__ = ["UMBRELLA", "look"]

# There if systemd is the first process of this host (sd_booted(3)).
_BOOTED = "/run/systemd/system"

# What starts Debian's clusters at boot, those whose start.conf says auto.
UMBRELLA = "postgresql.service"

_ASSIGNING = _ENVIRONMENT, _OPTIONS = "environment", "pg_ctl.conf"


def look(service: str, told: Mapping[str, Mapping[str, str]]) -> Starter | None:
    """Ask systemd and read what the packaging has. ``told`` are the properties of units about which root has asked.

    None if systemd lets only root ask: others need D-Bus, which a small host may not have. Raises StandbyError if this
    host does not run systemd.
    """
    unit = _unit(service, told)
    if unit is None:
        return None
    for path in unit.environment_files:
        with contextlib.suppress(OSError):  # one that only root may read
            unit = replace(unit, environment={**unit.environment, **environment_of(read_small(path) or "")})
    directory = unit.directory()
    real = os.path.realpath(directory) if directory is not None else None
    return Starter(unit, real, _cluster(service, told))


def _unit(service: str, told: Mapping[str, Mapping[str, str]]) -> StartUnit | None:
    if told.get(service):
        return start_unit(service, told[service])
    done = LocalShell().run(["systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", service])
    if done.rc != 0 and os.path.isdir(_BOOTED):
        return None
    if done.rc != 0:
        raise StandbyError(
            Refusal(
                "systemd_missing",
                f"This host does not run systemd, which is to start the unit {service}:"
                f" {said_by('systemctl', done.err)}.",
                "leave out service, so that pg_ctl starts the server",
            )
        )
    return parse_start_unit(service, done.out)


def _cluster(service: str, told: Mapping[str, Mapping[str, str]]) -> DebianCluster | None:
    directory = debian_directory(service)
    if directory is None:
        return None
    # Without that file the generator of the packaging takes auto for it.
    start = [line.partition("#")[0].strip() for line in _text(directory, "start.conf").splitlines()]
    umbrella = _unit(UMBRELLA, told)
    read = {name: packaging_file(_text(directory, name)) for name in _ASSIGNING}
    return DebianCluster(
        directory,
        start=next(filter(None, start), "auto"),
        options={name.lower(): value for name, value in read[_OPTIONS].values.items()}.get("pg_ctl_options", ""),
        umbrella_at_boot=umbrella is None or umbrella.at_boot,
        environment=read[_ENVIRONMENT].values,
        mistakes=tuple(f"{directory}/{name}:{file.mistake}" for name, file in read.items() if file.mistake),
    )


def _text(directory: str, name: str) -> str:
    with contextlib.suppress(OSError):
        return read_small(os.path.join(directory, name)) or ""
    return ""
