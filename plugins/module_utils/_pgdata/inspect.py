# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a data directory is, read from disk without a server's help. Private to the collection."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import NO_CONTENT, is_empty, read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pg_control import (
    DamagedControlError,
    parse_control_file,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import needs_signal, standby_mode
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData, DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.marks import moved_from, still_ours
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.postmaster import look_for_server
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.pristine import sign_of_use
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import read_clone_state

__all__ = [
    "control_data",
    "inspect",
    "require_stopped",
    "uncertain",
]

# The releases whose pg_control is known (_formats/pg_control.py).
_KNOWN_MAJORS = range(10, 19)

_SIGNALS = ("standby.signal", "recovery.signal", "recovery.conf")

# Times, and seconds. A server rewrites pg_control at most a few times a second, each time by one write (PostgreSQL
# source, controldata_utils.c; before 12 xlog.c).
_CONTROL_READS, _CONTROL_PAUSE = 10, 0.01


def control_data(data_directory: str, what: str | None = None) -> ControlData:
    """pg_control of a directory; a message calls that ``what``.

    Raises DamagedControlError for a damaged file, StandbyError for one that cannot be read or is of an unknown format.
    A server may write the file at that moment: only damage that is seen twice in the same bytes counts.
    """
    path = os.path.join(data_directory, "global", "pg_control")
    content, before = _control_bytes(path), None
    for _attempt in range(_CONTROL_READS):
        try:
            return parse_control_file(content)
        except StandbyError as failed:
            if content == before:
                found = f"{what or data_directory}: {failed.refusal.found}"
                raise type(failed)(replace(failed.refusal, found=found)) from failed
        time.sleep(_CONTROL_PAUSE)
        content, before = _control_bytes(path), content
    raise StandbyError(
        Refusal("control_data_unreadable", f"{path} changed all the time while it was read.", "run again")
    )


def _control_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "control_data_unreadable",
                f"Cannot read {path}: {failed.strerror}.",
                "run as the database's OS user (os_user)",
            )
        ) from failed


def inspect(path: str, state_directory: str | None = None) -> DataDir:
    """What the directory is. Reads only. Raises StandbyError if the directory cannot be read.

    The record of a copy speaks of what is there only if the directory is known by the mark of that copy.
    """
    clone = read_clone_state(state_directory or default_state_directory(path))
    record = clone if clone is not None and _speaks_of(clone, path) else {}
    known = still_ours(record)
    try:
        entries = tuple(sorted(os.listdir(path)))
    except FileNotFoundError:
        # Even if nothing of the data directory is left, as after a crash: its tablespaces may still hold something.
        return DataDir(path, "incomplete" if _left_elsewhere(record, known) else "absent", clone=clone)
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "data_directory_invalid" if failed.errno == errno.ENOTDIR else "data_directory_unreadable",
                f"Cannot read data directory {path}: {failed.strerror}.",
                "run as the database's OS user (os_user)",
            )
        ) from failed
    if _holds_nothing(path, entries):
        state = "incomplete" if _left_elsewhere(record, known) else "empty"
        return _with_server(DataDir(path, state, clone=clone, entries=entries))
    unfinished = path in known and record.get("phase") != "keeping"  # what is not renamed yet is what it was
    version = _version(path, entries)
    has_control = _is_there(os.path.join(path, "global", "pg_control"))
    found = _with_server(DataDir(path, "foreign", version=version, clone=clone, entries=entries))
    if unfinished and not has_control:
        return replace(found, state="incomplete")
    if version is None:
        return found
    found = replace(
        found,
        control=_control(path, version) if has_control else None,
        signals=tuple(name for name in _SIGNALS if name in entries),
    )
    if unfinished and (clone or {}).get("phase") == "rewinding":
        return replace(found, state="incomplete")  # pg_control is there, whenever pg_rewind ends
    return replace(found, state=_state(found))


def _speaks_of(clone: Mapping[str, Any], path: str) -> bool:
    """Whether a record is of something that has begun and not ended in a directory of this path."""
    return clone.get("phase") != "committed" and clone.get("data_directory") == path


