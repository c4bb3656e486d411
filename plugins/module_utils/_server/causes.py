# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a server did not start or does not stream, by its own words: what is known of them, and what helps. Pure.

The words are PostgreSQL's own of 10 to 18, in English. Each cause is a row of docs/troubleshooting.md. In tests/servers
real servers are made to say most of them. Private to the collection.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Cause", "cause_of"]


class Cause(NamedTuple):
    """``name`` is stable, for machines. ``words`` is what the server says, ``next_step`` an imperative."""

    name: str
    words: re.Pattern[str]
    next_step: str


def _cause(name: str, words: str, next_step: str) -> Cause:
    return Cause(name, re.compile(words), next_step)


_OTHER_HISTORY = "clone it anew (overwrite=same_cluster), for its history is not that of the upstream"
_PRIMARY = r"(primary|master)"

# The first that is found counts: what is special stands before what is general.
CAUSES = (
    # --- the configuration
    _cause(
        "library_missing",
        r'could not (access file|load library) "',
        "install the package that brings the library on this host, or take it out of shared_preload_libraries",
    ),
    _cause(
        "min_wal_size",
        r'"?(min|max)_wal_size"? must be at least twice',
        "raise min_wal_size and max_wal_size to at least twice the size of a WAL segment",
    ),
    _cause(
        "hba_invalid",
        r"could not load (.*pg_hba\.conf|.*hba)|could not open .*authentication file|authentication file .* line \d+"
        r"|hba\.conf (was )?not reloaded",
        "mend pg_hba.conf at the line that it names",
    ),
    _cause(
        "tls_files",
        r"could not (load|access) (server certificate|private key|root certificate|certificate rev)"
        r"|private key file \".*\" (has|must|is)|could not load SSL|SSL configuration was not reloaded",
        "put the certificate and its key where the configuration says, readable by the database's OS user only,"
        " or correct ssl_cert_file and ssl_key_file",
    ),
    _cause(
        "recovery_conf_left",
        r"using recovery command file \".*\" is not supported",
        "run the role again, which writes the settings for this version",
    ),
    _cause(
        "log_directory",
        r"could not (open|create) (log file|directory) |could not create log",
        "make the directory that log_directory names, writable by the database's OS user, or correct it",
    ),
    _cause(
        "setting_invalid",
        r"unrecognized configuration parameter|configuration file \".*\" contains errors|invalid value for parameter"
        r"|is outside the valid range for parameter|parameter \".*\" requires a|syntax error in file"
        r"|could not open configuration",
        "mend the setting that it names, in the file that it names",
    ),
    # --- the host
    _cause(
        "shared_memory",
        r"could not (map anonymous shared memory|create shared memory segment|resize shared memory|attach to shared)"
        r"|could not map dynamic shared memory|no usable (shared memory|dynamic shared)",
        "lower shared_buffers or max_connections for this host, or give it the memory (in a container: /dev/shm too);"
        " with huge_pages=on reserve them (vm.nr_hugepages), or set huge_pages=try",
    ),
    _cause("semaphores", r"could not create semaphores", "raise kernel.sem (SEMMNI, SEMMNS), or lower max_connections"),
    _cause(
        "io_uring",
        r"could not setup io_uring",
        "set io_method=worker, or allow io_uring (kernel.io_uring_disabled, the seccomp profile, the limit memlock)",
    ),
    _cause(
        "address_in_use",
        r"could not bind .*: Address already in use",
        "find out who listens on that port (ss -tlnp), then stop it or give this server another port",
    ),
    _cause(
        "address_unknown",
        r"could not bind .*: Cannot assign requested address|could not create any TCP/IP sockets",
        "correct listen_addresses: it names an address that this host does not have",
    ),
    _cause(
        "socket_directory",
        r"could not create any Unix-domain sockets|could not (create|open) lock file \".*\.s\.PGSQL\.\d+\.lock\": "
        r"|could not bind Unix (socket|address)",
        "make the directory that unix_socket_directories names, writable by the database's OS user, or correct it",
    ),
    _cause(
        "lock_file",
        r"lock file \".*\" already exists|pre-existing shared memory block",
        "see whether the process that it names is a server of this directory or port; only if there is none,"
        " remove the file",
    ),
    _cause(
        "directory_owner",
        r"data directory \".*\" has wrong ownership",
        "give the data directory to the OS user that runs the server",
    ),
    _cause(
        "directory_mode",
        r"data directory \".*\" has (group or world access|invalid permissions)",
        "chmod 0700 the data directory (0750 from PostgreSQL 11 on)",
    ),
    _cause(
        "disk_full",
        r"No space left on device|Disk quota exceeded",
        "make room on the file system that it names (df, df -i), then run again",
    ),
    _cause("disk_error", r"Input/output error|Read-only file system", "see what the kernel's log says of that disk"),
    _cause(
        "killed",
        r"was terminated by signal 9",
        "see whether the kernel was out of memory (journalctl -k), and give the host more or the server less",
    ),
    _cause("out_of_memory", r"^out of memory|: out of memory", "give the host more memory, or the server less of it"),
    # --- the files
    _cause(
        "version_incompatible",
        r"database files are incompatible with server|is not a valid data directory[\s\S]*version",
        "start it with the programs of the version in PG_VERSION (pg_bindir, or the unit)",
    ),
    _cause(
        "checkpoint_missing",
        r"could not (locate|find) (a valid|required) checkpoint record|invalid (primary )?checkpoint record"
        r"|could not find redo location|could not read .*checkpoint record",
        "see that restore_command brings the WAL of the backup, or clone it anew; never remove backup_label by hand,"
        " and never run pg_resetwal on a standby",
    ),
    _cause(
        "wal_too_short",
        r"WAL ends before (end of online backup|consistent recovery point)|recovery ended before configured recovery",
        "see that Barman has the WAL up to the end of the backup (barman check-backup), then run again",
    ),
    _cause(
        "wal_level_minimal",
        r"wal_level ?= ?\"?minimal|wal_level was not set|[Ww][Aa][Ll].*generated with wal_level",
        "set wal_level=replica on the primary, take a new backup and clone it",
    ),
    _cause(
        "page_damaged",
        r"WAL contains references to invalid pages|invalid page in block|invalid memory alloc request size",
        "clone it anew, and test the backup (barman verify-backup) and the upstream's pages (pg_amcheck)",
    ),
    # --- timelines and limits
    _cause("timeline_not_child", r"requested timeline \d+ is not a child of this server's history", _OTHER_HISTORY),
    _cause(
        "timeline_unknown",
        r"recovery target timeline \d+ does not exist",
        "set recovery_target_timeline=latest, or bring the timeline's .history file into the archive",
    ),
    _cause(
        "upstream_timeline_behind",
        rf"highest timeline \d+ of the {_PRIMARY} is behind recovery timeline",
        "see which server was promoted last: follow that one, or clone this one anew from it",
    ),
    _cause(
        "timeline_forked",
        r"new timeline \d+ (forked off current database system timeline|is not a child of database system timeline)"
        r"|is not in this server's history|on timeline \d+ is not in this server's history",
        _OTHER_HISTORY,
    ),
    _cause(
        "system_identifier_differs",
        rf"database system identifier differs between the {_PRIMARY} and standby|from different database system",
        "correct upstream_conninfo or barman_server: the backup and the upstream are of two clusters",
    ),
    _cause(
        "limits_below_primary",
        r"(recovery aborted|hot standby is not possible) because of insufficient parameter settings"
        rf"|is a lower setting than on the {_PRIMARY}",
        "raise the setting that it names to at least the primary's, then start the standby",
    ),
    # --- the upstream
    _cause(
        "wal_removed",
        r"requested WAL segment \w+ has already been removed",
        "see that restore_command brings that segment from Barman; else clone it anew with a slot (slot_name)",
    ),
    _cause(
        "slot_invalidated",
        r"replication slot \".*\"( (has been|was) invalidated|[\s\S]*has been invalidated)"
        r"|can(not| no longer) (get|read) (changes )?from (physical )?replication slot|This slot has been invalidated",
        "drop the slot at the upstream and run the role again, which makes it; raise max_slot_wal_keep_size",
    ),
    _cause(
        "slot_missing",
        r'replication slot "[^"]*" does not exist',
        "run the role again, which makes the slot, or take primary_slot_name out of the standby's settings",
    ),
    _cause(
        "slot_active",
        r'replication slot "[^"]*" is (already )?active',
        "see who streams by that slot (pg_replication_slots at the upstream), and give each standby a slot of its own",
    ),
    _cause(
        "upstream_hba",
        r"no pg_hba\.conf entry for replication|pg_hba\.conf rejects replication",
        "add a line for database replication, this role and this host's address to the upstream's pg_hba.conf,"
        " and reload it",
    ),
    _cause(
        "upstream_password",
        r"password authentication failed|no password supplied|SCRAM authentication|passfile|\.pgpass",
        "correct the password that the standby sends (passfile, or upstream_password)",
    ),
    _cause(
        "upstream_certificate",
        r"certificate verify failed|server certificate for|root certificate file .* does not exist"
        r"|certificate authentication failed|does not match host name",
        "correct sslrootcert, sslmode and the name of the host in upstream_conninfo, or the upstream's certificate",
    ),
    _cause(
        "upstream_tls",
        r"server does not support SSL|SSL error|SSL connection has been closed|no encryption",
        "make sslmode in upstream_conninfo fit the upstream's pg_hba.conf and its setting ssl",
    ),
    _cause(
        "upstream_role",
        r'(role|user) "[^"]*" does not exist|must be superuser or replication role'
        r"|permission denied to start WAL sender"
        r'|role "[^"]*" is not permitted to log in',
        "make the replication role at the upstream, with LOGIN and REPLICATION, or correct replication_user",
    ),
    _cause(
        "upstream_full",
        r"number of requested standby connections exceeds \W?max_wal_senders|too many (clients|connections)"
        r"|remaining connection slots",
        "raise max_wal_senders and max_connections at the upstream, or the role's CONNECTION LIMIT",
    ),
    _cause(
        "upstream_unresolved",
        r"could not translate host name",
        "correct the host in upstream_conninfo, or see to this host's DNS",
    ),
    _cause(
        "upstream_refused",
        r"Connection refused|No such file or directory[\s\S]*accepting connections",
        "see that the upstream runs and listens on that address and port (listen_addresses)",
    ),
    _cause(
        "upstream_silent",
        r"timeout expired|Connection timed out|No route to host|Network is unreachable"
        r"|terminating walreceiver due to timeout",
        "see that a firewall lets this host through to the upstream's port",
    ),
    _cause(
        "upstream_starting",
        r"the database system is (starting up|shutting down|in recovery mode|not (yet )?accepting connections)",
        "wait until the upstream takes connections, then run again",
    ),
)


def cause_of(said: str) -> Cause | None:
    """The first known cause in what a server has said; None if there is none, or if it speaks another language."""
    return next((cause for cause in CAUSES if cause.words.search(said)), None)
