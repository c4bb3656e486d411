# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which configuration file the server of a copy or of a directory will read, and which limits it sets there.

Changes nothing. Private to the collection.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL, Archive, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.remote_files import fetch
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import configuration as _configuration
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small, write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_size_of
from ansible_collections.pgfleet.standby.plugins.module_utils._model import HOT_STANDBY_SETTINGS, Backup, ControlData
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import control_data
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import place_exists
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import libraries_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import (
    configured_data_directory,
    effective,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.leftovers import (
    foreign_paths,
    includes_at,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.own_configuration import (
    localised,
    named_files,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict

__all__ = ["Configuration", "ConfigurationPlaces", "of_backup", "of_directory", "of_upstream"]

# What is fetched at once of the configuration that a backup may carry in its data directory. What else it includes is
# known when that has been read.
_CARRIED = re.compile(r"[^/]+\.conf|conf\.d/[^/]+\.conf")

# Libraries that the server loads at its start, and at each login. The last are in a directory of their own
# (PostgreSQL manual of 18, 19.11.3 "Shared Library Preloading").
_PRELOADS = ("shared_preload_libraries", "session_preload_libraries", "local_preload_libraries")
_HOT_STANDBY = "hot_standby"

# Where the role has Debian's packaging make the cluster that comes with a new configuration.
_REGISTERING = re.compile(r"/var/lib/pgfleet-[^/]+/initdb")


@dataclass(frozen=True)
class ConfigurationPlaces:
    """``directory`` holds postgresql.conf when the data directory does not; ``created``: the packaging will make it.

    ``from_backup``: that of the backup will take its place.
    """

    data_directory: str
    bindir: str
    directory: str | None = None
    created: bool = False
    from_backup: bool = False


@dataclass(frozen=True)
class Configuration:
    """``limits`` are a hot standby's settings as the server would have them; None if there is no configuration.

    ``control`` is the backup's, or the directory's; of a packed backup it holds what the catalogue tells, and no
    limits and no block size (0). It is None for a copy that has not been taken yet. ``lets_in``: a standby with this
    configuration takes connections.
    """

    control: ControlData | None
    verdicts: tuple[Verdict, ...]
    limits: dict[str, int] | None = None
    preload: str = ""
    lets_in: bool = True


def of_backup(barman_host: BarmanHost, backup: Backup, root: Root, places: ConfigurationPlaces) -> Configuration:
    """The configuration that a clone of the backup will have. Its small files are fetched, read and removed.

    Raises StandbyError.
    """
    if root.archive is not None:
        return _of_tar(backup, root, root.archive, places)
    with _fetched(barman_host, root, places.data_directory) as scratch:
        control = control_data(scratch, f"Backup {backup.backup_id}")
        named, read = _file(scratch, places)
        return _read(named, read, scratch, control, places)


def _of_tar(backup: Backup, root: Root, archive: Archive, places: ConfigurationPlaces) -> Configuration:
    """From Barman's catalogue alone: to read one file of a tar means to read the whole tar."""
    pairs = [(backup.begin_wal, backup.begin_lsn), (backup.end_wal, backup.end_lsn)]
    control = ControlData(
        system_identifier=backup.system_identifier or "",
        state="",
        timeline=backup.timeline or 0,
        checkpoint_lsn=backup.begin_lsn or "0/0",
        block_size=0,
        wal_segment_size=segment_size_of(*((name, parse_lsn(lsn)) for name, lsn in pairs if name and lsn)),
        data_checksums=False,
    )
    if (places.directory is None or places.from_backup) and "postgresql.conf" in root.files.paths:
        named = os.path.join(places.directory or places.data_directory, "postgresql.conf")
        said = f"{named} comes out of {archive.path}, and can only be looked at when that has been unpacked"
        return Configuration(control, (Verdict("configuration", "ok", said),))
    with tempfile.TemporaryDirectory(prefix="pgfleet.") as scratch:
        named, read = _file(scratch, places)
        return _read(named, read, scratch, control, places)


def of_directory(control: ControlData, places: ConfigurationPlaces) -> Configuration:
    """The configuration of the cluster that is there. Raises StandbyError."""
    named = os.path.join(places.directory or places.data_directory, "postgresql.conf")
    read = named if os.path.exists(named) else None
    return _read(named, read, places.data_directory, control, places)


def of_upstream(places: ConfigurationPlaces, elsewhere: str | None = None) -> Configuration:
    """The configuration that a copy of the upstream by pg_basebackup will have. Raises StandbyError.

    ``elsewhere`` is the upstream's configuration file, if the upstream says that it is not in its data directory.
    """
    if places.directory is None and elsewhere is not None:
        return Configuration(None, (_configuration.not_copied(places.data_directory, elsewhere),))
    if places.directory is None or (places.from_backup and elsewhere is None):
        said = "the configuration comes with the copy, if the upstream keeps it in its data directory"
        return Configuration(None, (Verdict("configuration", "ok", said),))
    places = replace(places, from_backup=False)  # none comes, and the host's own stays
    with tempfile.TemporaryDirectory(prefix="pgfleet.") as scratch:
        named, read = _file(scratch, places)
        return _read(named, read, scratch, None, places)


@contextmanager
def _fetched(barman_host: BarmanHost, root: Root, data_directory: str) -> Iterator[str]:
    """A directory with the backup's pg_control and its configuration, whatever files that includes."""
    with tempfile.TemporaryDirectory(prefix="pgfleet.") as scratch:
        os.mkdir(os.path.join(scratch, "global"), 0o700)
        names = [CONTROL, *filter(_CARRIED.fullmatch, root.files.paths)]
        while names:
            for path in names:
                os.makedirs(os.path.join(scratch, os.path.dirname(path)), exist_ok=True)
            fetch(barman_host, root.source, names, scratch)
            missing = named_files(scratch, data_directory, root.files.paths)
            names = [path for path in missing if path not in names]
        yield scratch


def _file(scratch: str, places: ConfigurationPlaces) -> tuple[str, str | None]:
    """The configuration file that the server will have, and the file to read for it now, if there is any."""
    if places.directory is None or places.from_backup:
        named = os.path.join(places.directory or places.data_directory, "postgresql.conf")
        read = os.path.join(scratch, "postgresql.conf")
        text = read_small(read)
        if text is None:
            return named, None
        here = places.directory
        if here is None:
            texts = localised(scratch, places.data_directory)
        else:  # it goes where the host's own is now, and includes what is there
            own = foreign_paths(text, lambda name, value: place_exists(here, name, value))
            texts = {"postgresql.conf": includes_at(own, lambda value: os.path.join(here, value))}
        for name, changed in texts.items():
            write_atomically(os.path.join(scratch, name), changed)
        return named, read
    named = os.path.join(places.directory, "postgresql.conf")
    if os.path.exists(named):
        return named, named
    if not places.created:
        return named, None
    # The packaging will make one that leaves the settings in question at their defaults.
    read = os.path.join(scratch, "packaged.conf")
    write_atomically(read, "# defaults\n")
    return named, read


def _preloaded(shared: str, session: str, local: str) -> str:
    """All that is preloaded, as one list."""
    names = (name if "/" in name else f"$libdir/plugins/{name}" for name in libraries_of(local))
    return ", ".join([*filter(None, (shared, session)), *(f'"{name}"' for name in names)])


def _read(
    named: str, read: str | None, data_directory: str, control: ControlData | None, places: ConfigurationPlaces
) -> Configuration:
    elsewhere = places.directory is not None and read == named
    sets = configured_data_directory(places.bindir, named) if elsewhere else None
    if sets is not None and _REGISTERING.fullmatch(sets):
        sets = None  # the role had the packaging make this configuration, and is about to correct it
    verdicts = _configuration.configuration(named, read is not None, sets, places.data_directory)
    if read is None:
        return Configuration(control, tuple(verdicts))
    names = (*HOT_STANDBY_SETTINGS, *_PRELOADS, _HOT_STANDBY)
    values = effective(places.bindir, read, data_directory, names)
    preload = _preloaded(*(values.pop(name) for name in _PRELOADS))
    lets_in = values.pop(_HOT_STANDBY) != "off"
    limits = {name: int(value) for name, value in values.items()}
    return Configuration(control, tuple(verdicts), limits, preload, lets_in)
