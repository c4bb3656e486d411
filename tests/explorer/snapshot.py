# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything below a directory as it is, to be compared with what it has become."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Listing", "Seen", "difference", "listing"]


class Seen(NamedTuple):
    """One file. ``content`` is a link's target or a checksum; ``inode`` is by device and number."""

    kind: int
    mode: int
    owner: tuple[int, int]
    inode: tuple[int, int]
    changed_ns: int
    content: str


Listing = dict[str, Seen]


def listing(top: str, without: Iterable[str] = (), parents: Iterable[str] = ()) -> Listing:
    """What is below a directory, itself with it, by its path; what ``without`` names is left out.

    The time of the directories in ``parents`` does not count: names may come and go there.
    """
    left_out, of_no_time = frozenset(without), frozenset(parents)
    found: Listing = {}
    waiting = [top] if os.path.lexists(top) else []
    while waiting:
        path = waiting.pop()
        if path in left_out:
            continue
        status = os.lstat(path)
        kind, time_ns, content = stat.S_IFMT(status.st_mode), status.st_mtime_ns, ""
        if stat.S_ISDIR(status.st_mode):
            waiting += [os.path.join(path, name) for name in os.listdir(path)]
            time_ns = 0 if path in of_no_time else time_ns
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                content = hashlib.blake2b(file.read(), digest_size=8).hexdigest()
        mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
        found[path] = Seen(kind, mode, owner, (status.st_dev, status.st_ino), time_ns, content)
    return found


def difference(before: Listing, after: Listing) -> list[str]:
    """The paths that came, went or changed, with what became of them."""
    words = [f"{path} went" for path in before if path not in after]
    words += [f"{path} came" for path in after if path not in before]
    for path, seen in before.items():
        now = after.get(path)
        if now is not None and now != seen:
            names = [name for name, old, new in zip(Seen._fields, seen, now, strict=True) if old != new]
            words.append(f"{path} has another {', '.join(names)}")
    return sorted(words)
