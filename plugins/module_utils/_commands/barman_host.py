# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Barman host as ssh and rsync address it. Private to the collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import (
    SshShell,
    ssh_argv,
    ssh_destination,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.rsync import pull_argv

__all__ = ["BarmanHost"]


@dataclass(frozen=True)
class BarmanHost:
    """The host that Barman runs on, and how ssh reaches it from here.

    ``destination`` is ``[user@]host`` or a Host alias of ssh_config; it is empty if Barman is to be asked on this host.
    ``ssh_options`` are words of ssh's command line.
    """

    destination: str
    ssh_options: tuple[str, ...] = ()

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> BarmanHost:
        """The Barman host that a module's options ``barman_host`` and ``ssh_options`` name."""
        return cls(params.get("barman_host") or "", tuple(params.get("ssh_options") or ()))

    @property
    def where(self) -> str:
        """The name of the host in messages, which is the destination as ssh takes it."""
        return ssh_destination(self.destination)

    def shell(self) -> SshShell:
        """A shell that runs programs on the host. Raises StandbyError for what is no ssh destination."""
        return SshShell(self.destination, self.ssh_options)

    def address(self, path: str) -> str:
        """rsync's ``host:path``; an IPv6 address goes in brackets."""
        user, at, host = self.where.rpartition("@")
        return f"{user}{at}[{host}]:{path}" if ":" in host else f"{self.where}:{path}"

    def rsync(self, remote_directory: str, target: str, extra: Sequence[str] = ()) -> list[str]:
        """The rsync command that pulls files from a directory of the host into a directory here.

        ``extra`` has ``--files-from`` in it, a list that ``write_names`` wrote.
        """
        return pull_argv(ssh_argv(self.ssh_options), self.address(remote_directory.rstrip("/") + "/"), target, extra)