def _left_elsewhere(record: Mapping[str, Any], known: Sequence[str]) -> bool:
    """Whether something is unfinished that has nothing in the data directory yet, or nothing any more."""
    if record.get("phase") == "keeping":  # the data directory is the first that is renamed
        return any(moved_from(record, source, target) for source, target in record.get("moves", ())[:1])
    return bool(known)


def _holds_nothing(path: str, entries: Iterable[str]) -> bool:
    """Whether a directory is empty, but for what a file system puts there, and for a place that waits for the WAL:
    on a new host the WAL's own file system may be mounted already.
    """
    names = set(entries) - NO_CONTENT
    wal = os.path.join(path, "pg_wal")
    return not names or (names == {"pg_wal"} and os.path.isdir(wal) and not os.path.islink(wal) and is_empty(wal))


def _version(path: str, entries: tuple[str, ...]) -> str | None:
    """The content of PG_VERSION; a database's own directory, which is no cluster, has one as well."""
    if not {"base", "global"} & set(entries):
        return None
    return (read_small(os.path.join(path, "PG_VERSION")) or "").strip() or None


def _is_there(path: str) -> bool:
    """Whether a file is there; one that may not be looked at counts."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        return True
    return True


def _with_server(pgdata: DataDir) -> DataDir:
    """The directory with the server that runs on it, and how to reach that."""
    seen = look_for_server(pgdata.path)
    if seen.server is None:
        return replace(pgdata, doubt=seen.doubt)
    server = seen.server
    sockets = server.socket_directory
    if sockets is not None and not sockets.startswith(("/", "@")):
        sockets = os.path.join(os.path.abspath(pgdata.path), sockets)  # a server works in its data directory
    return replace(
        pgdata,
        pid=server.pid,
        port=server.port,
        socket_directory=sockets,
        listen_address=server.listen_address,
        status=server.status,
    )


def require_stopped(pgdata: DataDir) -> None:
    """Raises StandbyError when a server runs on the directory, or when that cannot be told."""
    if pgdata.running:
        raise StandbyError(
            Refusal(
                "server_running",
                f"A server runs on {pgdata.path} (pid {pgdata.pid}). A running server is never replaced or rewound,"
                " whatever is allowed.",
                "stop the server, if it may be replaced",
            )
        )
    if pgdata.doubt is not None:
        raise StandbyError(uncertain(pgdata))


def uncertain(pgdata: DataDir) -> Refusal:
    """The refusal for a directory on which a server may run that is not seen."""
    return Refusal(
        "server_uncertain",
        f"Whether a server runs on {pgdata.path} is not certain: {pgdata.doubt}. The directory is left alone,"
        " whatever is allowed.",
        "look for that server, also in containers and on other hosts; if there is none, remove postmaster.pid",
    )


def _control(path: str, version: str) -> ControlData | None:
    """pg_control, or None if it is damaged.

    Raises StandbyError if it may not be read, or if the cluster may be whole for a release that is not known here:
    that is no damage.
    """
    try:
        return control_data(path)
    except DamagedControlError:
        if _is_of_known_release(version):
            return None
        raise StandbyError(
            Refusal(
                "control_data_unknown",
                f"{path} is a cluster of PostgreSQL {version}, whose pg_control is not known here. It is left alone,"
                " whatever is allowed.",
                "use a release of this collection that knows that version, or another directory",
            )
        ) from None


def _is_of_known_release(version: str) -> bool:
    head = version.partition(".")[0]
    return not head.isdecimal() or int(head) in _KNOWN_MAJORS


def _state(pgdata: DataDir) -> str:
    if pgdata.control is None:
        return "foreign"
    if _stands_by(pgdata):
        return "standby"
    settings = read_small(os.path.join(pgdata.path, "postgresql.auto.conf"))
    used = sign_of_use(pgdata.path, pgdata.entries, pgdata.control, pgdata.running, settings)
    return "pristine" if used is None else "cluster"


def _stands_by(pgdata: DataDir) -> bool:
    """Whether a server on the directory would follow an upstream: standby.signal says so, until 11 recovery.conf."""
    if pgdata.major is not None and not needs_signal(pgdata.major):
        return standby_mode(read_small(os.path.join(pgdata.path, "recovery.conf")) or "")
    return "standby.signal" in pgdata.entries
