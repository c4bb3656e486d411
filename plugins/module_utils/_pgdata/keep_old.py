# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that is to be replaced is renamed aside instead, and can be started there.

Nothing that was renamed is ever removed. Private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import (
    fsync_directory,
    is_empty,
    mount_points,
    private_directory,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.marks import moved_from
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.paths import overlaps
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import links
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, all_in_one, problem, refusals

__all__ = ["KeepOldPlan", "KeptPlace", "observe", "plan_keep_old", "recorded_keep_old", "rename_aside", "still_to_keep"]

_SUFFIX = ".old"

_CODE = "keep_old"


@dataclass(frozen=True)
class KeptPlace:
    """A directory of the old cluster that is in the way, by its real path.

    ``mount_points`` are those at it and below it; ``writable``: whether we may rename it and make another one in its
    place; ``taken``: whether there is something of the name that it would get.
    """

    path: str
    exists: bool = True
    mount_points: tuple[str, ...] = ()
    writable: bool = True
    taken: bool = False

    @property
    def kept(self) -> str:
        """What it is called when it has been kept."""
        return self.path + _SUFFIX


@dataclass(frozen=True)
class KeepOldPlan:
    """What is renamed, in this order, the data directory first; and the links of the kept cluster that have to change.

    ``links`` are by their names in the cluster, such as ``pg_tblspc/16388``.
    """

    moves: tuple[tuple[str, str], ...]
    links: dict[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> tuple[str, ...]:
        """Where everything is afterwards."""
        return tuple(target for _source, target in self.moves)

    @property
    def record(self) -> dict[str, Any]:
        """What a run that goes on with it needs to know."""
        return {"moves": [list(move) for move in self.moves], "links": self.links}


def recorded_keep_old(state: Mapping[str, Any]) -> KeepOldPlan | None:
    """What a run had begun to rename when it was interrupted; None when that is not what it was at."""
    if state.get("phase") != "keeping":
        return None
    moves = tuple((str(source), str(target)) for source, target in state.get("moves", ()))
    return KeepOldPlan(moves, dict(state.get("links", {})))


def still_to_keep(keep_plan: KeepOldPlan, state: Mapping[str, Any]) -> KeepOldPlan:
    """The plan of a record without what has come to one of its paths since: that is not to be renamed."""
    known = (move for move in keep_plan.moves if moved_from(state, *move) or moved_from(state, move[0], move[0]))
    return replace(keep_plan, moves=tuple(known))


# --- before ---------------------------------------------------------------------------
def observe(data_directory: str, reused: Iterable[str]) -> tuple[list[KeptPlace], dict[str, str]]:
    """The data directory, those of ``reused`` that its cluster uses, and the links of that cluster. Reads only."""
    found = links(data_directory)
    used = {os.path.realpath(path) for path in reused} & set(found.values())
    mounted = mount_points()
    places = [_look(path, mounted) for path in (os.path.realpath(data_directory), *sorted(used))]
    return places, found


def _look(path: str, mounted: Sequence[str]) -> KeptPlace:
    return KeptPlace(
        path,
        os.path.isdir(path),
        tuple(point for point in mounted if point == path or point.startswith(path + "/")),
        _may_rename(path),
        os.path.lexists(path + _SUFFIX),
    )


def _may_rename(path: str) -> bool:
    parent = os.path.dirname(path)
    if not os.access(parent, os.W_OK | os.X_OK):
        return False
    above = os.stat(parent)
    if not above.st_mode & stat.S_ISVTX or os.geteuid() == 0:
        return True
    # In a directory like /tmp everybody may write but rename only what is his own.
    owners = {above.st_uid, os.lstat(path).st_uid if os.path.lexists(path) else os.geteuid()}
    return os.geteuid() in owners


def plan_keep_old(places: Sequence[KeptPlace], found: Mapping[str, str], written: Iterable[str]) -> KeepOldPlan:
    """What has to be renamed and linked anew. Pure.

    ``places`` and ``found`` are what ``observe`` found, ``written`` are all real paths that the copy is to write.
    Raises StandbyError with all reasons why it cannot be done.
    """
    problems = [problem for place in places for problem in _problems(place)]
    clash = overlaps([*written, *(place.kept for place in places)])
    if clash is not None and not problems:
        problems.append(
            problem(
                _CODE,
                Refusal(
                    "path_overlap",
                    f"What is kept would be in the way of the copy: {clash[0]} and {clash[1]} overlap.",
                    "choose another data_directory, tablespace_mapping or waldir",
                ),
            )
        )
    if problems:
        raise _refusal(problems)
    anew = {name: _anew(target, places) for name, target in found.items()}
    return KeepOldPlan(
        tuple((place.path, place.kept) for place in places if place.exists),
        {name: target for name, target in anew.items() if target != found[name]},
    )


def _anew(target: str, places: Sequence[KeptPlace]) -> str:
    """Where a link has to lead when the places have been renamed; a tablespace may be inside of the data directory."""
    for place in places:
        if target == place.path or target.startswith(place.path + "/"):
            return place.kept + target[len(place.path) :]
    return target


def _problems(place: KeptPlace) -> list[Verdict]:
    found = []
    if place.mount_points:
        found.append(
            problem(
                _CODE,
                Refusal(
                    "keep_old_mount_point",
                    f"{place.path} cannot be kept as {place.kept}: {', '.join(place.mount_points)} is a mount point,"
                    " which"
                    " cannot be renamed.",
                    "go on without keep_old, or move the cluster yourself",
                ),
            )
        )
    elif place.exists and not place.writable:
        found.append(
            problem(
                _CODE,
                Refusal(
                    "keep_old_parent",
                    f"{place.path} cannot be kept as {place.kept}: this user may not rename it in its parent"
                    " directory.",
                    "give that to the database's OS user, or go on without keep_old",
                ),
            )
        )
    if place.taken:
        found.append(
            problem(
                _CODE,
                Refusal(
                    "keep_old_exists",
                    f"{place.path} cannot be kept as {place.kept}, which exists already and is never removed by"
                    " itself.",
                    "look at it, and remove it or rename it yourself",
                ),
            )
        )
    return found


def _refusal(problems: Sequence[Verdict]) -> StandbyError:
    codes = [str(problem.error_code) for problem in problems]
    return StandbyError(all_in_one(codes[0], "Nothing was changed.", refusals(problems)), error_codes=codes)


# --- the act --------------------------------------------------------------------------
def rename_aside(keep_plan: KeepOldPlan) -> None:
    """Rename, link anew, and make empty directories in place of what was renamed.

    Everything is durable when it returns. After an interruption another call goes on. Raises StandbyError.
    """
    for source, target in keep_plan.moves:
        with _explained(source, target):
            _rename(source, target)
    top = keep_plan.moves[0][1]
    for name, target in keep_plan.links.items():
        link = os.path.join(top, name)
        with _explained(link, target):
            _point(link, target)
    for source, _target in keep_plan.moves:
        private_directory(source)


def _rename(source: str, target: str) -> None:
    if not os.path.lexists(target):
        if os.path.lexists(source):
            os.rename(source, target)
            fsync_directory(os.path.dirname(target))
    elif not is_empty(source):  # an earlier call may have renamed it and made an empty one
        raise FileExistsError(errno.EEXIST, "the second one exists already")


def _point(link: str, target: str) -> None:
    """Let a link lead elsewhere; at no moment is there none."""
    if not os.path.islink(link) or os.readlink(link) == target:
        return
    new = link + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    os.symlink(target, new)
    os.rename(new, link)
    fsync_directory(os.path.dirname(link))


@contextlib.contextmanager
def _explained(source: str, target: str) -> Iterator[None]:
    try:
        yield
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "keep_old_failed",
                f"The old cluster cannot be kept: {source} could not become, or lead to, {target}: {failed.strerror}."
                " Nothing of it was removed, and a new run goes on where this one stopped.",
                "look at both, and correct what is named",
            )
        ) from failed
