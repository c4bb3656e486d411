# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the messages of a server's log say of a reload: what it did not take up, and what waits for a restart. Pure.

Private to the collection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import without_secrets
from ansible_collections.pgfleet.standby.plugins.module_utils._server.causes import cause_of
from ansible_collections.pgfleet.standby.plugins.module_utils._server.last_words import explains
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_lines import Message

__all__ = ["ReloadWords", "reload_words"]

# How many messages before the one that ends it are told with it.
_BEFORE = 5

# How a reload begins and what it ends in, as postmaster.c and guc-file.l (guc.c) tell it in 10 to 18.
_BEGINS = re.compile(r"received SIGHUP, reloading configuration files")
_REFUSED = re.compile(r"configuration file \".*\" contains errors; |.* (was )?not reloaded$")
_WAITS = re.compile(r'parameter "([^"]+)" cannot be changed without restarting the server')
_TAKEN = re.compile(r'parameter "[^"]+" (changed to|removed from configuration file)')


@dataclass(frozen=True)
class ReloadWords:
    """``refused`` are the lines in which it says what it did not take up, without secrets; none if it took up all.

    ``waiting`` are the names of settings that only a restart changes. ``begun``: it has said that it reloads.
    """

    begun: bool = False
    refused: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def reload_words(messages: Sequence[Message]) -> ReloadWords:
    """What the messages since a reload was asked for say of it.

    A setting that waits for a restart counts as an error in its file for the server, and is none.
    """
    refused: list[str] = []
    waiting: list[str] = []
    before: list[Message] = []
    for message in messages:
        waits = _WAITS.match(message.text)
        if waits is not None:
            waiting.append(waits[1])
        elif _REFUSED.match(message.text) is not None:
            if "contains errors" not in message.text or any(map(_is_mistake, before)):
                refused += [line for one in (*before[-_BEFORE:], message) for line in one.lines]
            before = []
        elif _BEGINS.match(message.text) is not None:
            before = []
        elif _TAKEN.match(message.text) is None and explains(message):
            before.append(message)
    begun = any(_BEGINS.match(message.text) for message in messages)
    lines = dict.fromkeys(without_secrets(line) for line in refused)
    return ReloadWords(begun, tuple(lines), tuple(dict.fromkeys(waiting)))


def _is_mistake(message: Message) -> bool:
    """Whether a message is about a line of the configuration; between them is what others have to say."""
    cause = cause_of(message.text)
    return cause is not None and cause.name == "setting_invalid"
