# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recovery settings of one data directory: what is there, what is wanted, and the careful change.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils import _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._datadir import place_exists, read_small, write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery import LEFTOVERS, foreign_paths
from ansible_collections.pgfleet.standby.plugins.module_utils._server import masked_conninfo

__all__ = ["Change", "apply", "compare", "shown"]

_SIGNAL = "# Written by pgfleet.standby: this server follows an upstream.\n"
_OBSOLETE = ("recovery.signal", "recovery.conf")


@dataclass(frozen=True)
class Change:
    """What differs. ``before`` and ``after`` are the settings that differ, secrets masked."""

    before: Mapping[str, str]
    after: Mapping[str, str]
    texts: Mapping[str, str]
    obsolete: tuple[str, ...]
    signal_missing: bool

    @property
    def settings(self) -> list[str]:
        """The names of the settings whose value changes."""
        return sorted(set(self.before) | set(self.after))

    @property
    def files(self) -> list[str]:
        """Every file that is written or removed."""
        return sorted([*self.texts, *self.obsolete, *(["standby.signal"] if self.signal_missing else [])])


def compare(data_directory: str, wanted: Mapping[str, str], own_configuration: bool) -> Change:
    """What has to change. ``own_configuration``: the data directory holds the server's postgresql.conf."""
    old = read_small(os.path.join(data_directory, "postgresql.auto.conf")) or ""
    new = _conf.edit(old, wanted, LEFTOVERS)
    texts = {} if new == old else {"postgresql.auto.conf": new}
    if own_configuration:
        copied = read_small(os.path.join(data_directory, "postgresql.conf")) or ""
        localised = foreign_paths(copied, lambda name, value: place_exists(data_directory, name, value))
        if localised != copied:
            texts["postgresql.conf"] = localised
    before, after = _values(old), _values(new)
    names = {name for name in set(before) | set(after) if before.get(name) != after.get(name)}
    return Change(
        before=shown({name: before[name] for name in sorted(names & set(before))}),
        after=shown({name: after[name] for name in sorted(names & set(after))}),
        texts=texts,
        obsolete=tuple(name for name in _OBSOLETE if os.path.lexists(os.path.join(data_directory, name))),
        signal_missing=not os.path.exists(os.path.join(data_directory, "standby.signal")),
    )


def apply(data_directory: str, change: Change) -> None:
    """Make the change; the signal first, so that no crash leaves a directory that starts as a primary."""
    if change.signal_missing:
        write_atomically(os.path.join(data_directory, "standby.signal"), _SIGNAL)
    for name, text in change.texts.items():
        write_atomically(os.path.join(data_directory, name), text)
    for name in change.obsolete:
        os.unlink(os.path.join(data_directory, name))


def _values(text: str) -> dict[str, str]:
    return {setting.name: setting.value for setting in _conf.read(text)}


def shown(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings for people and logs."""
    return {name: masked_conninfo(value) if name == "primary_conninfo" else value for name, value in settings.items()}
