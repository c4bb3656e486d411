# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration that a data directory holds itself: all files of it, and what they say of another host's places.

A postgresql.conf includes others: by a file's name or a directory's, relative to the file that has the line, and these
include again (PostgreSQL manual of 18, 19.1.2 "Parameter Interaction via the Configuration File"). Private to the
collection.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial

from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import place_exists
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import included_files
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.leftovers import foreign_paths, includes_at

__all__ = ["localised", "named_files"]

_FIRST = "postgresql.conf"


def localised(directory: str, becomes: str | None = None) -> dict[str, str]:
    """The files that have to change so that they speak of this host, with their new texts, by their paths in it.

    The configuration begins with postgresql.conf. Of what it includes those files count that are in the directory, and
    no link is followed out of it. ``becomes``: the directory is a copy of what will be there; includes by that path
    lead into the copy. Raises StandbyError for a directory that cannot be listed.
    """
    top = os.path.realpath(directory)
    changed: dict[str, str] = {}
    pending, seen = [_FIRST], {_FIRST}
    while pending:
        name = pending.pop()
        text = read_small(os.path.join(top, name))
        if text is None:
            continue
        base = os.path.dirname(os.path.join(top, name))
        here = includes_at(text, lambda value: _moved(value, becomes, top)) if becomes is not None else text
        new = foreign_paths(here, partial(_is_here, top, base))
        if new != text:
            changed[name] = new
        found = (_own(top, path) for path in _included(new, base))
        new_names = [own for own in found if own is not None and own not in seen]
        seen.update(new_names)
        pending += new_names
    return changed


def named_files(directory: str, becomes: str, paths: Iterable[str]) -> list[str]:
    """Of a backup's ``paths`` those that belong to the configuration and are not in the ``directory`` yet.

    The directory holds a part of the backup, which will be at ``becomes``.
    """
    everything = list(paths)
    pending, seen, missing = [_FIRST] if _FIRST in everything else [], {_FIRST}, []
    while pending:
        name = pending.pop()
        text = read_small(os.path.join(directory, name))
        if text is None:
            missing.append(name)
            continue
        base = os.path.join(becomes, os.path.dirname(name))
        for setting in _conf.read(text):
            path = os.path.relpath(os.path.join(base, setting.value), becomes)
            found = _of_include(setting.name, path, everything) if setting.name in _conf.INCLUDES else []
            pending += [own for own in found if own not in seen]
            seen.update(found)
    return sorted(missing)


def _of_include(kind: str, path: str, paths: Iterable[str]) -> list[str]:
    if kind != "include_dir":
        return [found for found in paths if found == path]
    inside = "" if path == "." else f"{path}/"
    names = ((found, found[len(inside) :]) for found in paths if found.startswith(inside))
    return [found for found, name in names if "/" not in name and name.endswith(".conf") and not name.startswith(".")]


def _moved(value: str, becomes: str, top: str) -> str:
    return os.path.join(top, os.path.relpath(value, becomes)) if value.startswith(f"{becomes}/") else value


def _is_here(top: str, base: str, setting: str, value: str) -> bool:
    return place_exists(base if setting in _conf.INCLUDES else top, setting, value)


def _included(text: str, base: str) -> list[str]:
    settings = (setting for setting in _conf.read(text) if setting.name in _conf.INCLUDES)
    return [path for setting in settings for path in included_files(setting.name, os.path.join(base, setting.value))]


def _own(top: str, path: str) -> str | None:
    """A file's path in the directory, None for what is none of its files."""
    real = os.path.realpath(path)
    return os.path.relpath(real, top) if real.startswith(f"{top}/") and os.path.isfile(real) else None
