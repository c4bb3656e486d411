# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which systemd unit a command of repmgr.conf starts. Pure. Private to the collection."""

from __future__ import annotations

import posixpath
import re
import shlex

from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.conf import canonical

__all__ = ["unit_of", "words_of"]

# Switches that do not change what is started.
_HARMLESS = frozenset({"-q", "--quiet", "--no-ask-password", "--no-pager", "--no-block"})

_DEBIAN = re.compile(r"/var/lib/postgresql/([0-9.]+)/([^/]+)")


def unit_of(command: str, data_directory: str) -> str | None:
    """The unit that a command starts, an empty text for pg_ctl, None if the unit cannot be known."""
    words = words_of(command) or []
    if words and posixpath.basename(words[0]) == "sudo":
        words = words[1:]
        while words and words[0] in ("-n", "--non-interactive"):
            words = words[1:]
    if not words or re.search(r"[;&|<>$`()]", command):
        return None
    program = posixpath.basename(words[0])
    rest = [word for word in words[1:] if word not in _HARMLESS]
    if program == "pg_ctl":
        return ""
    if program == "systemctl" and len(rest) == 2 and rest[0] == "start":
        return _plain_unit(rest[1], data_directory)
    if program == "service" and len(rest) == 2 and rest[1] == "start":
        return _plain_unit(rest[0], data_directory)
    if program == "pg_ctlcluster" and len(rest) == 3 and rest[2] == "start":
        return f"postgresql@{rest[0]}-{rest[1]}"
    return None


def _plain_unit(word: str, data_directory: str) -> str | None:
    unit = word[: -len(".service")] if word.endswith(".service") else word
    if unit.startswith("-"):
        return None
    # On Debian the unit `postgresql` stands for all clusters, and counts as started even if a cluster did not start.
    debian = _DEBIAN.fullmatch(canonical(data_directory)) if unit == "postgresql" else None
    return f"postgresql@{debian.group(1)}-{debian.group(2)}" if debian else unit


def words_of(text: str) -> list[str] | None:
    """The words into which a shell splits a command; None if its quotes do not match."""
    try:
        return shlex.split(text)
    except ValueError:
        return None
