# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several modules share.

A test keeps them in step with the documentation fragments. Private to the collection.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "barman_options",
    "basebackup_options",
    "claim_options",
    "clone_options",
    "fill_options",
    "follow_options",
    "local_login_options",
    "login_options",
    "look_options",
    "recovery_options",
    "restore_options",
    "server_options",
    "target_options",
    "upstream_options",
]

_SOURCE = ("barman_host", "ssh_options", "backup")


def barman_options() -> dict[str, Any]:
    """Where Barman is and which of its servers is meant."""
    return {
        "barman_host": {"type": "str"},
        "ssh_options": {"type": "list", "elements": "str", "default": []},
        "barman_server": {"type": "str", "required": True},
        "barman_config": {"type": "path"},
        "barman_executable": {"type": "str", "default": "barman"},
    }


def claim_options() -> dict[str, Any]:
    """Who uses a backup on the Barman host, and for how long."""
    return {
        "backup": {"type": "dict", "required": True},
        "owner": {"type": "str", "required": True},
        "expiry": {"type": "str", "default": "24h"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


def clone_options() -> dict[str, Any]:
    """What is copied from where to where."""
    return {
        "barman_host": {"type": "str", "required": True},
        "ssh_options": {"type": "list", "elements": "str", "default": []},
        "backup": {"type": "dict", "required": True},
        "data_directory": {"type": "str", "required": True},
        "state_directory": {"type": "str"},
        "pg_bindir": {"type": "str"},
        "waldir": {"type": "str"},
        "tablespace_mapping": {"type": "dict", "default": {}},
        "overwrite": {"type": "str", "choices": ["never", "pristine", "same_cluster", "always"], "default": "never"},
        "keep_old": {"type": "bool", "default": False},
    }


def fill_options() -> dict[str, Any]:
    """How a backup is brought, whoever does it."""
    return {
        "again": {"type": "bool", "default": False},
        "jobs": {"type": "int"},
        "bwlimit": {"type": "int"},
    }


def follow_options() -> dict[str, Any]:
    """What a copy needs that runs by itself, and how long a module waits for it."""
    return {
        "lock_timeout": {"type": "int", "default": 3600},
        "settings": {"type": "dict", "default": {}},
        "progress_interval": {"type": "int"},
        "attach_timeout": {"type": "int"},
        "attach_run": {"type": "str"},
    }


def server_options() -> dict[str, Any]:
    """The Barman server that has the backup, where only some of what is done needs it."""
    return {
        "barman_server": {"type": "str"},
        "barman_config": {"type": "str"},
        "barman_executable": {"type": "str", "default": "barman"},
    }


def target_options() -> dict[str, Any]:
    """Where a copy goes, and what it may overwrite there."""
    return {name: option for name, option in clone_options().items() if name not in _SOURCE}


def basebackup_options() -> dict[str, Any]:
    """What pg_basebackup is given."""
    return {"pg_basebackup_options": {"type": "list", "elements": "str", "default": []}}


def upstream_options() -> dict[str, Any]:
    """Whom the standby follows."""
    return {
        "upstream_conninfo": {"type": "raw", "required": True, "no_log": True},
        "replication_user": {"type": "str"},
        "application_name": {"type": "str", "required": True},
    }


def login_options() -> dict[str, Any]:
    """How it proves there who it is."""
    return {
        "upstream_password": {"type": "str", "no_log": True},
        "passfile": {"type": "str", "no_log": False},
    }


def local_login_options() -> dict[str, Any]:
    """As whom the server of the data directory is asked."""
    return {"login_user": {"type": "str"}}


def restore_options() -> dict[str, Any]:
    """How it fetches WAL from Barman, and what else is set for its recovery."""
    return {
        "restore_command": {"type": "str", "default": "auto"},
        "restore_jobs": {"type": "int"},
        "restore_compression": {"type": "str", "choices": ["none", "gzip", "bzip2", "keep"], "default": "none"},
        "archive_cleanup_command": {"type": "str"},
        "recovery_min_apply_delay": {"type": "str"},
        "settings": {"type": "dict", "default": {}},
    }


def recovery_options() -> dict[str, Any]:
    """What its recovery settings depend on besides its upstream."""
    return {
        "config_directory": {"type": "str"},
        "config_files": {"type": "str", "choices": ["keep_local", "from_backup"]},
        "use_primary_conninfo_password": {"type": "bool", "default": False, "no_log": False},
        "primary_slot_name": {"type": "str"},
        "barman_host": {"type": "str"},
        "ssh_options": {"type": "list", "elements": "str", "default": []},
        "barman_server": {"type": "str"},
        "barman_config": {"type": "str"},
        "barman_executable": {"type": "str", "default": "barman"},
    }


def look_options() -> dict[str, Any]:
    """How a running standby is asked, and what is expected of it."""
    return {
        "upstream_connection": {"type": "str", "choices": ["required", "none"], "default": "required"},
        "max_lag_bytes": {"type": "int"},
        "login_db": {"type": "str", "default": "postgres"},
    }
