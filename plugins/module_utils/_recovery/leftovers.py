# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copied or a local configuration says that must not act on a standby, and how that is undone. Pure.

Private to the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import (
    LEFTOVERS,
    PLACES,
    harmless_values,
)

__all__ = ["foreign_paths", "includes_at", "neutralised", "without_leftovers"]


def without_leftovers(text: str, settings: Mapping[str, str] | None = None) -> str:
    """A copied postgresql.auto.conf that does nothing on its own when the server is started as a standby.

    ``settings`` are added: a start needs them.
    """
    return _conf.edit(text, settings or {}, LEFTOVERS)


def neutralised(
    configured: Mapping[str, str], wanted: Mapping[str, str], major: int, auto_conf: str = ""
) -> dict[str, str]:
    """Settings that must not act on a standby although a configuration file makes them, with harmless values.

    ``configured`` is what postgresql.conf and its includes set. ``auto_conf`` is the text of postgresql.auto.conf,
    which is read after them and wins: what ALTER SYSTEM has put there stays, the leftovers excepted. A setting that is
    ``wanted`` stays.
    """
    stays = {item.name: item.value for item in _conf.read(auto_conf) if item.name not in LEFTOVERS}
    found = harmless_values({**configured, **stays}, major)
    return {name: value for name, value in found.items() if name not in wanted}


def includes_at(text: str, place: Callable[[str], str]) -> str:
    """A configuration file whose includes name the places that ``place`` gives for those that they name now."""
    return _conf.revalued(text, lambda line: place(line.value) if line.name in _conf.INCLUDES else line.value)


def foreign_paths(text: str, stays: Callable[[str, str], bool]) -> str:
    """A postgresql.conf copied from another host, with the lines turned into comments that name places of that host.

    ``stays`` says of a setting and its value whether the line is right on this host.
    """
    named = {*PLACES, *_conf.INCLUDES}
    places = [setting for setting in _conf.read(text) if setting.name in named]
    foreign = {setting.line for setting in places if not stays(setting.name, setting.value)}
    lines = text.split("\n")
    return "\n".join(f"#(other host) {line}" if number in foreign else line for number, line in enumerate(lines))
