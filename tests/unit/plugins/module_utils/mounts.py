# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real mounts that only a test sees: the work is done in a process with a mount namespace of its own.

The mounts go with the process. Who is not root gets a user namespace as well, in which he may mount a tmpfs.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

# sched.h
_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000


def in_own_mounts(work: Callable[[], _T]) -> _T:
    """What the work returns, or raises: any exception that can be pickled, and else its traceback."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            _send(writer, _outcome(work))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read()
    os.waitpid(child, 0)
    succeeded, outcome = pickle.loads(text)
    if not succeeded:
        raise outcome
    return outcome


def mount_tmpfs(place: Path) -> None:
    """A file system of its own at the place, which is made; with lost+found, as mkfs makes it."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", str(place)], check=True)
    (place / "lost+found").mkdir(mode=0o700)


def mount_bind(source: Path, place: Path) -> None:
    """The source once more, at the place, which is made: no device number tells of that."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", str(source), str(place)], check=True)


def _send(writer: int, outcome: tuple[bool, object]) -> None:
    try:
        text = pickle.dumps(outcome)
    except Exception:
        text = pickle.dumps((False, AssertionError(f"cannot be told: {outcome!r}")))
    with os.fdopen(writer, "wb") as stream:
        stream.write(text)


def _outcome(work: Callable[[], object]) -> tuple[bool, object]:
    try:
        _enter()
        return True, work()
    except AssertionError:
        return False, AssertionError(traceback.format_exc())
    except Exception as failed:
        return False, failed


def _enter() -> None:
    user, group = os.geteuid(), os.getegid()
    spaces = _NEW_MOUNTS if user == 0 else _NEW_MOUNTS | _NEW_USERS
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(spaces) != 0:
        raise AssertionError(f"no mount namespace to test in: {os.strerror(ctypes.get_errno())}")
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
