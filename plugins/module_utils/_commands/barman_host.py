# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Barman host as ssh and rsync address it. Private to the collection."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import ssh_destination

__all__ = ["BarmanHost"]


@dataclass(frozen=True)
class BarmanHost:
    """The Barman host as ssh and rsync address it."""

    destination: str
    ssh_options: tuple[str, ...] = ()

    def address(self, path: str) -> str:
        """rsync's ``host:path``; an IPv6 address goes in brackets."""
        destination = ssh_destination(self.destination)
        user, at, host = destination.rpartition("@")
        return f"{user}{at}[{host}]:{path}" if ":" in host else f"{destination}:{path}"
