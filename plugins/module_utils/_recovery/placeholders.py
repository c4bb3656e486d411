# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which placeholders a command in the server's configuration may hold: one table. Pure.

PostgreSQL manual of 18, 19.5.5 "Archive Recovery" (restore_command, archive_cleanup_command, recovery_end_command),
19.5.3 "Archiving" (archive_command) and 19.3.3 "SSL" (ssl_passphrase_command). From 16 on one function of the server
replaces them all (common/percentrepl.c) and takes no other one for an error: neither ``postgres -C`` nor a reload
calls it, and a restore_command in which it finds one ends the server when that next wants a segment.
tests/servers/test_placeholders.py sees that on real servers. Private to the collection.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal

__all__ = ["unknown_placeholder", "unknown_placeholders"]

# The letters that may follow a percent sign, beside another percent sign.
_PLACEHOLDERS = {
    "archive_cleanup_command": "r",
    "archive_command": "fp",
    "recovery_end_command": "r",
    "restore_command": "fpr",
    "ssl_passphrase_command": "p",
}


def unknown_placeholder(name: str, command: str) -> str | None:
    """The first placeholder of a setting's command that is none, such as ``%s``; ``%`` for one at the end."""
    known = _PLACEHOLDERS.get(name)
    if known is None:
        return None
    rest = command
    while "%" in rest:
        after = rest.partition("%")[2]
        if after[:1] != "%" and (not after or after[0] not in known):
            return f"%{after[:1]}"
        rest = after[1:]
    return None


def unknown_placeholders(settings: Mapping[str, str]) -> Refusal | None:
    """What is wrong with the first command that holds one. The command is not repeated: it may hold a secret.

    It is refused for every version: up to 15 a server leaves it as it is, and would be ended by its upgrade.
    """
    for name, text in settings.items():
        wrong = unknown_placeholder(name, text)
        if wrong is not None:
            taken = ", ".join(["%%", *(f"%{letter}" for letter in _PLACEHOLDERS[name])])
            return Refusal(
                "command_placeholder_unknown",
                f"{name} holds {wrong!r}, which is no placeholder of it. From PostgreSQL 16 on a server accepts that"
                " until it runs the command, and then fails: with a restore_command it ends.",
                f"write %% for a percent sign; {name} knows {taken}",
            )
    return None
