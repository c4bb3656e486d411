# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a cluster was used since initdb made it. Reads only. Private to the collection."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator

from ansible_collections.pgfleet.standby.plugins.module_utils._files import FILE_SYSTEM_NAMES
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.heap_page import row_numbers
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData

__all__ = ["sign_of_use"]

# Objects that initdb did not make have numbers from here on (PostgreSQL manual, "OID Assignment"; source,
# access/transam.h, FirstNormalObjectId), unless they were made in single-user mode, as initdb makes its own objects.
_FIRST_OF_USERS = 16384

# VAR_OID_PREFETCH (source, access/transam/varsup.c): numbers are reserved 8192 at a time, and a checkpoint of a running
# server notes the end of them. An idle autovacuum takes a few for the statistics of the catalogs.
_RESERVED = 8192

_DATABASES = 3  # template0, template1 and postgres

# initdb writes some 10 MiB of WAL, and an unused server less than 1 MiB.
_LITTLE_WAL = 64 << 20

# What initdb makes, and what a server adds (PostgreSQL manual, "Database File Layout"; source, initdb.c, subdirs).
_USUAL = FILE_SYSTEM_NAMES | frozenset(
    {
        *("PG_VERSION", "base", "global", "log", "current_logfiles", "postmaster.opts", "postmaster.pid"),
        *("pg_hba.conf", "pg_ident.conf", "postgresql.conf", "postgresql.auto.conf"),
        *("pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_multixact", "pg_notify", "pg_replslot", "pg_serial"),
        *("pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase", "pg_wal", "pg_xact"),
    }
)

# Of replication slots, tablespaces and prepared transactions initdb makes none.
_EMPTY = ("pg_replslot", "pg_tblspc", "pg_twophase")

_RELATION = re.compile(r"(\d+)(_fsm|_vm|_init)?")

_NO_RELATIONS = frozenset({"PG_VERSION", "pg_control", "pg_filenode.map", "pg_internal.init"})

# Large objects (pg_largeobject) and settings of roles and databases (pg_db_role_setting): there are none at first.
_EMPTY_RELATIONS = frozenset({"2613", "2964"})

# The catalogs whose first column is an object's number, from PostgreSQL 12 on (source, include/catalog/pg_*.h): objects
# without a file are seen there.
_CATALOGS = frozenset(
    {
        *("1213", "1260", "1262", "6100"),  # tablespaces, roles, databases, subscriptions
        *("1247", "1255", "1259", "2615", "3079"),  # types, functions, relations, schemas, extensions
        *("826", "2605", "2607", "2617", "2995"),  # default rights, casts, conversions, operators, large objects
        *("1417", "1418", "2328", "3456", "3466", "3600", "3602", "6104"),  # foreign data, collations, ... publications
    }
)


def sign_of_use(
    path: str, entries: Collection[str], control: ControlData, running: bool, settings: str | None
) -> str | None:
    """The first sign that a cluster is more than what initdb made, in words; None if there is none.

    ``entries`` are the names in the data directory, ``settings`` is the text of its postgresql.auto.conf. What
    is doubtful counts as a sign. While a server runs, what it did since its last checkpoint is not all seen.
    """
    try:
        return next(_signs(path, entries, control, running, settings or ""), None)
    except OSError as failed:
        return f"{failed.filename} cannot be read: {failed.strerror}"


def _signs(path: str, entries: Collection[str], control: ControlData, running: bool, settings: str) -> Iterator[str]:
    """The signs that cost least come first: most clusters are used, and large."""
    yield from _in_control(control, running)
    strange = sorted(set(entries) - _USUAL)
    if strange:
        yield f"{strange[0]} is none of initdb's files"
    if any(line.strip() and not line.lstrip().startswith("#") for line in settings.splitlines()):
        yield "postgresql.auto.conf holds a setting"
    for name in _EMPTY:
        if os.listdir(os.path.join(path, name)):
            yield f"{name} is not empty"
    databases = os.listdir(os.path.join(path, "base"))
    if len(databases) != _DATABASES or not all(map(_is_initdbs, databases)):
        yield "there are other databases than initdb's"
    places = [os.path.join(path, name) for name in ("global", *(f"base/{database}" for database in databases))]
    for place in places:
        yield from _in_names(place)
    for place in places:
        yield from _in_catalogs(place, control.block_size)


def _in_control(control: ControlData, running: bool) -> Iterator[str]:
    # A server that crashed may have done anything since the checkpoint that pg_control names.
    if control.state != ("in production" if running else "shut down"):
        yield f"its state is {control.state!r}"
    if control.timeline != 1:
        yield f"its timeline is {control.timeline}"
    if control.next_oid > _FIRST_OF_USERS + _RESERVED:
        yield f"its next object has number {control.next_oid}"
    if parse_lsn(control.checkpoint_lsn) - control.wal_segment_size > _LITTLE_WAL:  # the first segment is number 1
        yield f"WAL was written up to {control.checkpoint_lsn}"


def _in_names(directory: str) -> Iterator[str]:
    with os.scandir(directory) as files:
        for file in files:
            if file.name in _NO_RELATIONS:
                continue
            relation = _RELATION.fullmatch(file.name)
            if relation is None or not _is_initdbs(relation.group(1)):
                yield f"{file.path} is none of initdb's files"
            elif file.name in _EMPTY_RELATIONS and file.stat(follow_symlinks=False).st_size:
                yield f"{file.path} is not empty"


def _in_catalogs(directory: str, page_size: int) -> Iterator[str]:
    for name in sorted(_CATALOGS & set(os.listdir(directory))):
        place = os.path.join(directory, name)
        try:
            highest = max((number for page in _pages(place, page_size) for number in row_numbers(page)), default=0)
        except ValueError as unknown:
            yield f"{place} {unknown}"
        else:
            if highest >= _FIRST_OF_USERS:
                yield f"{place} names object {highest}, which initdb did not make"


def _pages(path: str, size: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        page = file.read(size)
        while page:
            if len(page) < size:
                raise ValueError("ends within a page")
            yield page
            page = file.read(size)


def _is_initdbs(number: str) -> bool:
    return number.isdecimal() and int(number) < _FIRST_OF_USERS
