# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server runs on a data directory. Private to the collection.

A directory is known by device and inode, so that a bind mount, another mount of the same file system or a container
does not hide a server, and a container's own directory of the same path is not taken for this one. ``look`` only
collects what the kernel tells; ``_judge`` is pure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import PidFile, parse_pid_file

__all__ = ["NO_SERVER", "Found", "Work", "is_child_of", "look_for_server", "postmaster", "work_of_server"]

# What PostgreSQL's server program is called: PGDG's RPM units up to 15 start `postmaster`, EDB's server has its own
# name. The kernel keeps the first 15 bytes (proc(5), comm).
_PROGRAMS = frozenset({"postgres", "postmaster", "edb-postgres"})

# The inode of the first pid namespace (Linux, include/linux/proc_ns.h, PROC_PID_INIT_INO): whoever is in it sees the
# processes of every container, too.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"

# File systems that another host may have mounted as well.
_SHARED = re.compile(r"nfs4?|cifs|smb3?|ceph|lustre|gfs2|ocfs2|9p|virtiofs|afs|beegfs|gpfs|fuse\.(?:sshfs|glusterfs)")

# How far a clock may be wrong while a host boots, in seconds.
_CLOCK_DOUBT = 86400


@dataclass(frozen=True)
class Found:
    """The server of a directory. Without one ``doubt`` says why it is not certain that there is none, as a clause."""

    server: PidFile | None = None
    doubt: str | None = None


NO_SERVER = Found()


@dataclass(frozen=True)
class Work:
    """What a server's processes show as their titles: what the one that replays does, and the one that receives.

    ``startup`` is such as ``recovering 000000010000000000000005`` or ``waiting for ...`` (PostgreSQL source, xlog.c),
    ``receiver`` such as ``streaming 0/5000000`` (walreceiver.c). None if there is no such process, or if it shows
    nothing (update_process_title=off).
    """

    startup: str | None = None
    receiver: str | None = None


@dataclass(frozen=True)
class _Process:
    """A process that may be a server's, by its number here. ``parent`` is the number of its parent.

    ``works_here``: whether its working directory is the data directory; None if that may not be seen and it belongs to
    the directory's owner, as a server of the directory does. ``own_pid`` is its number in its own pid namespace.
    """

    pid: int
    parent: int
    works_here: bool | None
    own_pid: int


@dataclass(frozen=True)
class _Surroundings:
    """Where we look from. ``sees_all``: no process of this host is hidden from us by a pid namespace.

    ``booted`` is when this host did, in seconds since 1970. ``shared`` is the type of the file system if other hosts
    may use it, ``volume`` whether it is another than that of our root directory: other containers may have it.
    """

    sees_all: bool
    booted: int
    shared: str | None = None
    volume: bool = False


def postmaster(path: str) -> PidFile | None:
    """The server of a directory as far as it can be seen."""
    return look_for_server(path).server


def look_for_server(path: str) -> Found:
    """Whether a server runs on a directory: yes, no, or not known."""
    try:
        directory = os.stat(path)
    except FileNotFoundError:
        return NO_SERVER
    text = read_small(os.path.join(path, "postmaster.pid"))
    noted = parse_pid_file(text) if text is not None else None
    return _judge(noted, _processes(directory, noted), _surroundings(directory))


def _judge(noted: PidFile | None, processes: Sequence[_Process], around: _Surroundings) -> Found:
    """What a postmaster.pid, the processes that may be servers, and where they are seen from tell. Pure.

    A number in postmaster.pid counts if that very process works in the directory; it is another's if it was reused, and
    means another process if another pid namespace wrote it.
    """
    here = [process for process in processes if process.works_here]
    pids = {process.pid for process in here}
    if noted is not None and noted.pid in pids:
        return Found(noted)
    if here:
        # All processes of a server work in its directory; the others are the postmaster's children.
        first = next((process for process in here if process.parent not in pids), here[0])
        return Found(PidFile(first.pid))
    # A server that finds its postmaster.pid removed ends within a minute (PostgreSQL source, postmaster.c, ServerLoop).
    if noted is None:
        return NO_SERVER
    hidden = [process for process in processes if process.works_here is None]
    if any(process.pid == noted.pid for process in hidden):
        return Found(noted)
    why = _why_not_dead(noted, around)
    for process in hidden:
        if process.own_pid == noted.pid:
            why = f"which may be process {process.pid}: where that works may not be seen"
    return NO_SERVER if why is None else Found(doubt=f"postmaster.pid names process {noted.pid}, {why}")


