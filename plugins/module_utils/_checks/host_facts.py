# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host is: its C library, locales, libraries, places, clock. Reads only. Private to the collection."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import stat
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell, Shell
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import nearest_existing, read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import Clock, HostPlace
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import effective

__all__ = [
    "clock",
    "collation_versions",
    "compiled_block_sizes",
    "free_inodes",
    "library_directory",
    "machine",
    "missing_libraries",
    "missing_locales",
    "places",
    "selinux_enforcing",
]

# LC_CTYPE_MASK | LC_COLLATE_MASK, the same in glibc and musl: both of a database's locales at once.
_CTYPE_AND_COLLATE = 1 << 0 | 1 << 3

_ICU = re.compile(r"^\s*libicui18n\.so\.(\d+) => (/\S+)", re.MULTILINE)

# In the directory of every server that can stream.
_RECEIVER = "libpqwalreceiver.so"

_LIBRARY_DIRECTORIES = ("../lib", "../lib/postgresql", "../lib64/pgsql", "../lib/pgsql")

_BLOCK_SIZES = ("block_size", "segment_size", "wal_block_size")


def machine() -> str:
    """The machine's kind as the kernel names it: ``x86_64``, ``aarch64``, ..."""
    return os.uname().machine


def clock(shell: Shell) -> Clock | None:
    """The clock of the host that the shell leads to; None if it cannot be read."""
    before, begun = time.time(), time.monotonic()
    try:
        # Without GNU's date there are no fractions, and %N stays or vanishes.
        done = shell.run(["date", "+%s.%N"], timeout=10)
    except StandbyError:
        return None
    round_trip = time.monotonic() - begun
    told = re.match(r"\d+(\.\d+)?", done.out)
    return Clock(float(told.group()) - before - round_trip / 2, round_trip) if told and done.rc == 0 else None


# --- how strings are sorted -----------------------------------------------------------
def _libc_version() -> str | None:
    """The version of glibc, as the server takes it for that of its libc collations; None of another libc."""
    try:
        name, _space, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (OSError, ValueError):
        return None
    return version if name == "glibc" else None


def collation_versions(bindir: str, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
    """What the server here would call the versions of these collations, by (provider, locale); None if unknown."""
    icu = _Icu()
    found: dict[tuple[str, str], str | None] = {}
    for provider, locale in set(wanted):
        found[provider, locale] = _libc_version() if provider == "c" else icu.version(bindir, locale)
    return found


class _Icu:
    """The ICU that the server here is linked to; loaded when it is first asked."""

    def __init__(self) -> None:
        self._loaded = False
        self._library: Any = None
        self._suffix = ""

    def version(self, bindir: str, locale: str) -> str | None:
        """The version of a locale's collator (ICU's ucol_getVersion), or None when there is no telling."""
        if not self._loaded:
            self._load(bindir)
        if self._library is None:
            return None
        status = ctypes.c_int(0)
        version = (ctypes.c_uint8 * 4)()
        collator = self._call("ucol_open", ctypes.c_void_p)(locale.encode(), ctypes.byref(status))
        # Above zero is an error; warnings, such as of a locale that the root stands for, are below.
        if not collator or status.value > 0:
            return None
        self._call("ucol_getVersion", None)(ctypes.c_void_p(collator), version)
        self._call("ucol_close", None)(ctypes.c_void_p(collator))
        return _dotted(list(version))

    def _load(self, bindir: str) -> None:
        self._loaded = True
        linked = _ICU.search(LocalShell().run(["ldd", os.path.join(bindir, "postgres")]).out)
        if linked is not None:
            with contextlib.suppress(OSError, AttributeError):
                self._suffix = f"_{linked.group(1)}"
                library = ctypes.CDLL(linked.group(2))
                getattr(library, f"ucol_open{self._suffix}")  # a distribution may name its functions otherwise
                self._library = library

    def _call(self, name: str, result: Any) -> Any:
        function = getattr(self._library, name + self._suffix)
        function.restype = result
        return function


def _dotted(numbers: list[int]) -> str:
    """A version as ICU's u_versionToString writes it: without zeros at its end, but with two numbers at least."""
    while len(numbers) > 2 and numbers[-1] == 0:
        numbers = numbers[:-1]
    return ".".join(str(number) for number in numbers)


def missing_locales(names: Iterable[str]) -> set[str]:
    """Those of the names that libc has no locale for, asked as the server does, but without changing our own."""
    libc = ctypes.CDLL(None)
    libc.newlocale.restype = ctypes.c_void_p
    libc.newlocale.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]
    libc.freelocale.argtypes = [ctypes.c_void_p]
    missing = set()
    for name in set(names):
        locale = libc.newlocale(_CTYPE_AND_COLLATE, name.encode("utf-8", "surrogateescape"), None)
        if locale:
            libc.freelocale(locale)
        else:
            missing.add(name)
    return missing


