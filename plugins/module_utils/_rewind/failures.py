# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why pg_rewind has failed, by its own words, and what helps. Pure. Private to the collection.

The words are those of pg_rewind.c, parsexlog.c, libpq_source.c and file_ops.c of 12 to 18, in English.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import line_of, said_by

__all__ = ["complaint", "helps"]

# The first that is found counts: what is special stands before what is general. Each is a row of
# docs/troubleshooting.md.
FAILURES = (
    (
        r"target server needs to use either data checksums or",
        "set wal_log_hints=on on every server of the cluster and restart them, so that it can be rewound next time",
    ),
    (
        r"could not find previous WAL record|could not (open|read) file \"[^\"]*pg_wal/|could not read WAL record"
        r"|could not restore file \"[0-9A-F]{24}\" from archive",
        "let restore_command bring the WAL from before the fork (restore_command; from PostgreSQL 15 on)",
    ),
    (
        r"source and target cluster are on the same timeline",
        "run CHECKPOINT at the upstream, which was promoted a moment ago, then run again",
    ),
    (
        r"could not find common ancestor of the source and target cluster's timelines",
        "clone it anew (overwrite=same_cluster), for its history is not that of the upstream",
    ),
    (
        r"source and target clusters are from different systems",
        "correct data_directory or upstream_conninfo: these are two clusters",
    ),
    (r"clusters are not compatible with this version of pg_rewind", "correct pg_bindir: it is of another version"),
    (
        r"(target|source) (server|data directory) must be shut down cleanly",
        "start the server alone and stop it once (it does crash recovery), then run again",
    ),
    (r"source server must not be in recovery mode", "follow the primary, or use PostgreSQL 14 or later"),
    (r"full_page_writes\W? must be enabled", "set full_page_writes=on at the upstream"),
    (
        r"permission denied for function",
        "grant EXECUTE on pg_ls_dir, pg_stat_file and pg_read_binary_file to the role that rewinds (rewind_user)",
    ),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "add a line for database postgres, this role and this host's address to the upstream's pg_hba.conf, and"
        " reload it",
    ),
    (
        r"password authentication failed|no password supplied",
        "put the role's password for database postgres into ~/.pgpass of the database's OS user",
    ),
    (r"too many clients|remaining connection slots", "raise max_connections at the upstream, or end what uses them"),
    (
        r"Connection refused|timeout expired|could not translate host name|No route to host",
        "see that the upstream runs and listens there, and that a firewall lets this host through",
    ),
    (r"No space left on device|Disk quota exceeded", "make room on the file system that it names (df, df -i)"),
)


def complaint(lines: Iterable[str]) -> str:
    """The line in which pg_rewind says why it failed, without the program's name, for a message."""
    text = "\n".join(lines)
    known = (line_of(text, words) for words, _step in FAILURES)
    said = next(filter(None, known), None) or said_by("pg_rewind", text)
    return re.sub(r"^([\w./-]*pg_rewind: )?(error|fatal): ", "", said) or "it said nothing"


def helps(lines: Iterable[str]) -> str | None:
    """What helps against that, as an imperative; None if it is not known."""
    text = "\n".join(lines)
    return next((step for words, step in FAILURES if line_of(text, words) is not None), None)
