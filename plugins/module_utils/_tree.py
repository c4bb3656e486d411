# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directory trees on this host: look without following links, tidy, verify, sync. Private to the collection."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable

from ansible_collections.pgfleet.standby.plugins.module_utils._command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._diagnosis import first_line
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._inventory import Root
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Entry

__all__ = ["complete_files", "difference", "empty", "make_directories", "scan", "sync", "tidy"]


def scan(top: str) -> dict[str, Entry]:
    """Everything below a directory by relative path; links are seen, never followed.

    A file with a second name elsewhere (a hard link) has kind ``h``: writing to it would write there.
    """
    found: dict[str, Entry] = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(os.path.join(top, below)) as entries:
            for entry in entries:
                if not below and entry.name == "lost+found":
                    continue
                path = os.path.join(below, entry.name)
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    kind = "d"
                    waiting.append(path)
                elif stat.S_ISREG(status.st_mode):
                    kind = "f" if status.st_nlink == 1 else "h"
                else:
                    kind = "l" if stat.S_ISLNK(status.st_mode) else "s"
                found[path] = Entry(kind, status.st_size, status.st_mtime_ns, path)
    return found


def tidy(root: Root) -> dict[str, Entry]:
    """Remove what an interrupted copy left that is no part of the backup; returns what stays."""
    present = scan(root.target)
    wanted = dict.fromkeys(root.directories, "d")
    wanted.update((entry.path, "f") for entry in root.files)
    # Deepest first, so that a directory is empty when its turn comes.
    for path in sorted(present, key=lambda name: name.count("/"), reverse=True):
        if wanted.get(path) != present[path].kind:
            _remove(os.path.join(root.target, path), present.pop(path))
    return present


def empty(top: str) -> None:
    """Remove everything in a directory but not the directory, which may be a mount point or linked to."""
    for name in os.listdir(top):
        if name == "lost+found":
            continue
        path = os.path.join(top, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def make_directories(root: Root) -> None:
    """The directories of a tree, for the owner alone."""
    for path in root.directories:
        os.makedirs(os.path.join(root.target, path), mode=0o700, exist_ok=True)


def complete_files(root: Root, present: dict[str, Entry]) -> set[str]:
    """The files that are there with the size and the time of the backup's; rsync sets the time last."""
    return {
        entry.path
        for entry in root.files
        if entry.path in present
        and present[entry.path].size == entry.size
        and present[entry.path].mtime_ns == entry.mtime_ns
    }


def difference(root: Root) -> list[str]:
    """How a tree differs from the backup in names, kinds and sizes; empty when it does not."""
    present = scan(root.target)
    wanted = {path: Entry("d", 0, 0, path) for path in root.directories}
    wanted.update((entry.path, entry) for entry in root.files)
    found = [f"{path}: missing" for path in wanted.keys() - present.keys()]
    found += [f"{path}: not in the backup" for path in present.keys() - wanted.keys()]
    for path in wanted.keys() & present.keys():
        here, there = present[path], wanted[path]
        if here.kind != there.kind:
            found.append(f"{path}: of kind {here.kind}, not {there.kind}")
        elif here.kind == "f" and here.size != there.size:
            found.append(f"{path}: {here.size} bytes, not {there.size}")
    return sorted(found)


def sync(paths: Iterable[str]) -> None:
    """Make durable everything on the file systems of these paths. Raises StandbyError when a disk refuses."""
    seen = set()
    for path in paths:
        device = os.stat(path).st_dev
        if device in seen:
            continue
        seen.add(device)
        done = LocalShell().run(["sync", "--file-system", path], timeout=3600)
        if done.rc != 0:
            raise StandbyError(
                f"Cannot sync the file system of {path}: {first_line(done.err)}.", "disk_error", rc=done.rc
            )


def _remove(path: str, entry: Entry) -> None:
    if entry.kind == "d":
        os.rmdir(path)
    else:
        os.unlink(path)
