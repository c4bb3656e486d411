# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two ends of a copy can do, asked before it begins. Private to the collection."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.quoting import remote_command
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.compression import (
    ciphers_of,
    compressions_of,
    faster_ciphers,
    usable_compressions,
)

__all__ = ["RemoteCapabilities", "cipher_options", "probe"]

# On the Barman host archiving and backups go first, if the programs are there that give us a lower priority.
_GENTLY = (("ionice", "-c", "2", "-n", "7", "nice", "-n", "5"), ("nice", "-n", "5"), ())


@dataclass(frozen=True)
class RemoteCapabilities:
    """The Barman host: the command that starts rsync there, and the compressions to choose from.

    ``nice_prefix`` goes before any command there that moves much data.
    """

    rsync: str
    compressions: tuple[str, ...]
    nice_prefix: tuple[str, ...] = ()


def cipher_options(barman_host: BarmanHost) -> tuple[str, ...]:
    """ssh options that put fast ciphers first; none if the user's configuration of ssh has an order of its own.

    ``ssh -G`` prints what ssh would use, the user's configuration included; ``-F none`` without it.
    """
    shell = LocalShell()
    effective = shell.run(["ssh", "-G", *barman_host.ssh_options, "--", barman_host.where])
    default = shell.run(["ssh", "-G", "-F", "none", "--", barman_host.where])
    order = faster_ciphers(ciphers_of(effective.out), ciphers_of(default.out))
    return ("-o", "Ciphers=" + ",".join(order)) if order else ()


def probe(barman_host: BarmanHost, compress: str) -> RemoteCapabilities:
    """Ask both rsyncs. Raises StandbyError if the Barman host has none, or if one lacks the compression."""
    here = LocalShell().run(["rsync", "--version"])
    shell = barman_host.shell()
    for prefix in _GENTLY:
        there = shell.run([*prefix, "rsync", "--version"])
        if there.rc == 0:
            usable = usable_compressions(compress, compressions_of(here.out), compressions_of(there.out))
            return RemoteCapabilities(remote_command([*prefix, "rsync"]), usable, prefix)
    raise StandbyError(
        Refusal(
            "rsync_missing_remote",
            f"rsync does not run on {barman_host.where} (exit code {there.rc}). Nothing was changed.",
            "install rsync on the Barman host",
        ),
        rc=there.rc,
        stderr=there.err,
    )
