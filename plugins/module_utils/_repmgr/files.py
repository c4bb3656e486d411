# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""repmgr.conf read from disk, with the files that it includes. Private to the collection."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.conf import lenient, strict

__all__ = ["RepmgrConf", "load"]

# repmgr counts each level twice and ends at ten.
_DEPTH = 5


@dataclass
class RepmgrConf:
    """What the files set, in order. ``syntax`` is 5 or 4; ``refused`` are the places that repmgr 5 does not take."""

    syntax: str = "5"
    settings: list[tuple[str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def load(path: str) -> RepmgrConf:
    """Read the file by the rules of repmgr 5, or by those of repmgr 4 if it is of that kind. Raises StandbyError."""
    found = RepmgrConf()
    _follow(found, path, "", 0)
    if not found.refused:
        return found
    old = lenient(_text(path))
    # repmgr 4 knows no includes, so a file that has one was not written for it.
    if old.refused or any(line.name.lower() in _conf.INCLUDES for line in old.lines):
        # The line itself is not shown: it may hold a password.
        raise _invalid(f"repmgr cannot read line {found.refused[0]}")
    settings = [(line.name, line.value) for line in old.lines]
    return RepmgrConf("4", settings, found.files, found.refused)


def _follow(found: RepmgrConf, path: str, caller: str, depth: int) -> None:
    if depth > _DEPTH or path == caller:
        raise _invalid(f"{path} is included by itself, or too deep")
    found.files.append(path)
    text = strict(_text(path))
    found.refused += [f"{path}:{number}" for number in text.refused]
    for line in text.lines:
        kind = line.name.lower()
        if kind not in _conf.INCLUDES:
            found.settings.append((line.name, line.value))
            continue
        if not line.value.strip():
            raise _invalid(f"{path}:{line.number} includes a file without a name")
        for included in _included(kind, os.path.normpath(os.path.join(os.path.dirname(path), line.value))):
            _follow(found, included, path, depth + 1)


def _included(kind: str, path: str) -> list[str]:
    if kind == "include":
        return [path]
    if kind == "include_if_exists":
        return [path] if os.path.exists(path) else []
    try:
        names = sorted(os.listdir(path), key=os.fsencode)
    except OSError as failed:
        raise _unreadable(path, failed) from failed
    wanted = [name for name in names if name.endswith(".conf") and not name.startswith(".")]
    return [full for full in (os.path.join(path, name) for name in wanted) if not os.path.isdir(full)]


def _text(path: str) -> str:
    try:
        text = read_small(path)
    except OSError as failed:
        raise _unreadable(path, failed) from failed
    if text is None:
        raise StandbyError(
            Refusal(
                "repmgr_conf_missing",
                f"There is no {path}.",
                "give the path of the file in the option path; packages also put it below /etc/repmgr,"
                " and `repmgr --verbose node check` shows which file repmgr uses",
            )
        )
    return text


def _unreadable(path: str, failed: OSError) -> StandbyError:
    return StandbyError(
        Refusal(
            "repmgr_conf_unreadable",
            f"Cannot read {path}: {failed.strerror}.",
            "run the task as the user that repmgr runs as, or as root",
        )
    )


def _invalid(why: str) -> StandbyError:
    return StandbyError(Refusal("repmgr_conf_invalid", f"{why}.", "correct that file; repmgr refuses it, too"))
