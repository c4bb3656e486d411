# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories of a standby that are missing, made by root without doing what another user has planned for root.

A path is walked by descriptors, one component at a time. The database's OS user makes a directory himself where he may
write. Root makes one only in a directory that root alone may write to, and gives away nothing but what root has just
made there. What exists keeps its owner and its mode. Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError

__all__ = ["OsUser", "os_user", "prepare"]

# As many links as the kernel follows in one path (path_resolution(7)).
_LINKS = 40

_ROOT = 0

_NOTHING_MADE = "Nothing was made."


class OsUser(NamedTuple):
    """An OS user by name, with the numbers of the user and of the user's group."""

    name: str
    uid: int
    gid: int


class _Step(NamedTuple):
    """A directory that is missing: ``names`` are to be made below ``parent``, which exists, the last one is ``path``.

    ``parent`` is a real path, and ``device`` and ``inode`` tell whether it still is that directory. ``by_root`` tells
    that the OS user may not write there, and root has to make the first of the names.
    """

    path: str
    parent: str
    names: tuple[str, ...]
    device: int
    inode: int
    by_root: bool


class _Place(NamedTuple):
    """Where a walk has ended: the deepest directory, the names that are missing below, and the first link on the way
    that another user than root may have made."""

    fd: int
    missing: tuple[str, ...]
    link: str | None


def os_user(name: str) -> OsUser:
    """The OS user of that name. Raises StandbyError."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise StandbyError(
            f"This host has no OS user {name!r}. {_NOTHING_MADE}"
            " Next: install the PostgreSQL packages, or correct os_user.",
            "os_user_unknown",
        ) from None
    return OsUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def prepare(wanted: Mapping[str, str], user: OsUser, only_look: bool = False) -> list[str]:
    """Make the directories that are missing, with those above them; the paths of all that were, or would be, made.

    ``wanted`` are absolute paths by the names that messages use for them. What is made belongs to the OS user and has
    mode 0700. Raises StandbyError; a refusal comes before anything is made.
    """
    plans = [_plan(role, path, user) for role, path in wanted.items()]
    if not only_look:
        for role, path in wanted.items():
            # Once more: a directory that was just made may be the parent of the next.
            step = _plan(role, path, user)
            if step is not None:
                _make(step, user)
    return _made_by(step for step in plans if step is not None)


def _plan(role: str, path: str, user: OsUser) -> _Step | None:
    """How the directory is to be made; None if it is there and of use to the OS user. Changes nothing.

    ``role`` names the directory in messages as the options do. Raises StandbyError for what root must not do.
    """
    place = _walk(role, path)
    try:
        status = os.fstat(place.fd)
        real = os.readlink(f"/proc/self/fd/{place.fd}")
        if not place.missing:
            _require_usable(role, path, place, real, user)
            return None
        by_root = not _may_write(place.fd, user)
        if by_root:
            _require_roots_own(role, path, place, real, status, user)
        return _Step(path, real, place.missing, status.st_dev, status.st_ino, by_root)
    finally:
        os.close(place.fd)


def _make(wanted: _Step, user: OsUser) -> None:
    """Make what is missing: owned by the OS user, with mode 0700. Raises StandbyError."""
    before = os.umask(0o077)
    fd = -1
    try:
        fd = os.open(wanted.parent, _flags())
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != (wanted.device, wanted.inode):
            raise OSError(0, "another directory has taken its place")
        for index, name in enumerate(wanted.names):
            by_root = wanted.by_root and index == 0
            below = _made_by_root(fd, name, user) if by_root else _made_by_user(fd, name, user)
            os.close(fd)
            fd = below
    except OSError as failed:
        raise StandbyError(
            f"Cannot make directory {wanted.path} in {wanted.parent}: {failed.strerror}."
            f" Next: make {wanted.path} yourself, owned by {user.name} and with mode 0700.",
            "directory_not_writable",
        ) from failed
    finally:
        if fd >= 0:
            os.close(fd)
        os.umask(before)


# --- the walk -------------------------------------------------------------------------
def _walk(role: str, path: str) -> _Place:
    """Follow a path as the kernel does, and see who may have made each link on it. Raises StandbyError."""
    fd = os.open("/", _flags())
    rest = _components(path)
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
                    link = os.path.join(os.readlink(f"/proc/self/fd/{fd}"), name)
                target = os.readlink(name, dir_fd=fd)
                rest += _components(target)
                if target.startswith("/"):
                    fd = _replaced(fd, os.open("/", _flags()))
            elif not stat.S_ISDIR(status.st_mode):
                raise _not_a_directory(role, path, os.path.join(os.readlink(f"/proc/self/fd/{fd}"), name))
            else:
                fd = _replaced(fd, os.open(name, _flags(), dir_fd=fd))
    except OSError as failed:
        os.close(fd)
        raise StandbyError(
            f"Cannot look for {role} {path}: {failed.strerror}. {_NOTHING_MADE}"
            f" Next: let this user search the directories above {path}.",
            "directory_unreadable",
        ) from failed
    except StandbyError:
        os.close(fd)
        raise
    return _Place(fd, (), link)


def _flags() -> int:
    return os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _replaced(old: int, new: int) -> int:
    os.close(old)
    return new


def _components(path: str) -> list[str]:
    """The names of a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _is_roots(status: os.stat_result) -> bool:
    """Whether root alone may put something into a directory."""
    return status.st_uid == _ROOT and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


