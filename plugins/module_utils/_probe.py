# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two ends of a copy can do, asked before it begins. Private to the collection."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._barman_files import Source
from ansible_collections.pgfleet.standby.plugins.module_utils._command import LocalShell, SshShell
from ansible_collections.pgfleet.standby.plugins.module_utils._transport import (
    ciphers_of,
    compressions_of,
    faster_ciphers,
    usable_compressions,
)

__all__ = ["cipher_options", "compressions"]


def cipher_options(source: Source) -> tuple[str, ...]:
    """ssh options that put fast ciphers first, if nobody else has said what the order is.

    ``ssh -G`` prints what ssh would use, the user's configuration included; ``-F none`` without it.
    """
    shell = LocalShell()
    effective = shell.run(["ssh", "-G", *source.ssh_options, "--", source.destination])
    default = shell.run(["ssh", "-G", "-F", "none", "--", source.destination])
    order = faster_ciphers(ciphers_of(effective.out), ciphers_of(default.out))
    return ("-o", "Ciphers=" + ",".join(order)) if order else ()


def compressions(source: Source, wanted: str) -> tuple[str, ...]:
    """The compressions to choose from. Raises StandbyError when the wanted one is missing at either end."""
    if wanted == "none":
        return ("none",)
    here = LocalShell().run(["rsync", "--version"])
    there = SshShell(source.destination, source.ssh_options).run(["rsync", "--version"])
    return usable_compressions(wanted, compressions_of(here.out), compressions_of(there.out))
