# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories of a standby that are missing, made by root without doing what another user has planned for root.

A path is walked by descriptors, one name at a time. The database's OS user makes a directory himself if he may write
there. Root makes one only in a directory that root alone may write to, and gives away nothing but what root has just
made. What exists keeps its owner and its mode. Private to the collection.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import OsUser, acting_as, user_name

__all__ = ["Sight", "look", "prepare", "who_makes"]

# As many links as the kernel follows in one path (path_resolution(7)).
_LINKS = 40

_ROOT = 0

_NOTHING_MADE = "Nothing was made."

_SEARCH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Place(NamedTuple):
    """Where a walk has ended: the deepest directory, the names that are missing below it, and the first link on the way
    that another user than root may have made."""

    fd: int
    missing: tuple[str, ...]
    link: str | None


def prepare(wanted: Mapping[str, str], user: OsUser, only_look: bool = False) -> list[str]:
    """Make the directories that are missing, with those above them; the paths of all that were made, or would be.

    ``wanted`` are absolute paths by the names that messages use for them. What is made belongs to the OS user and has
    mode 0700. Raises StandbyError; a refusal comes before anything is made.
    """
    missing: list[str] = []
    for role, path in wanted.items():
        sight = look(role, path, user)
        who_makes(role, path, sight, user.name, os.geteuid() == _ROOT)
        above = [os.path.join(sight.real, *sight.missing[:count]) for count in range(1, len(sight.missing) + 1)]
        missing += [directory for directory in above if directory not in missing]
    if not only_look:
        for role, path in wanted.items():
            _make(role, path, user)
    return missing


def look(role: str, path: str, user: OsUser) -> Sight:
    """What there is of a directory. Changes nothing; raises StandbyError if that cannot be seen or is no directory."""
    place = _walk(role, path)
    try:
        return _sight(place, user)
    finally:
        os.close(place.fd)


def _sight(place: _Place, user: OsUser) -> Sight:
    status = os.fstat(place.fd)
    return Sight(
        os.readlink(f"/proc/self/fd/{place.fd}"),
        place.missing,
        owner=user_name(status.st_uid),
        owned=status.st_uid == user.uid,
        writable=_may_write(place.fd, user),
        roots_own=_is_roots(status),
        link=place.link,
    )


def _make(role: str, path: str, user: OsUser) -> None:
    """Look once more, for a directory that was just made may be the parent of this one, and make what is missing.

    Raises StandbyError.
    """
    place = _walk(role, path)
    fd, before = place.fd, os.umask(0o077)
    try:
        maker = who_makes(role, path, _sight(place, user), user.name, os.geteuid() == _ROOT)
        for name in place.missing:
            below = _made_by_root(fd, name, user) if maker == "root" else _made_by_user(fd, name, user)
            os.close(fd)
            fd, maker = below, "user"
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "directory_not_writable",
                f"Cannot make {role} {path}: {failed.strerror}.",
                f"make it yourself, owned by {user.name} and with mode 0700",
            )
        ) from failed
    finally:
        os.close(fd)
        os.umask(before)


# --- the walk -------------------------------------------------------------------------
def _walk(role: str, path: str) -> _Place:
    """Follow a path as the kernel does, and see who may have made each link on it. Raises StandbyError."""
    fd, rest = os.open("/", _SEARCH), _names(path)
    link, links = None, 0
    try:
        while rest:
            name = rest.pop()
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                return _Place(fd, (name, *reversed(rest)), link)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > _LINKS:
                    raise OSError(0, "too many links follow one another")
                if link is None and not _is_roots(os.fstat(fd)):
                    link = _path(fd, name)
                target = os.readlink(name, dir_fd=fd)
                rest += _names(target)
                if target.startswith("/"):
                    fd = _instead(fd, os.open("/", _SEARCH))
            elif not stat.S_ISDIR(status.st_mode):
                raise _not_a_directory(role, path, _path(fd, name))
            else:
                fd = _instead(fd, os.open(name, _SEARCH, dir_fd=fd))
    except OSError as failed:
        os.close(fd)
        raise StandbyError(
            Refusal(
                "directory_unreadable",
                f"Cannot look for {role} {path}: {failed.strerror}. Nothing was made.",
                f"let this user search the directories above {path}",
            )
        ) from failed
    except StandbyError:
        os.close(fd)
        raise
    return _Place(fd, (), link)


def _instead(old: int, new: int) -> int:
    os.close(old)
    return new


