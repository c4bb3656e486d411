# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory on disk: what it is, without a server's help, and careful writes into it.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import shutil
import tempfile
import time
from dataclasses import replace
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pg_control import parse_control_file
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import (
    PidFile,
    parse_pid_file,
    standby_mode,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData, DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.pristine import sign_of_use
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import needs_signal

__all__ = [
    "control_data",
    "default_state_directory",
    "find_bindir",
    "fsync_directory",
    "home_directories",
    "inspect",
    "is_empty",
    "linked_directories",
    "links",
    "nearest_existing",
    "place_exists",
    "private_directory",
    "read_clone_state",
    "read_small",
    "require_stopped",
    "unreadable",
    "write_atomically",
]

_BINDIRS = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin", "/usr/local/pgsql/bin")

_SIGNALS = ("standby.signal", "recovery.signal", "recovery.conf")

# What a file system may put into its root and nobody else owns.
_NOBODYS = frozenset({"lost+found"})

# A server rewrites pg_control at most a few times a second, each time within microseconds.
_CONTROL_READS, _CONTROL_PAUSE = 10, 0.01


def home_directories() -> list[str]:
    """The homes of this host's users."""
    return [entry.pw_dir for entry in pwd.getpwall() if entry.pw_dir]


def default_state_directory(data_directory: str) -> str:
    """Beside the data directory, so that every host that shares the file system sees one lock."""
    parent, name = os.path.split(os.path.abspath(data_directory))
    return os.path.join(parent, f".{name}.standby")


def read_small(path: str) -> str | None:
    """A small text file as it is, line ends included, or None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):  # the last in /proc, of a process that ends
        return None


def fsync_directory(path: str) -> None:
    """Make the entries of a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: str, text: str, mode: int = 0o600) -> None:
    """Replace a file by a complete and durable one. A reader sees the old or the new file, never a part.

    Raises StandbyError when the place cannot be written.
    """
    directory = os.path.dirname(path)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        fsync_directory(directory)
    except OSError as failed:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise StandbyError(
            f"Cannot write {path}: {failed.strerror}."
            " Next: check the owner of its directory, and free space and inodes (df, df -i).",
            "write_failed",
        ) from failed


def nearest_existing(path: str) -> str:
    """The path, or the nearest directory above it that exists: its file system is where the path will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def place_exists(data_directory: str, name: str, value: str) -> bool:
    """Whether a place that a postgresql.conf in the data directory names is right on this host."""
    path = os.path.join(data_directory, value)
    if name == "data_directory":
        return os.path.realpath(path) == os.path.realpath(data_directory)
    if name == "external_pid_file":
        return os.access(os.path.dirname(path), os.W_OK)
    return os.path.exists(path)


def find_bindir(major: int | None, wanted: str | None = None) -> str:
    """The directory of the server programs. Raises StandbyError when there is none for the major version."""
    candidates = [wanted] if wanted else [place.format(major=major) for place in _BINDIRS]
    for directory in candidates:
        if directory and os.access(os.path.join(directory, "postgres"), os.X_OK):
            return directory
    if not wanted:
        found = shutil.which("postgres")
        if found:
            return os.path.dirname(os.path.realpath(found))
    raise StandbyError(
        f"No PostgreSQL {major or ''} server programs in {', '.join(str(place) for place in candidates)}."
        " Next: install the server package, or name its directory in pg_bindir.",
        "postgresql_not_installed",
    )


def control_data(data_directory: str, what: str | None = None) -> ControlData:
    """pg_control of a directory; a message calls that ``what``. Raises StandbyError.

    A server may be writing it at that moment: a damage is believed when it is seen twice.
    """
    path = os.path.join(data_directory, "global", "pg_control")
    content, before = _control_bytes(path), None
    for _attempt in range(_CONTROL_READS):
        try:
            return parse_control_file(content)
        except StandbyError as failed:
            if content == before:
                raise StandbyError(
                    f"{what or data_directory}: {failed.msg} Next: if it is a backup, choose another backup_id;"
                    " a damaged cluster has to be removed or restored.",
                    failed.code,
                ) from failed
        time.sleep(_CONTROL_PAUSE)
        content, before = _control_bytes(path), content
    raise StandbyError(
        f"{path} was written to all the time while it was read. Next: run again.", "control_data_unreadable"
    )


def _control_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as failed:
        raise StandbyError(
            f"Cannot read {path}: {failed.strerror}. Next: run as the database's OS user (os_user).",
            "control_data_unreadable",
        ) from failed


def read_clone_state(state_directory: str) -> dict[str, Any] | None:
    """What an earlier run of the copy left: phase, backup id, process. None where there was none."""
    text = read_small(os.path.join(state_directory, "state.json"))
    if text is None:
        return None
    try:
        state = json.loads(text)
    except ValueError as broken:
        raise StandbyError(
            f"{state_directory}/state.json is not valid: {broken}. Next: look at it, then remove it.",
            "state_unreadable",
        ) from broken
    return state if isinstance(state, dict) else None


def unreadable(path: str, failed: OSError) -> StandbyError:
    """What to raise for a directory that cannot be listed."""
    return StandbyError(
        f"Cannot read directory {path}: {failed.strerror}. Next: give it to the database's OS user.",
        "directory_unreadable",
    )


def is_empty(path: str) -> bool:
    """Whether a directory holds nothing or is not there. Raises StandbyError when that cannot be seen."""
    try:
        return not set(os.listdir(path)) - _NOBODYS
    except FileNotFoundError:
        return True
    except OSError as failed:
        raise unreadable(path, failed) from failed


def links(data_directory: str) -> dict[str, str]:
    """The links of a cluster by their names in it, ``pg_wal`` or ``pg_tblspc/OID``, and the real paths they lead to."""
    names = ["pg_wal"]
    tablespaces = os.path.join(data_directory, "pg_tblspc")
    if os.path.isdir(tablespaces) and not os.path.islink(tablespaces):
        names += [os.path.join("pg_tblspc", name) for name in os.listdir(tablespaces)]
    places = {name: os.path.join(data_directory, name) for name in names}
    return {name: os.path.realpath(place) for name, place in places.items() if os.path.islink(place)}


def linked_directories(data_directory: str) -> set[str]:
    """Where the links of a cluster lead: its tablespaces, and its WAL if that is elsewhere. Real paths."""
    return set(links(data_directory).values())


def private_directory(path: str, mode: int = 0o700) -> None:
    """Make a directory for us, unless it is there, with this mode. Raises StandbyError."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        with contextlib.suppress(PermissionError):  # a mount point of somebody else's may still be writable
            os.chmod(path, mode)
    except OSError as failed:
        raise StandbyError(
            f"Cannot create directory {path}: {failed.strerror}. Next: create it, owned by the database's OS user.",
            "directory_not_writable",
        ) from failed


