# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which messages of a server's log say why it did not start or does not stream. Pure. Private to the collection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import without_secrets
from ansible_collections.pgfleet.standby.plugins.module_utils._server.causes import Cause, cause_of
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_lines import Message

__all__ = ["LastWords", "explains", "last_words"]

# How many messages before the one that ends it are told with it, and how long each line may be.
_BEFORE = 2
_LENGTH = 500

# What a server says to clients, such as those that ask whether it is up, and at its end.
_TO_CLIENTS = re.compile(
    r"the database system is |no pg_hba\.conf entry|pg_hba\.conf rejects|password authentication failed"
    r"|(Peer|Ident|GSSAPI|LDAP|PAM|SCRAM|certificate) authentication failed"
    r"|(role|database) \"[^\"]*\" (does not|is not)"
    r"|sorry, too many clients|remaining connection slots|connection to client lost|unsupported frontend protocol"
    r"|terminating (connection|walreceiver process|background worker|autovacuum \w+) .*due to administrator command"
    r"|canceling |could not (receive data from|send data to) client|must be superuser|permission denied for "
)

# What it says of every start and every end.
_ROUTINE = re.compile(
    r"starting PostgreSQL|listening on |database system (was|is) |entering standby mode|starting (backup|point-in-time)"
    r"|redo (starts|done|in progress|is not required)|restored log file|consistent recovery state|started streaming"
    r"|(redirecting|ending) log output|aborting startup due to|(startup|background|logger|archiver|checkpointer) "
    r"[\w ]*process .*exited with exit code|terminating any other|all server processes|received (fast|smart|immediate)"
    r"|shutting down|checkpoint (starting|complete)|restartpoint |statement: |duration: |execute |parse |bind <"
    r"|connection (received|authenticated|authorized)|disconnection: |waiting for WAL to become available"
    r"|completed backup recovery|invalid record length at|record with incorrect prev-link|fetching timeline history"
    r"|primary server contains no more WAL|restarted WAL streaming|replication terminated by primary"
    r"|received promote request|selected new timeline|archive recovery complete|last completed transaction"
)

# What systemd and pg_ctl say of a server that has ended, which is never why.
_OF_STARTERS = re.compile(
    r"(Starting|Started|Stopping|Stopped|Failed to start|Reloading|Reloaded) |waiting for server to|pg_ctl: "
    r"|stopped waiting"
    r"|Examine the log output|\S+\.(service|slice): |Job for |The PostgreSQL server failed to start|Log file is"
    r"|\.* ?done$"
    r"|Removed stale pid file|Error: .*pg_ctl .*start"
)

# What only tells that something before it has gone wrong.
_SUMMARY = re.compile(r"could not create any |contains errors|could not load |server closed the connection")

_SIGNALLED = re.compile(r"was terminated by signal \d+")


@dataclass(frozen=True)
class LastWords:
    """What a server has said of its failure, a line for each thing, without secrets; and why that is, if known."""

    lines: tuple[str, ...] = ()
    cause: Cause | None = None

    @property
    def sentence(self) -> str:
        """For the message of a failure; empty if the server has said nothing."""
        said = " / ".join(self.lines).rstrip(".")
        return f"It says: {said}{'' if said.endswith('?') else '.'}" if said else ""

    def step(self, otherwise: str) -> str:
        """What helps: of a known cause, or in general."""
        return self.cause.next_step if self.cause is not None else otherwise

    @property
    def result(self) -> dict[str, Any]:
        """The keys of a module's result."""
        return {"server_log": list(self.lines), "cause": self.cause.name if self.cause is not None else None}


def last_words(messages: Sequence[Message]) -> LastWords:
    """The last message that ends a start or a connection to the upstream, with those before it that explain it.

    What a server says in a language that is not known here is told all the same, as its last messages.
    """
    own = [message for message in messages if message.text and not _is_chatter(message)]
    at = _decisive(own)
    if at is None:
        said = [message for message in own if message.level or not _OF_STARTERS.search(message.text)] or own
        told = said[-_BEFORE - 1 :]
    else:
        told = [*_explaining(own[:at]), own[at]]
    lines = list(dict.fromkeys(_shown(line) for message in told for line in message.lines))
    last = None if at is None or _SUMMARY.search(own[at].text) else cause_of("\n".join(own[at].lines))
    return LastWords(tuple(lines), last or cause_of("\n".join(lines)))


def _is_chatter(message: Message) -> bool:
    return message.level in ("FATAL", "ERROR", "LOG") and _TO_CLIENTS.match(message.text) is not None


def _decisive(own: Sequence[Message]) -> int | None:
    """Where the message is that ends it: the last of the gravest kind that there is."""
    kinds = (
        lambda message: message.level in ("FATAL", "PANIC"),
        lambda message: message.level in ("LOG", "WARNING") and _SIGNALLED.search(message.text) is not None,
        lambda message: message.level == "ERROR" or (message.level == "" and cause_of(message.text) is not None),
        lambda message: message.level in ("LOG", "WARNING") and cause_of("\n".join(message.lines)) is not None,
    )
    for kind in kinds:
        found = [at for at, message in enumerate(own) if kind(message)]
        if found:
            return found[-1]
    return None


def _explaining(before: Sequence[Message]) -> list[Message]:
    """What is wrong with a configuration is said by messages of the level LOG, before the FATAL one."""
    return [message for message in before if explains(message)][-_BEFORE:]


def explains(message: Message) -> bool:
    """Whether a message may say what is wrong with a file: neither to a client, nor of every start and end."""
    grave = message.level in ("LOG", "WARNING", "ERROR") and not _ROUTINE.match(message.text)
    return grave and not _is_chatter(message)


def _shown(line: str) -> str:
    clean = without_secrets(line)
    return clean if len(clean) <= _LENGTH else f"{clean[:_LENGTH]}…"
