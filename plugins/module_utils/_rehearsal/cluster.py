# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scratch cluster: made by initdb, and given the configuration that the standby will have.

The recovery step's own functions write it, so that the rehearsal tries what they will make. Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import mode_of, read_small, write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import AUTO_CONF
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import configured
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery import files as _recovery_files
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.leftovers import neutralised
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.stray_config import apply_strays, find_strays
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.scratch import Scratch
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.settings import Relocation

__all__ = ["SKELETON_BYTES", "Furnished", "Standby", "furnish", "initdb", "room", "skeleton"]

_INITDB_SECONDS = 600

# What initdb writes, and the server beside it; the rest is WAL.
_CLUSTER_BYTES = 128 << 20

# What `postgres --check` takes for a cluster: files of configuration, and directories with nothing in them.
SKELETON_BYTES = 8 << 20
_EMPTY = ("base", "global", "pg_dynshmem", "pg_notify", "pg_stat", "pg_stat_tmp", "pg_tblspc", "pg_wal", "pg_xact")

# From this version on the size of WAL segments is an option of initdb; before, it is compiled in.
_SEGMENT_SIZE_SINCE = 11

# From this version on initdb makes checksums unless told otherwise.
_CHECKSUMS_SINCE = 18

# What the standby has of its own, or has not. The empty postgresql.auto.conf stays: a copy brings another one.
_FILES = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")

# Of a directory that holds a configuration: what is larger is none, and so many files are something else.
_LARGEST, _MOST = 1 << 20, 1000


@dataclass(frozen=True)
class Standby:
    """The standby whose start is rehearsed.

    ``segment_size`` is in bytes. ``config_directory`` holds postgresql.conf, None if the data directory does;
    ``from_backup``: the backup's takes the place of what is there. ``settings`` are those that the recovery step will
    add. ``bring`` puts the configuration files of the backup into a directory, with their modes; None if the backup has
    none. ``beside_another``: a server works in the data directory, and is to be stopped. ``environment`` is what starts
    the standby puts into its environment.
    """

    data_directory: str
    state_directory: str
    bindir: str
    major: int
    segment_size: int = 16 << 20
    checksums: bool = False
    config_directory: str | None = None
    from_backup: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    bring: Callable[[str], None] | None = None
    beside_another: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Furnished:
    """The scratch cluster with its configuration.

    ``config_file`` is given to the server, None for that of the data directory. ``configured`` is what all files set.
    ``unread`` is why a file cannot be read, which the server will tell as well; None if all can be.
    """

    config_file: str | None
    configured: Mapping[str, str]
    places: Relocation
    unread: Refusal | None = None


def room(standby: Standby) -> int:
    """Bytes that the rehearsal needs on the disk."""
    return _CLUSTER_BYTES + 2 * standby.segment_size


def initdb(standby: Standby, scratch: Scratch) -> None:
    """Make the cluster: with the backup's WAL segments and checksums, and in the locale C, which every host has.

    Its only role has a name that nobody logs in by. Raises StandbyError.
    """
    program = os.path.join(standby.bindir, "initdb")
    argv = [program, f"--pgdata={scratch.data}", f"--username={os.path.basename(scratch.path)}", "--auth=reject"]
    argv += ["--no-locale", "--encoding=UTF8", "-N"]  # --nosync until 9.6, --no-sync since
    if standby.major >= _SEGMENT_SIZE_SINCE:
        argv.append(f"--wal-segsize={standby.segment_size >> 20}")
    if standby.checksums:
        argv.append("--data-checksums")
    elif standby.major >= _CHECKSUMS_SINCE:
        argv.append("--no-data-checksums")
    done = LocalShell(inherited=(scratch.lock,)).run(argv, _INITDB_SECONDS)
    if done.rc != 0:
        raise StandbyError(
            Refusal(
                "rehearsal_failed",
                f"{program} makes no scratch cluster: {said_by(program, done.err) or f'exit code {done.rc}'}.",
                "see why it does not",
            ),
            stderr=done.err,
        )


