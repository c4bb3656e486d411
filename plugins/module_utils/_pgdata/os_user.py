# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database's OS user, and root with no more rights than that user has. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["OsUser", "acting_as", "os_user", "owner_of", "this_user", "user_name"]

_ROOT = 0


class OsUser(NamedTuple):
    """An OS user by name, with the numbers of the user and of the user's group."""

    name: str
    uid: int
    gid: int


def os_user(name: str) -> OsUser:
    """The OS user of that name. Raises StandbyError."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise StandbyError(
            Refusal(
                "os_user_unknown",
                f"This host has no OS user {name!r}. Nothing was made.",
                "install the PostgreSQL packages, or correct os_user",
            )
        ) from None
    return OsUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def this_user() -> OsUser:
    """The OS user that runs us."""
    return OsUser(user_name(os.geteuid()), os.geteuid(), os.getegid())


def owner_of(path: str) -> OsUser:
    """The OS user to whom a directory belongs; the one that runs us if that cannot be seen."""
    try:
        uid = os.stat(path).st_uid
        entry = pwd.getpwuid(uid)
    except (OSError, KeyError):
        return this_user()
    return OsUser(entry.pw_name, uid, entry.pw_gid)


def user_name(uid: int) -> str:
    """The name of the user with a number, or words for a number without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user with number {uid}"


@contextlib.contextmanager
def acting_as(user: OsUser) -> Iterator[None]:
    """Have no more rights than that OS user for a moment. Who is not root has no others anyway.

    The real ids change as well: glibc before 2.33 answers a question about the effective ids (AT_EACCESS) for the real
    ones in a program that is not set-user-ID (sysdeps/unix/sysv/linux/faccessat.c).
    """
    if os.geteuid() != _ROOT or user.uid == _ROOT:
        yield
        return
    groups, uids, gids = os.getgroups(), os.getresuid(), os.getresgid()
    os.setgroups(os.getgrouplist(user.name, user.gid))
    os.setresgid(user.gid, user.gid, _ROOT)
    os.setresuid(user.uid, user.uid, _ROOT)
    try:
        yield
    finally:
        os.setresuid(*uids)
        os.setresgid(*gids)
        os.setgroups(groups)