def inspect(path: str, state_directory: str | None = None) -> DataDir:
    """What the directory is. Reads only; raises StandbyError where even reading is refused."""
    clone = read_clone_state(state_directory or default_state_directory(path))
    # Also where nothing of it is left, as after a crash: its tablespaces may still hold something.
    unfinished = clone is not None and clone.get("phase") != "committed" and clone.get("data_directory") == path
    try:
        entries = tuple(sorted(os.listdir(path)))
    except FileNotFoundError:
        return DataDir(path, "incomplete", clone=clone) if unfinished else DataDir(path, "absent")
    except OSError as failed:
        code = "data_directory_unreadable"
        if failed.errno == errno.ENOTDIR:
            code = "data_directory_invalid"
        raise StandbyError(
            f"Cannot read data directory {path}: {failed.strerror}. Next: run as the database's OS user (os_user).",
            code,
        ) from failed
    if not set(entries) - _NOBODYS and not unfinished:
        return DataDir(path, "empty")
    version = _version(path, entries)
    has_control = os.path.exists(os.path.join(path, "global", "pg_control"))
    if unfinished and not has_control:
        return DataDir(path, "incomplete", version=version, clone=clone, entries=entries)
    if version is None:
        return DataDir(path, "foreign", clone=clone, entries=entries)
    process = _postmaster(path)
    found = DataDir(
        path,
        "foreign",
        version=version,
        control=_control(path) if has_control else None,
        pid=process.pid if process else None,
        port=process.port if process else None,
        socket_directory=process.socket_directory if process else None,
        signals=tuple(name for name in _SIGNALS if name in entries),
        entries=entries,
        clone=clone,
    )
    if unfinished and (clone or {}).get("phase") == "rewinding":
        return replace(found, state="incomplete")  # pg_rewind leaves a pg_control, whenever it ends
    return replace(found, state=_state(found))


def _version(path: str, entries: tuple[str, ...]) -> str | None:
    """The content of PG_VERSION; a database's own directory, which is no cluster, has one as well."""
    if not {"base", "global"} & set(entries):
        return None
    return (read_small(os.path.join(path, "PG_VERSION")) or "").strip() or None


def require_stopped(found: DataDir) -> None:
    """Raises StandbyError when a server runs on the directory."""
    if found.running:
        raise StandbyError(
            f"A server runs on {found.path} (pid {found.pid}). A running server is never replaced or rewound,"
            " whatever is allowed. Next: stop it, if it may go.",
            "server_running",
        )


def _control(path: str) -> ControlData | None:
    """pg_control, or None where it is damaged. That we may not read it is no damage and raises StandbyError."""
    try:
        return control_data(path)
    except StandbyError as failed:
        readable = os.access(os.path.join(path, "global", "pg_control"), os.R_OK)
        if failed.code == "control_data_unreadable" and readable:
            return None
        raise


def _state(found: DataDir) -> str:
    if found.control is None:
        return "foreign"
    if _stands_by(found):
        return "standby"
    settings = read_small(os.path.join(found.path, "postgresql.auto.conf"))
    used = sign_of_use(found.path, found.entries, found.control, found.running, settings)
    return "pristine" if used is None else "cluster"


def _stands_by(found: DataDir) -> bool:
    """Whether a server on it follows an upstream: by standby.signal, until PostgreSQL 11 by recovery.conf."""
    if found.major is not None and not needs_signal(found.major):
        return standby_mode(read_small(os.path.join(found.path, "recovery.conf")) or "")
    return "standby.signal" in found.entries


def _postmaster(path: str) -> PidFile | None:
    """The postmaster of a directory, found by its pid file or, where that is gone, by its working directory."""
    real = os.path.realpath(path)
    text = read_small(os.path.join(path, "postmaster.pid"))
    noted = parse_pid_file(text) if text is not None else None
    if noted is not None and _works_in(noted.pid, real) is not False:
        return noted
    for name in os.listdir("/proc"):
        if name.isdigit() and (read_small(f"/proc/{name}/comm") or "").strip() == "postgres":
            pid = int(name)
            if _works_in(pid, real):
                return PidFile(pid, None, None)
    return None


def _works_in(pid: int, directory: str) -> bool | None:
    """Whether a live process has the directory as its working directory; None when that cannot be seen.

    A process of somebody else than the directory's owner is no postmaster of it: its number was reused.
    """
    try:
        return os.readlink(f"/proc/{pid}/cwd") == directory
    except PermissionError:
        return None if os.stat(f"/proc/{pid}").st_uid == os.stat(directory).st_uid else False
    except OSError:
        return False
