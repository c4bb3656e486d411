# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One login at the Barman host for all that a module asks there. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell, ssh_argv

__all__ = ["one_login"]

# The path of a socket has at most 107 bytes (unix(7)), and ssh makes it under another name first, 17 bytes longer.
_LONGEST = 90

# Seconds after the last program for which a connection stays whose module was killed.
_STAYS = 30

# For ssh's own work; what it does not do in that time has no effect on what was asked.
_SECONDS = 10.0


@contextlib.contextmanager
def one_login(params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A module's options, in which ``ssh_options`` have every ssh use the connection that the first one has opened.

    Options that the user gives come before these, so whoever shares connections in a way of his own keeps that. At the
    end the connection goes. Where no socket can be made, each program logs in by itself.
    """
    host = BarmanHost.from_params(params)
    with tempfile.TemporaryDirectory(prefix="pgfleet.") as place:
        socket = os.path.join(place, "ssh")
        if not host.destination or len(os.fsencode(socket)) > _LONGEST or "%" in socket:
            yield dict(params)
            return
        shared = ("-o", "ControlMaster=auto", "-o", f"ControlPath={socket}", "-o", f"ControlPersist={_STAYS}")
        options = (*host.ssh_options, *shared)
        try:
            yield {**params, "ssh_options": list(options)}
        finally:
            if os.path.exists(socket):
                LocalShell().run([*ssh_argv(options), "-O", "exit", "--", host.where], _SECONDS)
