# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The login session in which a process works, and whether logind ends the process at logout.

With ``KillUserProcesses=yes`` logind stops the scope of a session that ends, with all that was started in it, whoever
it belongs to and however it detached itself (logind.conf(5)). Private to the collection.
"""

from __future__ import annotations

import contextlib
import pwd
import re
import shlex
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell

__all__ = ["Session", "ended_with", "scope_argv"]

_PROC = "/proc"

# As systemd names it in cgroup v1 and v2 (systemd.special(7), user.slice).
_SCOPE = re.compile(r"/user-(\d+)\.slice/(session-[^/]+\.scope)(?:/|$)")

_PROPERTIES = ("KillUserProcesses", "KillExcludeUsers", "KillOnlyUsers")
_ASK = ("busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")

_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


class Session(NamedTuple):
    """``scope`` is systemd's name of it, ``uid`` that of who has logged in."""

    scope: str
    uid: int


def _session_of_cgroup(text: str) -> Session | None:
    """The session that a process belongs to, from its /proc/PID/cgroup; None if that names none."""
    for line in text.splitlines():
        hierarchy, controllers, path = [*line.split(":", 2), "", ""][:3]
        found = _SCOPE.search(path)
        if found is not None and (hierarchy == "0" or controllers == "name=systemd"):
            return Session(found.group(2), int(found.group(1)))
    return None


def _kills(told: str, user: str) -> bool:
    """Whether logind ends what a user has started at logout. ``told`` are the properties as busctl prints them."""
    lines = [shlex.split(line) for line in told.splitlines()]
    if len(lines) != len(_PROPERTIES):
        return False
    on, excluded, only = lines
    return on[1:] == ["true"] and user not in excluded[2:] and (not only[2:] or user in only[2:])


def ended_with(pid: int) -> Session | None:
    """The session at whose end logind ends a process of this host; None if there is none, or logind does not say so."""
    with contextlib.suppress(OSError, KeyError, ValueError):
        with open(f"{_PROC}/{pid}/cgroup", encoding="utf-8") as file:
            session = _session_of_cgroup(file.read())
        if session is None:
            return None
        done = LocalShell().run([*_ASK, *_PROPERTIES])
        if done.rc == 0 and _kills(done.out, pwd.getpwuid(session.uid).pw_name):
            return session
    return None


def _scope_name(directory: str) -> str:
    """The unit of the copy into a directory. The path is written as systemd-escape does it."""
    parts = [part for part in directory.split("/") if part]
    escaped = (re.sub(r"[^A-Za-z0-9:_.]", _escape, part) for part in parts)
    return f"pgfleet-copy-{'-'.join(escaped)}.scope"


def _escape(found: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in found.group().encode())


def scope_argv(pid: int, directory: str) -> list[str]:
    """The command by which root moves a process into a scope of its own, out of the session (busctl(1)).

    systemd-run can only start a program in one; this process runs already, and has none of its files left to be started
    from. What it has started before stays in the session, what it starts from then on does not.
    """
    call = ["busctl", "call", *_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", _scope_name(directory), "fail"]
    description = f"The copy into {directory}"
    return [*call, "2", "PIDs", "au", "1", str(pid), "Description", "s", description, "0"]