def _why_not_dead(noted: PidFile, around: _Surroundings) -> str | None:
    """Why a server that is not among the processes may run elsewhere; None if it is dead."""
    if around.shared is not None:
        return f"which is none of this host's, and another host may use the directory, which is on {around.shared}"
    if noted.started is not None and noted.started + _CLOCK_DOUBT < around.booted:
        return None
    if noted.pid == 1:
        return "as a server in a container does, which is not seen here"
    if not around.sees_all and around.volume:
        return "which is not seen here, and another container may use the volume"
    return None


def is_child_of(pid: int, parent: int) -> bool:
    """Whether one process of this host has started another."""
    return _parent(pid) == parent


def work_of_server(pid: int) -> Work:
    """What the processes of a postmaster say that they do."""
    titles = [_title(name) for name in os.listdir("/proc") if name.isdigit() and _parent(int(name)) == pid]
    return _read_titles(titles)


def _read_titles(titles: Iterable[str]) -> Work:
    """What the titles of a server's processes tell. Pure. ``startup process`` was the name until PostgreSQL 12."""
    text = "\n".join(titles)
    startup = re.search(r"\bstartup(?: process)?\s+((?:recovering|waiting for) [0-9A-F]{24})", text)
    receiver = re.search(r"\bwal ?receiver(?: process)?\s+(streaming [0-9A-F]+/[0-9A-F]+)", text)
    return Work(startup.group(1) if startup else None, receiver.group(1) if receiver else None)


def _title(pid: str) -> str:
    try:
        return (read_small(f"/proc/{pid}/cmdline") or "").replace("\0", " ")
    except OSError:
        return ""


def _processes(directory: os.stat_result, noted: PidFile | None) -> list[_Process]:
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        pid = int(name)
        is_server = _name(pid) in _PROGRAMS
        if not is_server and (noted is None or pid != noted.pid):
            continue
        works_here = _works_in(pid, directory, is_server)
        if works_here is not False:
            found.append(_Process(pid, _parent(pid) or 0, works_here, _own_pid(pid)))
    return found


def _works_in(pid: int, directory: os.stat_result, is_server: bool) -> bool | None:
    """Through the link in /proc the directory itself is seen, whatever mount namespace the process is in (proc(5))."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), directory)
    except PermissionError:
        pass
    except OSError:
        return False
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return False
    # A server refuses a directory that does not belong to its user (PostgreSQL source, miscinit.c, checkDataDir).
    return None if is_server and owner == directory.st_uid else False


def _name(pid: int) -> str:
    try:
        return (read_small(f"/proc/{pid}/comm") or "").strip()
    except OSError:
        return ""


def _parent(pid: int) -> int | None:
    return _last_number(pid, "PPid")


def _own_pid(pid: int) -> int:
    """The last of its numbers is that in its own pid namespace (proc(5), status, from Linux 4.1 on)."""
    return _last_number(pid, "NSpid") or pid


def _last_number(pid: int, name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:(?:\s+\d+)*?\s+(\d+)$", read_small(f"/proc/{pid}/status") or "", re.MULTILINE)
    except OSError:
        return None
    return int(found.group(1)) if found else None


def _surroundings(directory: os.stat_result) -> _Surroundings:
    try:
        sees_all = os.readlink("/proc/self/ns/pid") == _FIRST_PID_NAMESPACE
    except OSError:
        sees_all = False
    booted = re.search(r"^btime (\d+)", read_small("/proc/stat") or "", re.MULTILINE)
    kind = _file_system(directory.st_dev)
    return _Surroundings(
        sees_all=sees_all,
        booted=int(booted.group(1)) if booted else 0,
        shared=kind if kind is not None and _SHARED.fullmatch(kind) else None,
        volume=directory.st_dev != os.stat("/").st_dev,
    )


def _file_system(device: int) -> str | None:
    """The type of a mounted file system (proc(5), mountinfo); None if it is not listed under its device's number."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in (read_small("/proc/self/mountinfo") or "").splitlines():
        mount, _separator, source = line.partition(" - ")
        if mount.split()[2:3] == [wanted]:
            return source.split()[0]
    return None
