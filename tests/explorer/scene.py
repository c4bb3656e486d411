# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A state made on the disk and among the processes."""

from __future__ import annotations

import os
import shutil
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.marks import Marked
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import linked_directories
from ansible_collections.pgfleet.standby.tests.explorer.clusters import (
    OID,
    OTHER_IDENTIFIER,
    Cluster,
    control,
    record,
    tablespace_name,
    write,
)
from ansible_collections.pgfleet.standby.tests.explorer.state import CLUSTERS, OTHERS, RUNNING, State
from ansible_collections.pgfleet.standby.tests.explorer.system import (
    User,
    acting_as,
    become,
    bind,
    private_mounts,
    temporary_fs,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import SYSTEM_IDENTIFIER

if TYPE_CHECKING:
    from ansible_collections.pgfleet.standby.tests.explorer.hosts import Host

__all__ = ["make"]

NO_PROCESS = 4_194_303  # the largest number that a process may have on Linux, and seldom has


def make(host: Host, state: State) -> None:
    """Put a host, on which nothing is, into a state. An ``unfinished`` copy is left to its maker."""
    _victims(host)
    if state.mount == "link":
        with acting_as(host.user):
            place = host.second / "main"
            if state.disk != "missing":
                place.mkdir(mode=0o700)
            host.main.symlink_to(place)
    elif state.disk not in ("missing", "unfinished"):
        with acting_as(host.user):
            host.main.mkdir(mode=0o700)
        if state.mount == "whole":
            _mount(host, host.main)
    if state.disk not in ("missing", "unfinished"):
        _mounts_below(host, state)
        with acting_as(host.user):
            _disk(host, state)
            _links(host, state)
    with acting_as(host.user):
        _tablespace(host, state)
        if state.disk.startswith(("rewinding", "stale_record")):
            _interrupted(host, state.disk)
    plant(host, state)
    if state.owner != "ours":
        os.chown(host.main, *host.other_user)
        host.main.chmod(0o755 if state.owner == "theirs" else 0o700)
    _processes(host, state)


def _victims(host: Host) -> None:
    host.victim.mkdir()
    os.chown(host.victim, *host.user)
    with acting_as(host.user):
        files = {"precious": b"x" * 100, "directory/a": b"a", "directory/b/c": b"c", "state.json": b"{}"}
        files["global/pg_control"] = control("15", system_identifier=int(OTHER_IDENTIFIER))
        write(host.victim, files)
    write(host.roots_victim, {"precious": b"x", "directory/a": b"a"})


def _mount(host: Host, place: Path) -> None:
    temporary_fs(str(place), host.user)
    host.mounted.append(place)


def _mounts_below(host: Host, state: State) -> None:
    if state.mount == "inside":
        place = host.main / "dumps"
        _directory(host, place)
        _mount(host, place)
        with acting_as(host.user):
            write(place, {"monday.dump": b"a dump", "week/sunday.dump": b"another"})
    if state.wal == "mounted":
        place = host.main / "pg_wal"
        _directory(host, place)
        _mount(host, place)
        (place / "lost+found").mkdir(mode=0o700)


def _directory(host: Host, place: Path) -> None:
    with acting_as(host.user):
        place.mkdir(mode=0o700)


# --- the data directory ---------------------------------------------------------------------
def _disk(host: Host, state: State) -> None:
    top, disk, version = host.main, state.disk, state.version
    runs = state.runs in RUNNING
    records = {
        "standby_ours": {},
        "standby_ours_older": {"backup_id": "20250101T000000"},
    }
    if disk in records:
        _record(host, **records[disk])
    if disk == "lost_and_found":
        (top / "lost+found").mkdir()
    elif disk in ("foreign", "stale_record_foreign"):
        write(top, {"letters/of_1999": b"dear", "budget": b"1"})
    elif disk in CLUSTERS:
        cluster = Cluster(version, other=disk in OTHERS, standby=disk.startswith("standby"), runs=runs)
        if state.wal.startswith("linked"):
            host.waldir.mkdir()
            (top / "pg_wal").symlink_to(host.waldir)
            (host.waldir / "archive_status").mkdir()
        cluster.make(top, used=not disk.startswith("pristine"))
        _spoil(top, disk)


def _record(host: Host, **changed: object) -> None:
    write(host.state_directory, {"state.json": record(host.main, host.fast, **changed)})
    host.state_directory.chmod(0o700)


def _interrupted(host: Host, disk: str) -> None:
    """The record of a run that has not come to its end, with the directories that it knows as its own.

    A rewind leaves no mark in them. A copy does, and what has come in its place since has none.
    """
    rewind = disk.startswith("rewinding")
    places = {str(host.main), *linked_directories(str(host.main))} if rewind else {str(host.main), str(host.fast)}
    marked = Marked.of(None if rewind else "an earlier run", {place: place for place in places if os.path.isdir(place)})
    identifier = OTHER_IDENTIFIER if disk == "rewinding_other" else SYSTEM_IDENTIFIER
    _record(host, phase="rewinding" if rewind else "copying", marked=marked.noted, system_identifier=identifier)


def _spoil(top: Path, disk: str) -> None:
    file = top / "global" / "pg_control"
    if disk in ("no_control", "stale_record_salvage"):
        file.unlink()
    elif disk == "damaged_control":
        content = bytearray(file.read_bytes())
        content[0] ^= 1
        file.write_bytes(content)
    elif disk == "unknown_control":
        content = bytearray(file.read_bytes())
        content[8:12] = (1900).to_bytes(4, "little")
        file.write_bytes(content)
        (top / "PG_VERSION").write_text("19\n", encoding="utf-8")


def _links(host: Host, state: State) -> None:
    """The tablespace of the cluster that is there."""
    if state.disk not in CLUSTERS:
        return
    places = {
        "used": host.fast,
        "linked": host.fast,
        "inside": host.main / "ts1",
        "elsewhere": host.ts / "elsewhere",
        "victim": host.victim / "directory",
    }
    if state.tablespace in places:
        place = places[state.tablespace]
        (host.main / "pg_tblspc" / str(OID)).symlink_to(place)
        if state.tablespace in ("used", "inside", "elsewhere"):
            write(place, {f"{tablespace_name(state.version)}/5/16390": b"rows"})


def _tablespace(host: Host, state: State) -> None:
    """What is where the copy wants to have it."""
    if state.tablespace == "stranger":
        write(host.fast, {"letters": b"dear"})
    elif state.tablespace == "linked":
        place = host.second / "fast"
        place.mkdir()
        if state.disk in CLUSTERS:
            write(place, {f"{tablespace_name(state.version)}/5/16390": b"rows"})
        host.fast.symlink_to(place)


# --- what somebody has planted ----------------------------------------------------------------
def plant(host: Host, state: State) -> None:
    """The links of others, in place of what is there."""
    links = {
        "file_link": (host.main / "base/1/2619", host.victim / "precious"),
        "directory_link": (host.main / "base/5", host.victim / "directory"),
        "global_link": (host.main / "global", host.victim / "global"),
        "control_link": (host.main / "global/pg_control", host.victim / "global/pg_control"),
        "new_control_link": (host.main / "global/pg_control.new", host.victim / "precious"),
        "record_link": (host.state_directory / "state.json", host.victim / "state.json"),
        "lock_link": (host.state_directory / "lock", host.victim / "precious"),
        "runner_link": (host.state_directory / "runner", host.victim / "precious"),
        "result_link": (host.state_directory / "result.json", host.victim / "precious"),
        "work_link": (host.state_directory / "work", host.victim / "directory"),
        "state_link": (host.state_directory, host.victim / "directory"),
        "state_link_to_roots": (host.state_directory, host.roots_victim / "directory"),
        "state_link_to_nothing": (host.state_directory, host.roots_victim / "new"),
    }
    with acting_as(host.user):
        if state.planted == "hard_link" and state.mount not in ("whole", "link"):
            place = host.main / "pg_xact" / "0000"
            place.unlink(missing_ok=True)
            os.link(host.victim / "precious", place)
        elif state.planted == "old_there":
            write(host.main.with_name("main.old"), {"precious": b"x"})
        elif state.planted in links:
            _plant(host, *links[state.planted])


def _plant(host: Host, place: Path, target: Path) -> None:
    if place.parent == host.state_directory:
        host.state_directory.mkdir(mode=0o700, exist_ok=True)
    if place == host.state_directory and place.is_dir():
        for path in place.iterdir():  # a record that is read through the link
            path.rename(host.victim / "directory" / path.name)
    if place.name == "state.json" and place.exists():
        target.write_bytes(place.read_bytes())
    if place.name == "global":
        (target / "pg_control").write_bytes((place / "pg_control").read_bytes())
    if place.name == "pg_control":
        target.write_bytes(place.read_bytes())
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(target)


# --- processes --------------------------------------------------------------------------------
def _processes(host: Host, state: State) -> None:
    runs, top = state.runs, host.main
    names = {"postmaster_without_file": "postmaster", "edb_without_file": "edb-postgres", "shell": "bash"}
    pid = {"dead_pid_file": NO_PROCESS, "pid_file_of_1": 1, "reused_pid_file": host.stranger.pid}.get(runs)
    if runs == "server_by_another_mount":
        host.view.mkdir(exist_ok=True)
        bind(os.path.realpath(top), str(host.view))
        host.mounted.append(host.view)
        pid = host.start("postgres", host.view).pid
    elif runs == "server_of_the_same_path":
        host.start("postgres", host.base, partial(_apart, str(top), host.user))
    elif runs in ("server", "server_without_file", *names):
        process = host.start(names.get(runs, "postgres"), top)
        pid = process.pid if runs == "server" else None
    if pid is not None:
        # One that a server has written before this host was started is left over, whatever else it says.
        started = int(time.time()) if runs == "pid_file_of_1" else 1_700_000_000
        text = f"{pid}\n{top}\n{started}\n5432\n/nowhere\n*\n  5432001    32768\nready   \n"
        with acting_as(host.user if state.owner == "ours" else User(os.geteuid(), os.getegid())):
            write(top, {"postmaster.pid": text.encode()})


def _apart(top: str, user: User) -> None:
    """A process that has another file system at the same path."""
    private_mounts()
    temporary_fs(top, user)
    become(user)
    os.chdir(top)