def skeleton(standby: Standby, scratch: Scratch) -> None:
    """Make what looks like a cluster to `postgres --check`, without initdb. Raises OSError."""
    os.mkdir(scratch.data, 0o700)
    for name in _EMPTY:
        os.mkdir(os.path.join(scratch.data, name), 0o700)
    for name, text in {"PG_VERSION": f"{standby.major}\n", **dict.fromkeys((*_FILES, AUTO_CONF), "")}.items():
        write_atomically(os.path.join(scratch.data, name), text)


def furnish(standby: Standby, scratch: Scratch) -> Furnished:
    """Give the cluster the standby's configuration, as the copy and the recovery step would. Raises StandbyError."""
    data = scratch.data
    for name in _FILES:
        os.unlink(os.path.join(data, name))
    if standby.bring is not None:
        standby.bring(data)
    directory = standby.config_directory
    if directory is None or os.path.realpath(directory) == os.path.realpath(standby.data_directory):
        places = Relocation(standby.data_directory, ((standby.data_directory, data),))
        _relocate(data, places)
        config_file = None
    elif standby.from_backup:
        copy = os.path.join(scratch.path, "config")
        places = Relocation(standby.data_directory, ((standby.data_directory, data), (directory, copy)))
        _copy(directory, copy)
        _relocate(data, places)
        _relocate(copy, places)
        config_file = os.path.join(copy, "postgresql.conf")
        apply_strays(data, find_strays(data, copy, _read(config_file)[0], scratch.path, True))
    else:
        places = Relocation(standby.data_directory, ((standby.data_directory, data),))
        config_file = os.path.join(directory, "postgresql.conf")
        local = {name: places.path(value) for name, value in _read(config_file)[0].items()}
        apply_strays(data, find_strays(data, directory, local, scratch.path, False))
    read = config_file or os.path.join(data, "postgresql.conf")
    _recover(standby, data, _read(read)[0], own=config_file is None)
    settings, unread = _read(read)
    return Furnished(config_file, {**settings, **_recovery_files.current(data, standby.major)}, places, unread)


def _read(config_file: str) -> tuple[dict[str, str], Refusal | None]:
    """What a configuration file and its includes set; or nothing, and why one of them cannot be read."""
    try:
        return configured(config_file), None
    except StandbyError as failed:
        return {}, failed.refusal


def _recover(standby: Standby, data: str, local: Mapping[str, str], own: bool) -> None:
    """What standby_recovery would write, but for whom the standby follows: the rehearsal follows nobody."""
    harmless = neutralised(local, standby.settings, standby.major)
    wanted = {**standby.settings, **harmless}
    _recovery_files.apply(data, _recovery_files.compare(data, wanted, own, standby.major))


def _relocate(directory: str, places: Relocation) -> None:
    """Lines of the configuration that name the standby's directories by an absolute path name the scratch ones."""
    for top, _directories, names in os.walk(directory):
        for name in (name for name in names if name.endswith(".conf")):
            file = os.path.join(top, name)
            text = read_small(file) or ""
            moved = _conf.revalued(text, lambda line: places.path(line.value))
            if moved != text:
                write_atomically(file, moved, mode_of(file))


def _copy(source: str, target: str) -> None:
    """A directory of configuration files, links to files followed. What cannot be read is left out."""
    os.mkdir(target, 0o700)
    count = 0
    for top, directories, names in os.walk(source):
        place = os.path.join(target, os.path.relpath(top, source))
        for name in directories:
            os.makedirs(os.path.join(place, name), mode=0o700, exist_ok=True)
        for name in names:
            file = os.path.join(top, name)
            with contextlib.suppress(OSError):
                if count < _MOST and os.path.isfile(file) and os.path.getsize(file) <= _LARGEST:
                    shutil.copy2(file, os.path.join(place, name))
                    count += 1