# --- what is refused ------------------------------------------------------------------
def _require_usable(role: str, path: str, place: _Place, real: str, user: OsUser) -> None:
    status = os.fstat(place.fd)
    if status.st_uid == user.uid or (role != "data_directory" and _may_write(place.fd, user)):
        return
    owner = _name(status.st_uid)
    if place.link is not None:
        raise _untrusted(role, path, place.link, f"{real}, which belongs to {owner}", user)
    what = f"{role} {path} belongs to {owner}, not to {user.name}"
    if role == "data_directory":
        raise StandbyError(
            f"{what}: the server refuses to start there. {_NOTHING_MADE} Next: chown {user.name} {path}, if the"
            " directory is meant for the server.",
            "data_directory_owner",
        )
    raise StandbyError(
        f"{what}, who cannot write there. {_NOTHING_MADE} Next: chown {user.name} {path}, if the directory is meant for"
        " the server.",
        "directory_not_writable",
    )


def _require_roots_own(
    role: str, path: str, place: _Place, real: str, status: os.stat_result, user: OsUser
) -> None:
    if place.link is not None:
        raise _untrusted(role, path, place.link, os.path.join(real, *place.missing), user)
    if os.geteuid() != _ROOT:
        raise StandbyError(
            f"{role} {path} is missing, and {user.name} cannot make it in {real}. {_NOTHING_MADE}"
            f" Next: run as root (become), or make {path} yourself, owned by {user.name}.",
            "directory_not_writable",
        )
    if not _is_roots(status):
        raise StandbyError(
            f"{role} {path} is missing. {user.name} cannot make it in {real}, and root does not, because"
            f" {_name(status.st_uid)} and whoever else may write there could put something else in its place."
            f" {_NOTHING_MADE} Next: make {path} yourself, owned by {user.name} and with mode 0700.",
            "directory_unsafe",
        )


def _untrusted(role: str, path: str, link: str, target: str, user: OsUser) -> StandbyError:
    return StandbyError(
        f"{role} {path} leads through the link {link}, which another user than root may have made, to {target}."
        f" Root follows no such link, and {user.name} may not write there. {_NOTHING_MADE}"
        f" Next: remove the link; if {target} is meant for the server, name that path itself.",
        "link_untrusted",
    )


def _not_a_directory(role: str, path: str, what: str) -> StandbyError:
    return StandbyError(
        f"{role} {path} cannot be a directory: {what} is something else. {_NOTHING_MADE} Next: correct {role}, or"
        f" remove {what} yourself.",
        "not_a_directory",
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user with number {uid}"


# --- who does what --------------------------------------------------------------------
def _may_write(fd: int, user: OsUser) -> bool:
    """Whether the OS user may make something in a directory."""
    with _as(user):
        try:
            return os.access(".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True)
        except OSError:
            return False


@contextlib.contextmanager
def _as(user: OsUser) -> Iterator[None]:
    """Have no more rights than the OS user for a moment. What is not root has no other rights anyway."""
    if os.geteuid() != _ROOT or user.uid == _ROOT:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(os.getgrouplist(user.name, user.gid))
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(_ROOT)
        os.setegid(gid)
        os.setgroups(groups)


def _made_by_user(parent: int, name: str, user: OsUser) -> int:
    with _as(user):
        os.mkdir(name, 0o700, dir_fd=parent)
        return _opened(parent, name)


def _made_by_root(parent: int, name: str, user: OsUser) -> int:
    """Nobody but root can write to the parent: the name still means what root has just made."""
    os.mkdir(name, 0o700, dir_fd=parent)
    fd = _opened(parent, name)
    os.fchown(fd, user.uid, user.gid)
    return fd


def _opened(parent: int, name: str) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def _made_by(plans: Iterable[_Step]) -> list[str]:
    """Every directory that the plans make, in their order."""
    made: list[str] = []
    for wanted in plans:
        for count in range(1, len(wanted.names) + 1):
            path = os.path.join(wanted.parent, *wanted.names[:count])
            if path not in made:
                made.append(path)
    return made
