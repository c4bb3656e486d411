# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths may hold a data directory or a tablespace at all. Pure. Private to the collection."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem

__all__ = ["overlaps", "paths", "written_once"]

# Directories of the system: neither they nor, for the second table, anything below them may hold a database.
_NEVER = frozenset(
    (
        "/",
        *("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root"),
        *("/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/usr/local", "/var"),  # noqa: S108 - named to be refused
        *("/var/cache", "/var/lib", "/var/log", "/var/opt", "/var/spool", "/var/tmp"),  # noqa: S108
        *("/var/lib/postgresql", "/var/lib/pgsql"),
    )
)

_USR = ("bin", "include", "lib", "lib64", "libexec", "local/bin", "sbin", "share")

_NEVER_BELOW = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    *(f"/usr/{name}" for name in _USR),
)


def written_once(path: str) -> str:
    """An absolute path without a slash at its end, ``//`` and ``.``, which lead nowhere else; all others as they are.

    One with ``..`` may lead elsewhere, and is refused as it is by ``paths``.
    """
    if not path.startswith("/") or ".." in path.split("/"):
        return path
    return "/" + posixpath.normpath(path).lstrip("/")


def overlaps(paths: Iterable[str]) -> tuple[str, str] | None:
    """The first two paths of which one is or contains the other, or None."""
    # By components: as text, /srv/pg-fast would come between /srv/pg and /srv/pg/slow.
    plain = sorted((posixpath.normpath(path) for path in paths), key=lambda path: path.split("/"))
    for one, next_one in zip(plain, plain[1:]):
        if next_one == one or next_one.startswith(one.rstrip("/") + "/"):
            return one, next_one
    return None


def paths(data_directory: str, others: Mapping[str, str], homes: Iterable[str]) -> list[Verdict]:
    """Whether every path may hold a database. ``others`` maps the option or tablespace to its path."""
    found = []
    known = list(homes)
    for name, path in [("data_directory", data_directory), *others.items()]:
        why = _why_unusable(path, known)
        if why is not None:
            found.append(
                problem(
                    "paths",
                    Refusal("path_dangerous", f"{name}={path!r} cannot be used: {why}.", "name a directory of its own"),
                )
            )
    clash = overlaps([data_directory, *others.values()])
    if clash is not None and not found:
        names = [name for name, path in others.items() if posixpath.normpath(path) in clash]
        found.append(
            problem(
                "paths",
                Refusal("path_overlap", f"{clash[0]} and {clash[1]} overlap.", _apart(names)),
            )
        )
    return found or [Verdict("paths", "ok", "all paths may be used")]


def _apart(names: Iterable[str]) -> str:
    """How these places are separated, by the options that name them."""
    if any(name.startswith("tablespace") for name in names):
        return (
            "set tablespace_mapping, from the tablespace's location on the primary to a directory of its own, outside"
            " of the data directory and of every other tablespace: {LOCATION: /srv/NAME}"
        )
    return "map them to separate directories"


def _why_unusable(path: str, homes: Iterable[str]) -> str | None:
    """Why a path must not be used, or None. ``homes`` are the home directories of the host's users."""
    if not path.startswith("/"):
        return "it is not absolute"
    if "\n" in path or "\r" in path or "\0" in path:
        return "it holds a line break"
    plain = posixpath.normpath(path).replace("//", "/")
    if ".." in path.split("/"):
        return "it holds `..`"
    if plain in _NEVER or any(plain.startswith(place + "/") for place in _NEVER_BELOW):
        return "it is a place of the system"
    if plain in {posixpath.normpath(home) for home in homes}:
        return "it is the home directory of a user"
    return None
