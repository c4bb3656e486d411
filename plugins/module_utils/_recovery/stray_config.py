# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which configuration files a backup left in the data directory of a server that has its own elsewhere; their removal.

A primary on Debian keeps postgresql.conf, pg_hba.conf and pg_ident.conf outside of its data directory. Barman's rsync
backups carry these files, and a restore puts them into the data directory, where they look as if the server read
them. Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._files import (
    fsync_directory,
    mode_of,
    private_directory,
    read_small,
    write_atomically,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import place_exists
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.leftovers import foreign_paths
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import PLACES

__all__ = ["Strays", "apply_strays", "find_strays"]

_NAMES = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")

# The settings of the host's own postgresql.conf that stay when the primary's takes its place: they name places of this
# host.
# config_file names the file itself, and has no effect in it.
_LOCAL = tuple(name for name in PLACES if name != "config_file")


@dataclass(frozen=True)
class Strays:
    """``names`` are in the data directory and go ``aside``; ``texts`` are files to write, by their paths."""

    aside: str
    names: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)


def find_strays(
    data_directory: str, config_directory: str, local: Mapping[str, str], state_directory: str, from_backup: bool
) -> Strays:
    """Which files are strays, and what has to be written. ``from_backup``: they replace those in ``config_directory``.

    ``local`` is what the postgresql.conf there and its includes set. A file that it names is no stray.
    """
    aside = os.path.join(state_directory, "from_backup")
    if os.path.realpath(data_directory) == os.path.realpath(config_directory):
        return Strays(aside)
    used = {os.path.realpath(local[name]) for name in ("hba_file", "ident_file") if name in local}
    here = (name for name in _NAMES if os.path.isfile(os.path.join(data_directory, name)))
    names = tuple(name for name in here if os.path.realpath(os.path.join(data_directory, name)) not in used)
    if not from_backup or _NAMES[0] not in names:
        return Strays(aside, names)
    read = {name: read_small(os.path.join(data_directory, name)) or "" for name in names}
    places = {name: local[name] for name in _LOCAL if name in local}
    stays = {"data_directory": data_directory, **places}
    text = foreign_paths(
        read[_NAMES[0]], lambda name, value: name not in stays and place_exists(config_directory, name, value)
    )
    texts = {**read, _NAMES[0]: _conf.edit(text, stays)}
    return Strays(aside, names, {os.path.join(config_directory, name): text for name, text in texts.items()})


def apply_strays(data_directory: str, strays: Strays) -> None:
    """Move replaced and stray files aside, and write the new ones. Raises StandbyError."""
    if not strays.names:
        return
    private_directory(strays.aside)
    for path, text in strays.texts.items():
        before = read_small(path)
        if before is not None:
            write_atomically(os.path.join(strays.aside, f"{os.path.basename(path)}.local"), before)
        # Others than the server may read it: Debian's own programs do.
        write_atomically(path, text, mode_of(path))
    for name in strays.names:
        source = os.path.join(data_directory, name)
        write_atomically(os.path.join(strays.aside, name), read_small(source) or "")
        os.unlink(source)
    fsync_directory(data_directory)
