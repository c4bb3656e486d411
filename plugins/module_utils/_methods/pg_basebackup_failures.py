# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why pg_basebackup has failed, by its own words and the upstream's, and what helps. Pure. Private to the collection.

The words are those of 10 to 18, in English: pg_basebackup.c, receivelog.c and libpq's of the login, and the upstream's
of walsender.c, basebackup.c and slot.c. Each row is one of docs/troubleshooting.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import Diagnosis
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import line_of, said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal

__all__ = ["diagnosis"]


class _Failure(NamedTuple):
    """``words`` are what is said, as a pattern; ``refusal`` what that means, as a clause, and what helps."""

    words: str
    refusal: Refusal


_LOGIN = "upstream_unreachable"

# The first that is found counts: what is special stands before what is general.
FAILURES = (
    _Failure(
        r"No space left on device|Disk quota exceeded",
        Refusal(
            "disk_full",
            "the disk is full of this host, or of the upstream if that says so",
            "make room in bytes and inodes (df, df -i), then run again",
        ),
    ),
    _Failure(
        r'exceeds "?max_wal_senders|all replication slots are in use|too many (clients|connections)'
        r"|remaining connection slots",
        Refusal(
            "walsenders_exhausted",
            "the upstream has no WAL sender, connection or replication slot left, and two of the first are needed",
            "end one, or raise the limit there that it names (max_wal_senders, max_connections, max_replication_slots)",
        ),
    ),
    _Failure(
        r'replication slot "[^"]*" does not exist',
        Refusal("slot_absent", "the slot is not there", "make it"),
    ),
    _Failure(
        r'replication slot "[^"]*" is active',
        Refusal("slot_active", "another client uses the slot", "choose another slot_name, or stop that client"),
    ),
    _Failure(
        r'directory "[^"]*" exists but is not empty',
        Refusal(
            "target_not_empty",
            "a directory that it has to fill holds something",
            "empty it, or choose another by tablespace_mapping or waldir",
        ),
    ),
    _Failure(
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        Refusal(
            _LOGIN,
            "the upstream's pg_hba.conf does not let it in",
            "add a line for database replication, this role and this host's address there, and reload it",
        ),
    ),
    _Failure(
        r"password authentication failed|no password supplied|SCRAM authentication|authentication failed for user",
        Refusal(_LOGIN, "the upstream does not take the login", "correct the password (passfile, upstream_password)"),
    ),
    _Failure(
        r"must be superuser or (a )?replication role|permission denied to start WAL sender"
        r'|(role|user) "[^"]*" does not exist|is not permitted to log in',
        Refusal(
            _LOGIN,
            "the role may not replicate",
            "make the role at the upstream, with LOGIN and REPLICATION, or correct replication_user",
        ),
    ),
    _Failure(
        r"requested WAL segment \w+ has already been removed",
        Refusal(
            "basebackup_failed",
            "the upstream removed WAL that the copy needs while it ran",
            "give slot_name, or raise wal_keep_size at the upstream, then run again",
        ),
    ),
    _Failure(
        r"checksum error occurred|checksum verification fail",
        Refusal(
            "basebackup_failed",
            "the upstream has damaged pages, which are in no copy of it",
            "find them at the upstream (its log names files and blocks, pg_amcheck) and mend them there first",
        ),
    ),
    _Failure(
        r"incompatible server version|server does not support|not supported by this server version",
        Refusal(
            "basebackup_failed",
            "it is of another version than the upstream",
            "correct pg_bindir: the client programs have to be of the upstream's version",
        ),
    ),
    _Failure(
        r'the standby was promoted during|WAL generated with "?full_page_writes=off',
        Refusal(
            "basebackup_failed",
            "the upstream, itself a standby, could not be copied to the end",
            "turn full_page_writes on at the primary if that is said, then run again",
        ),
    ),
    _Failure(
        r"server closed the connection|could not receive data from WAL stream|SSL connection has been closed"
        r"|could not read COPY data|terminating connection due to|unexpected termination of replication stream",
        Refusal(
            "basebackup_failed",
            "the connection to the upstream broke",
            "see the upstream's log (a restart, wal_sender_timeout) and the network, then run again",
        ),
    ),
    _Failure(
        r"could not connect|connection to server|could not translate host name",
        Refusal(
            _LOGIN,
            "it cannot reach the upstream",
            "check that the upstream runs and listens there, and that a firewall lets this host through",
        ),
    ),
)

_OTHER = Refusal("basebackup_failed", "it gave up", "mend what it says, then run again")


def diagnosis(lines: Sequence[str]) -> tuple[str, Diagnosis]:
    """The line that tells what went wrong, and what that means."""
    text = "\n".join(lines)
    for failure in FAILURES:
        said = line_of(text, failure.words)
        if said is not None:
            return said, Diagnosis(failure.refusal)
    return said_by("pg_basebackup", text) or "it said nothing", Diagnosis(_OTHER)
