# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsed server is told on its command line, because it must differ from the standby: one table. Pure.

Everything else comes from the configuration itself. A value on the command line wins over every file, and the server
still judges the value that a file holds (PostgreSQL source, utils/misc/guc.c, set_config_with_handle: a file's value is
parsed before a lesser source is left aside). So no setting here hides a mistake in a file. Private to the collection.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import truth

__all__ = ["Relocation", "command_line", "log_directory", "rehearsed_environment", "relocated", "told_at_login"]


@dataclass(frozen=True)
class _Given:
    """One setting of the command line. ``since`` and ``until`` are the first and the last version that knows it.

    In the value ``{scratch}`` stands for the private directory of the rehearsal, and ``{port}`` for a free port.
    """

    name: str
    value: str
    why: str
    since: int = 10
    until: int | None = None

    def known(self, major: int) -> bool:
        """Whether this version has the setting."""
        return self.since <= major and (self.until is None or major <= self.until)


# Of a standby's environment: what the scratch cluster has of its own, and in which language it speaks.
_OUR_ENVIRONMENT = frozenset({"PGDATA", "PGHOST", "LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "NOTIFY_SOCKET"})

_NO_UPSTREAM = "The rehearsal asks no upstream for WAL, and no archive."
_NO_HOOKS = "It runs no command of the cluster's."
_WORDS = "What the server says comes to us, and in English, whatever the configuration does with its log."

_GIVEN = (
    _Given("data_directory", "{scratch}/data", "The scratch cluster stands in for the standby's."),
    _Given(
        "port",
        "{port}",
        "The standby's own server may have the real one; and who looks whether that answers must not take the scratch"
        " cluster for the standby.",
    ),
    _Given(
        "hot_standby", "off", "It lets nobody in, and needs no limits as high as those of a primary, which it has not."
    ),
    _Given("primary_conninfo", "", _NO_UPSTREAM, since=12),
    _Given("primary_slot_name", "", _NO_UPSTREAM, since=12),
    _Given("restore_command", "", _NO_UPSTREAM, since=12),
    _Given("archive_cleanup_command", "", _NO_HOOKS, since=12),
    _Given("recovery_end_command", "", _NO_HOOKS, since=12),
    _Given("promote_trigger_file", "", "It stays a standby.", since=12, until=15),
    _Given("recovery_target_timeline", "latest", "As standby_recovery sets it.", since=12),
    _Given("archive_command", "", "It archives nothing; archive_mode stays, for wal_level has to suit it."),
    _Given("archive_library", "", "As archive_command.", since=15),
    _Given("logging_collector", "off", f"{_WORDS} Whether log_directory can be written is asked apart."),
    _Given("log_destination", "stderr", _WORDS),
    _Given("log_min_messages", "warning", _WORDS),
    _Given("log_error_verbosity", "default", _WORDS),
    _Given("log_line_prefix", "", _WORDS),
    _Given("lc_messages", "C", _WORDS),
    _Given("external_pid_file", "{scratch}/pid", "The file belongs to the server that may run."),
    _Given("stats_temp_directory", "pg_stat_tmp", "A server empties it at its start, also another server's.", until=14),
    _Given("bonjour", "off", "It is not announced."),
    _Given("fsync", "off", "Nothing of it is kept."),
)

# Beside the server that works in the data directory and is to be stopped: the host need not have the memory of both.
_BESIDE_ANOTHER = {"shared_buffers": "16MB", "huge_pages": "off"}

# Settings that name files. A server takes a relative name from its data directory.
_FILES = (
    *("ssl_ca_file", "ssl_cert_file", "ssl_crl_dir", "ssl_crl_file", "ssl_dh_params_file", "ssl_key_file"),
    *("krb_server_keyfile", "unix_socket_directories"),
)
_LISTS = ("unix_socket_directories",)

# What a server loads when somebody logs in, and so not at its start.
_AT_LOGIN = ("session_preload_libraries", "local_preload_libraries")


@dataclass(frozen=True)
class Relocation:
    """Where the directories of the standby are rehearsed: real directories to scratch ones, the data directory first.

    ``data_directory`` is the standby's.
    """

    data_directory: str
    moved: tuple[tuple[str, str], ...]

    def path(self, path: str) -> str:
        """Where an absolute path of the standby is in the rehearsal; the same path if it is not moved."""
        for real, scratch in self.moved:
            if path == real or path.startswith(real.rstrip("/") + "/"):
                return scratch + path[len(real) :]
        return path

    def back(self, text: str) -> str:
        """A text that speaks of the rehearsal's paths, with the standby's."""
        for real, scratch in self.moved:
            text = text.replace(scratch, real)
        return text


def rehearsed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What of a standby's environment the scratch cluster's server gets."""
    return {name: value for name, value in environment.items() if name not in _OUR_ENVIRONMENT}


def relocated(configured: Mapping[str, str], places: Relocation) -> dict[str, str]:
    """Settings of the configuration that name another place in the rehearsal, with that place.

    An absolute path into the data directory leads into the scratch one; a relative one that leaves the data directory
    leads to where it will.
    """
    found = {}
    for name, value in configured.items():
        parts = [part.strip().strip('"') for part in value.split(",")] if name in _LISTS else [value]
        moved = [_place(name, part, places) for part in parts]
        if moved != parts:
            found[name] = ",".join(moved)
    return found


def _place(name: str, value: str, places: Relocation) -> str:
    if value.startswith("/"):
        return places.path(value)
    if name not in _FILES or not value or value.startswith("@"):
        return value
    path = posixpath.normpath(posixpath.join(places.data_directory, value))
    return value if path.startswith(places.data_directory.rstrip("/") + "/") else path


def command_line(major: int, moved: Mapping[str, str], scratch: str, port: int, beside_another: bool) -> list[str]:
    """The options of ``postgres``: the table, and ``moved``, which are places. The table wins."""
    given = {one.name: one.value.format(scratch=scratch, port=port) for one in _GIVEN if one.known(major)}
    settings = {**moved, **given, **(_BESIDE_ANOTHER if beside_another else {})}
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def log_directory(configured: Mapping[str, str], data_directory: str) -> str | None:
    """The directory outside of the data directory in which the server opens its log; None if there is none."""
    if truth(configured.get("logging_collector", "off")) is not True:
        return None
    path = posixpath.normpath(posixpath.join(data_directory, configured.get("log_directory") or "log"))
    return None if path.startswith(data_directory.rstrip("/") + "/") else path


def told_at_login(configured: Mapping[str, str]) -> list[str]:
    """The settings whose libraries a server only looks for when somebody logs in, as they are set."""
    return [f"{name} ({configured[name]})" for name in _AT_LOGIN if configured.get(name)]