# --- the server's programs and libraries ----------------------------------------------
def compiled_block_sizes(bindir: str) -> dict[str, int]:
    """What the server's programs were compiled with: bytes of a block and a WAL block, blocks of a segment.

    Raises StandbyError when they do not run. A data directory is not needed; wal_segment_size is a cluster's own.
    """
    values = effective(bindir, os.devnull, bindir, _BLOCK_SIZES)
    return {name: int(value) for name, value in values.items()}


def library_directory(bindir: str) -> str | None:
    """The server's ``$libdir``: as pg_config says, or the usual directory that holds the server's own libraries."""
    done = LocalShell().run([os.path.join(bindir, "pg_config"), "--pkglibdir"])
    real = os.path.realpath(bindir)
    guesses = [os.path.normpath(os.path.join(real, place)) for place in _LIBRARY_DIRECTORIES]
    for directory in [*([done.out.strip()] if done.rc == 0 else []), *guesses]:
        if os.path.exists(os.path.join(directory, _RECEIVER)):
            return directory
    return None


def missing_libraries(directory: str, names: Iterable[str], search_path: str = "$libdir") -> list[str]:
    """Those of the names that the server here would not find; ``directory`` stands for ``$libdir``.

    A name without a slash is looked for in dynamic_library_path (``search_path``), each as it is and with ``.so``
    (PostgreSQL manual, 38.10.1 "Dynamic Loading").
    """
    places = [place.replace("$libdir", directory, 1) for place in search_path.split(":")]

    def found(name: str) -> bool:
        paths = [os.path.join(place, name) for place in places]
        if "/" in name:
            paths = [name.replace("$libdir", directory, 1) if name.startswith("$libdir") else name]
        return any(os.path.isfile(path + ending) for path in paths for ending in ("", ".so"))

    return [name for name in names if not found(name)]


# --- places ---------------------------------------------------------------------------
def places(wanted: Mapping[str, str]) -> tuple[HostPlace, ...]:
    """The paths by their roles, as they are for the user that runs us."""
    return tuple(_place(role, path) for role, path in wanted.items())


def _place(role: str, path: str) -> HostPlace:
    path = os.path.normpath(path)
    existing = nearest_existing(path)
    status = os.stat(existing)
    return HostPlace(
        role=role,
        path=path,
        existing=existing,
        user=_name(os.geteuid()),
        owner=_name(status.st_uid),
        ours=status.st_uid == os.geteuid(),
        mode=stat.S_IMODE(status.st_mode),
        writable=os.access(existing, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids),
        read_only=bool(os.statvfs(existing).f_flag & os.ST_RDONLY),
        selinux_type=_selinux_type(existing),
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def selinux_enforcing() -> bool:
    """Whether SELinux refuses what its policy does not allow."""
    with contextlib.suppress(OSError):
        return (read_small("/sys/fs/selinux/enforce") or "").strip() == "1"
    return False


def _selinux_type(path: str) -> str | None:
    """The third part of a label such as ``system_u:object_r:postgresql_db_t:s0``."""
    try:
        parts = os.getxattr(path, "security.selinux").rstrip(b"\0").decode("utf-8", "replace").split(":")
    except OSError:
        return None
    return parts[2] if len(parts) > 2 else None


def free_inodes(path: str) -> int | None:
    """How many files the file system of a path can still take; None if it sets no limit (it reports 0 in all)."""
    status = os.statvfs(path)
    return status.f_favail if status.f_files else None
