# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files of a data directory say about recovery, what they should say, and the careful change.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._files import mode_of, read_small, write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import (
    AUTO_CONF,
    RECOVERY_CONF,
    needs_signal,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import masked_conninfo
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import configured
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.leftovers import (
    neutralised,
    without_leftovers,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.own_configuration import localised
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import LEFTOVERS, home

__all__ = ["FileChange", "apply", "calm", "compare", "current", "shown", "stand_by"]

_SIGNAL = "# Written by pgfleet.standby: this server follows an upstream.\n"

_MODE = "# Written by pgfleet.standby: this server follows an upstream.\nstandby_mode = 'on'\n"


@dataclass(frozen=True)
class FileChange:
    """What differs. ``before`` and ``after`` are the settings that differ, secrets masked."""

    before: Mapping[str, str]
    after: Mapping[str, str]
    texts: Mapping[str, str]
    obsolete: tuple[str, ...]

    @property
    def settings(self) -> list[str]:
        """The names of the settings whose value changes."""
        return sorted(set(self.before) | set(self.after))

    @property
    def files(self) -> list[str]:
        """Every file that is written or removed."""
        return sorted([*self.texts, *self.obsolete])


def compare(data_directory: str, wanted: Mapping[str, str], own_configuration: bool, major: int) -> FileChange:
    """What has to change. ``own_configuration``: the server reads the postgresql.conf in the data directory."""
    old = {name: _read(data_directory, name) for name in (AUTO_CONF, RECOVERY_CONF)}
    new = _texts(old, wanted, major)
    changed = {name: text for name, text in new.items() if text != old[name]}
    if needs_signal(major):
        if not os.path.exists(os.path.join(data_directory, "standby.signal")):
            changed = {"standby.signal": _SIGNAL, **changed}
        obsolete: tuple[str, ...] = ("recovery.signal", RECOVERY_CONF)
    else:
        obsolete = ("recovery.done",)
    if own_configuration:
        changed.update(localised(data_directory))
    before, after = (_values(side[name] for name in new) for side in (old, new))
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return FileChange(
        before=shown({name: before[name] for name in names if name in before}),
        after=shown({name: after[name] for name in names if name in after}),
        texts=changed,
        obsolete=tuple(name for name in obsolete if os.path.lexists(os.path.join(data_directory, name))),
    )


def apply(data_directory: str, change: FileChange) -> None:
    """Make the change. What makes a server a standby comes first: after a crash none must start as a primary."""
    first = [name for name in ("standby.signal", RECOVERY_CONF) if name in change.texts]
    for name in [*first, *(name for name in change.texts if name not in first)]:
        path = os.path.join(data_directory, name)
        write_atomically(path, change.texts[name], mode_of(path) & _allowed(data_directory, name))
    for name in change.obsolete:
        os.unlink(os.path.join(data_directory, name))


def _allowed(data_directory: str, name: str) -> int:
    """The most that a file's mode may be: one that may tell how to log in is as private as its directory.

    So is what the server itself writes (PostgreSQL source, file_perm.c, SetDataDirectoryCreatePerm).
    """
    if name not in (AUTO_CONF, RECOVERY_CONF):
        return 0o777
    return 0o640 if os.stat(data_directory).st_mode & 0o040 else 0o600


def stand_by(data_directory: str, major: int, mode: int) -> None:
    """Make sure that a server started on the directory waits for an upstream, whatever else is set.

    Raises StandbyError.
    """
    if needs_signal(major):
        write_atomically(os.path.join(data_directory, "standby.signal"), _SIGNAL, mode)
    else:
        write_atomically(os.path.join(data_directory, RECOVERY_CONF), _MODE, mode)


def calm(data_directory: str, major: int, mode: int, settings: Mapping[str, str] | None = None) -> None:
    """Make sure that a server started on the directory neither ends its recovery nor does what its source did.

    What its own postgresql.auto.conf says of that goes, and what its postgresql.conf says is overruled there.
    ``settings`` are added: a start needs them. Raises StandbyError.
    """
    added = dict(settings or {})
    auto_conf = _read(data_directory, AUTO_CONF)
    harmless = neutralised(configured(os.path.join(data_directory, "postgresql.conf")), added, major, auto_conf)
    text = without_leftovers(auto_conf, {**added, **harmless})
    write_atomically(os.path.join(data_directory, AUTO_CONF), text, mode)


def current(data_directory: str, major: int) -> dict[str, str]:
    """The settings that the files of the data directory hold now, secrets as they are."""
    return _values(
        _read(data_directory, name) for name in (AUTO_CONF, *([] if needs_signal(major) else [RECOVERY_CONF]))
    )


def _texts(old: Mapping[str, str], wanted: Mapping[str, str], major: int) -> dict[str, str]:
    """The files that hold recovery settings, as they should be. ``old`` are their texts now, by name."""
    names = (AUTO_CONF,) if needs_signal(major) else (AUTO_CONF, RECOVERY_CONF)
    given = dict(wanted) if needs_signal(major) else {"standby_mode": "on", **wanted}
    parts = {file: {name: value for name, value in given.items() if home(name, major) == file} for file in names}
    return {file: _conf.edit(old.get(file, ""), part, LEFTOVERS) for file, part in parts.items()}


def _read(data_directory: str, name: str) -> str:
    return read_small(os.path.join(data_directory, name)) or ""


def _values(files: Iterable[str]) -> dict[str, str]:
    return {setting.name: setting.value for text in files for setting in _conf.read(text)}


def shown(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings for people and logs."""
    return {name: masked_conninfo(value) if name == "primary_conninfo" else value for name, value in settings.items()}
