# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which small files of a backup are a part of the server's configuration, and these files fetched.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.remote_files import fetch
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conf import quote

__all__ = ["bring", "bring_settings"]

# The directories that initdb makes, those of older versions and of logs: what is in them is no configuration.
_OF_CLUSTER = frozenset(
    (
        *("base", "global", "log", "pg_clog", "pg_commit_ts", "pg_dynshmem", "pg_log", "pg_logical", "pg_multixact"),
        *("pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans"),
        *("pg_tblspc", "pg_twophase", "pg_wal", "pg_xact", "pg_xlog"),
    )
)

# Files beside them that are none either: they would make another cluster of the scratch one.
_NO_CONFIGURATION = frozenset(
    (
        *("PG_VERSION", "backup_label", "backup_label.old", "backup_manifest", "current_logfiles", "postmaster.opts"),
        *("postmaster.pid", "recovery.conf", "recovery.done", "recovery.signal", "standby.signal", "tablespace_map"),
        "tablespace_map.old",
    )
)

# Settings that lead to files of the cluster's configuration.
_OF_TLS = ("ssl", "krb_")
_OF_FILES = ("config_file", "data_directory", "external_pid_file", "hba_file", "hosts_file", "ident_file")

# A certificate or a pg_hba.conf is smaller, and what is larger is none.
_LARGEST, _MOST = 1 << 20, 500


def _carried(files: Iterable[tuple[str, int]]) -> list[str]:
    """Of a data directory's files, with their sizes, those that may be a part of the server's configuration.

    Includes, certificates and the like are anywhere but in the cluster's own directories, and may have any name.
    """
    return [
        path
        for path, size in files
        if path.partition("/")[0] not in _OF_CLUSTER and path not in _NO_CONFIGURATION and size <= _LARGEST
    ]


def bring(barman_host: BarmanHost, root: Root, target: str) -> None:
    """Copy them into a directory, with the modes that the copy of the backup will give them. Raises StandbyError."""
    paths = _carried(zip(root.files.paths, root.files.sizes))
    if len(paths) > _MOST:
        raise StandbyError(
            Refusal(
                "rehearsal_failed",
                f"The backup holds {len(paths)} small files beside the cluster's own, which are too many to fetch them"
                " before the copy.",
                "see what they are",
            )
        )
    for path in paths:
        os.makedirs(os.path.join(target, os.path.dirname(path)), mode=0o700, exist_ok=True)
    fetch(barman_host, root.source, paths, target)
    wanted = set(paths)
    for path, mode in zip(root.files.paths, root.files.modes):
        if path in wanted:
            os.chmod(os.path.join(target, path), root.file_mode(mode))


def bring_settings(settings: Mapping[str, str], target: str) -> None:
    """Write a configuration of settings that a server has told, into a directory. Nobody may log in with it.

    Left out is what leads to files, which nobody has told: certificates, keys and who may log in. Raises OSError.
    """
    lines = ["ssl = 'off'\n"]
    for name, value in settings.items():
        with contextlib.suppress(ValueError):  # no file can hold it
            lines += [] if name in _OF_FILES or name.startswith(_OF_TLS) else [f"{name} = {quote(value)}\n"]
    write_atomically(os.path.join(target, "postgresql.conf"), "".join(lines))
    write_atomically(os.path.join(target, "pg_hba.conf"), "local all all reject\n")
    write_atomically(os.path.join(target, "pg_ident.conf"), "")
