# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts and ids of this process, by the C library: one process makes hundreds of hosts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["CLONE_NEWNS", "ROOT", "User", "acting_as", "become", "bind", "private_mounts", "temporary_fs", "unmount"]

ROOT = os.geteuid() == 0
CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 4096, 16384, 1 << 18, 2
_libc = ctypes.CDLL(None, use_errno=True)


class User(NamedTuple):
    uid: int
    gid: int

    @classmethod
    def named(cls, name: str) -> User:
        entry = pwd.getpwnam(name)
        return cls(entry.pw_uid, entry.pw_gid)


def _call(name: str, *given: object) -> None:
    if getattr(_libc, name)(*given) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _call("mount", *texts, ctypes.c_ulong(flags), None if data is None else data.encode())


def private_mounts() -> None:
    """What this process mounts from now on, this process and its children see alone. Raises OSError."""
    _call("unshare", CLONE_NEWNS)
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)


def temporary_fs(path: str, user: User) -> None:
    """A file system of its own, in the memory."""
    _mount("tmpfs", path, "tmpfs", 0, f"mode=0700,uid={user.uid},gid={user.gid},size=64m")


def bind(source: str, target: str) -> None:
    """The same directory under another path."""
    _mount(source, target, None, _MS_BIND)


def unmount(path: str) -> None:
    _call("umount2", os.fsencode(path), _MNT_DETACH)


@contextlib.contextmanager
def acting_as(user: User) -> Iterator[None]:
    """Have that user's rights and no more; what is made meanwhile is that user's."""
    if not ROOT:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(user.gid, user.gid, 0)
    os.setresuid(user.uid, user.uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


def become(user: User) -> None:
    """Be that user and no other for the rest of this process."""
    if ROOT:
        os.setgroups([])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