def _names(path: str) -> list[str]:
    """The names of a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _path(fd: int, name: str) -> str:
    return os.path.join(os.readlink(f"/proc/self/fd/{fd}"), name)


# --- who does what --------------------------------------------------------------------
def _is_roots(status: os.stat_result) -> bool:
    """Whether root alone may put something into a directory."""
    return status.st_uid == _ROOT and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _may_write(fd: int, user: OsUser) -> bool:
    """Whether the OS user may make something in a directory."""
    with acting_as(user):
        return os.access(".", os.W_OK | os.X_OK, dir_fd=fd)


def _made_by_user(parent: int, name: str, user: OsUser) -> int:
    with acting_as(user):
        os.mkdir(name, 0o700, dir_fd=parent)
        return os.open(name, _SEARCH, dir_fd=parent)


def _made_by_root(parent: int, name: str, user: OsUser) -> int:
    """Root alone may write to the parent: the name still means what root has just made."""
    os.mkdir(name, 0o700, dir_fd=parent)
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    os.fchown(fd, user.uid, user.gid)
    return fd


# --- who may make what: no look at the host -----------------------------------------------
@dataclass(frozen=True)
class Sight:
    """What was seen of a directory that is wanted.

    ``real`` is the real path of the directory, or of the deepest one above it that exists; ``missing`` are the names
    below that. Of ``real``: ``owner`` is the name of its owner, ``owned`` whether that is the database's OS user,
    ``writable`` whether that user may make something in it, ``roots_own`` whether root alone may. ``link`` is the first
    link on the way to it that another user than root may have made.
    """

    real: str
    missing: tuple[str, ...] = ()
    owner: str = "root"
    owned: bool = False
    writable: bool = False
    roots_own: bool = False
    link: str | None = None


def who_makes(role: str, path: str, sight: Sight, user: str, is_root: bool) -> str | None:
    """``user`` or ``root``; None if the directory is there, and of use to the database's OS user.

    ``role`` names the directory as the options do. ``is_root``: whether root's rights are ours. Raises StandbyError.
    """
    if not sight.missing:
        _require_usable(role, path, sight, user)
        return None
    if sight.writable:
        return "user"
    where = posixpath.join(sight.real, *sight.missing)
    if sight.link is not None:
        raise _untrusted(role, path, sight.link, where, user)
    if not is_root:
        raise StandbyError(
            Refusal(
                "directory_not_writable",
                f"{role} {path} is missing, and {user} cannot make it in {sight.real}. {_NOTHING_MADE}",
                f"run as root (become), or make {path} yourself, owned by {user}",
            )
        )
    if not sight.roots_own:
        raise StandbyError(
            Refusal(
                "directory_unsafe",
                f"{role} {path} is missing. {user} cannot make it in {sight.real}, and root does not: {sight.owner}, or"
                f" whoever else may write there, could put something else in its place. {_NOTHING_MADE}",
                f"make {path} yourself, owned by {user} and with mode 0700",
            )
        )
    return "root"


def _require_usable(role: str, path: str, sight: Sight, user: str) -> None:
    if sight.owned or (role != "data_directory" and sight.writable):
        return
    if sight.link is not None:
        raise _untrusted(role, path, sight.link, f"{sight.real}, which belongs to {sight.owner}", user)
    what = f"{role} {path} belongs to {sight.owner}, not to {user}"
    step = f"chown {user} {path}, if the directory is meant for the server"
    if role == "data_directory":
        raise StandbyError(
            Refusal("data_directory_owner", f"{what}: the server refuses to start there. {_NOTHING_MADE}", step)
        )
    raise StandbyError(Refusal("directory_not_writable", f"{what}, who cannot write there. {_NOTHING_MADE}", step))


def _untrusted(role: str, path: str, link: str, target: str, user: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "link_untrusted",
            f"{role} {path} leads through the link {link}, which another user than root may have made, to {target}."
            f" Root's rights are not used behind such a link, and {user} may not write there. {_NOTHING_MADE}",
            f"remove the link; if what it leads to is meant for the server, name that path itself in {role}",
        )
    )


def _not_a_directory(role: str, path: str, what: str) -> StandbyError:
    """What to raise if something else is where a directory has to be."""
    return StandbyError(
        Refusal(
            "not_a_directory",
            f"{role} {path} cannot be a directory: {what} is something else. {_NOTHING_MADE}",
            f"correct {role}, or remove {what} yourself",
        )
    )
