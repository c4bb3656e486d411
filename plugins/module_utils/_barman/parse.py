# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Barman's JSON and backup.info as the model's dataclasses. Pure. Private to the collection.

Field names and the versions they appeared in were read from Barman 2.12 to 3.19 and are
tested on recorded outputs.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from itertools import takewhile
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, BarmanServer, CheckItem, Tablespace
from ansible_collections.pgfleet.standby.plugins.module_utils._times import parse_time

__all__ = [
    "complete_backup",
    "messages",
    "parse_backup",
    "parse_backup_info",
    "parse_backup_list",
    "parse_checks",
    "parse_conninfos",
    "parse_json",
    "parse_keep",
    "parse_server",
    "parse_version",
    "parse_wal_directories",
    "parse_worm_mode",
]

# A clone reads the catalogue and the backup; the other items (a stopped primary, a late
# archiver, retention) matter to Barman's next backup, not to the one that is copied.
_BLOCKING_CHECKS = frozenset({"configuration", "directories", "wal_archive"})

# A conninfo that holds a password holds one of these.
_OF_CONNINFO = ("=", "://")

# The types of all methods that Barman had before it told them apart itself; incremental backups came with that.
_TYPES = {
    "passive": "full",  # as later versions tell it
    "postgres": "full",
    "rsync-concurrent": "rsync",
    "rsync-exclusive": "rsync",
    "snapshot": "snapshot",
    "snapshot-concurrent": "snapshot",
}


def parse_version(text: str) -> tuple[int, ...]:
    """``(3, 19, 1)`` for the first line of ``barman -v``. Raises StandbyError when there is no number."""
    match = re.search(r"(\d+(?:\.\d+)+)", text)
    if match is None:
        raise StandbyError(
            Refusal(
                "barman_output",
                f"`barman -v` printed no version: {text[:200]!r}.",
                "correct barman_executable, and silence what else prints on login there",
            )
        )
    return tuple(int(part) for part in match.group(1).split("."))


def parse_json(text: str) -> dict[str, Any]:
    """The JSON object of a Barman command; a login banner before it is passed over. Raises StandbyError."""
    start = text.find("{")
    try:
        document = json.loads(text[start:]) if start >= 0 else None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        # What looks like the document is not repeated: it may hold a connection string.
        before = text if start < 0 else text[:start]
        raise StandbyError(
            Refusal(
                "barman_output",
                f"Barman printed no complete JSON document; before it came {before[:200]!r}.",
                "run the same command by hand",
            )
        )
    return document


def messages(text: str) -> str:
    """What Barman complained about in an answer: its ``_ERROR``, ``_WARNING`` and ``_EXCEPTION`` lists.

    Of an answer that breaks off, or is no JSON, only what comes before the document counts, up to the first line that
    may be a part of a conninfo: the rest may be the parameters of a server.
    """
    try:
        document = parse_json(text)
    except StandbyError:
        before = text.partition("{")[0].splitlines()
        return "\n".join(takewhile(lambda line: not any(mark in line for mark in _OF_CONNINFO), before))
    lines: list[str] = []
    for key in ("_EXCEPTION", "_ERROR", "_WARNING"):
        found = document.get(key, [])
        lines += [str(line) for line in (found if isinstance(found, list) else [found])]
    return "\n".join(lines)


def _server_section(document: dict[str, Any], server: str) -> Any:
    """The part of an answer that belongs to the server.

    Before 3.17 Barman answers for an inactive server with exit code 0 and no such part.
    Raises StandbyError.
    """
    if server not in document:
        info = "; ".join(str(line) for line in document.get("_INFO", []))
        raise StandbyError(
            Refusal(
                "barman_server_inactive",
                f"Barman says nothing of server {server} ({info or 'no message'}).",
                "make it active in Barman's configuration",
            )
        )
    return document[server]


def parse_server(document: dict[str, Any], server: str) -> BarmanServer:
    """``barman -f json show-servers``. The answer holds passwords in clear; only harmless keys leave this function."""
    section = _server_section(document, server)
    return BarmanServer(
        name=server,
        active=_truth(section.get("active", True)) and not _truth(section.get("disabled", False)),
        backup_method=str(section.get("backup_method")),
        backup_directory=str(section["backup_directory"]),
        basebackups_directory=str(section["basebackups_directory"]),
        passive=_truth(section.get("passive_node", False)),
        postgres_version=_text(section.get("server_txt_version")),
        system_identifier=_text(section.get("postgres_systemid")) or _text(section.get("streaming_systemid")),
        primary_data_directory=_text(section.get("data_directory")),
        primary_config_file=_text(section.get("config_file")),
        primary_hba_file=_text(section.get("hba_file")),
        primary_ident_file=_text(section.get("ident_file")),
    )


def parse_conninfos(document: dict[str, Any], server: str) -> dict[str, str]:
    """Its connections in ``barman -f json show-servers``, that for replication first. They may hold passwords.

    A passive node has none. Where ``streaming_conninfo`` is not configured it is ``conninfo`` (Barman manual,
    configuration of servers), and left out here.
    """
    section = _server_section(document, server)
    found = {name: _text(section.get(name)) for name in ("streaming_conninfo", "conninfo")}
    if found["streaming_conninfo"] == found["conninfo"]:
        del found["streaming_conninfo"]
    return {name: value for name, value in found.items() if value is not None}


def parse_checks(document: dict[str, Any], server: str) -> tuple[CheckItem, ...]:
    """``barman -f json check``, in Barman's order."""
    section = _server_section(document, server)
    return tuple(
        CheckItem(
            name=name,
            ok=item.get("status") == "OK",
            hint=item.get("hint") or "",
            blocking=name in _BLOCKING_CHECKS,
        )
        for name, item in section.items()
        if isinstance(item, dict)
    )


def parse_backup_list(document: dict[str, Any], server: str, true_timestamps: bool = True) -> tuple[Backup, ...]:
    """``barman -f json list-backups``, newest first.

    ``end_time`` is there for backups that were copied, as Python's ``ctime()`` prints it: without a zone, in that of
    the backup's record. ``end_time_timestamp`` is the moment from Barman 3.1.0 on. Before, it is off if the record's
    zone (PostgreSQL's ``timezone``) is not that of the Barman host: say so by ``true_timestamps``, and it is left out.
    ``backup_name`` came with Barman 3.3.0, ``backup_type`` with 3.11.
    """
    rows = _server_section(document, server)
    backups = (
        Backup(
            backup_id=row["backup_id"],
            status=row["status"],
            server=server,
            type=row.get("backup_type"),
            name=row.get("backup_name"),
            end_time=row.get("end_time"),
            end_timestamp=_end_timestamp(row) if true_timestamps else None,
            size=row.get("size_bytes"),
        )
        for row in rows
    )
    return tuple(sorted(backups, key=lambda backup: backup.backup_id, reverse=True))


def parse_backup(document: dict[str, Any], server: str) -> Backup:
    """``barman -f json show-backup``, as much as this version of Barman tells; see `complete_backup`.

    All versions print ``end_time`` in ISO 8601 with its offset. ``end_time_timestamp`` beside it says the same, but is
    wrong before 3.1.0 as it is in `parse_backup_list`; it is used only if a later version should leave the offset out.
    """
    section = _server_section(document, server)
    base = section.get("base_backup_information", {})
    return Backup(
        backup_id=section["backup_id"],
        status=section["status"],
        server=server,
        type=section.get("backup_type"),
        mode=base.get("backup_method"),
        name=section.get("backup_name"),
        compression=base.get("compression"),
        encryption=base.get("encryption"),
        version=section.get("postgresql_version"),
        system_identifier=_text(section.get("system_id")),
        timeline=base.get("timeline"),
        begin_wal=base.get("begin_wal"),
        end_wal=base.get("end_wal"),
        begin_lsn=base.get("begin_lsn"),
        end_lsn=base.get("end_lsn"),
        begin_time=base.get("begin_time"),
        end_time=base.get("end_time"),
        end_timestamp=_end_timestamp(base),
        size=section.get("cluster_size_bytes") or base.get("backup_size_bytes"),
        data_directory=section.get("pgdata_directory"),
        tablespaces=tuple(
            Tablespace(str(item["name"]), int(item["oid"]), str(item["location"]))
            for item in section.get("tablespaces") or ()
        ),
        error=section.get("error"),
        root_backup_id=_text((section.get("catalog_information") or {}).get("root_backup_id")),
    )


def parse_keep(document: dict[str, Any], server: str) -> str:
    """``barman -f json keep --status``: ``full``, ``standalone`` or ``nokeep``."""
    return str(_server_section(document, server)["keep_status"]["message"])


def parse_worm_mode(document: dict[str, Any], server: str) -> bool:
    """``barman -f json show-servers``: an option since Barman 3.13.0."""
    return _truth(_server_section(document, server).get("worm_mode", False))


def parse_wal_directories(document: dict[str, Any], server: str) -> tuple[str, ...]:
    """``barman -f json show-servers``: where Barman's WAL is, the archive first."""
    section = _server_section(document, server)
    names = ("wals_directory", "incoming_wals_directory", "streaming_wals_directory")
    return tuple(str(section[name]) for name in names)


def parse_backup_info(text: str) -> dict[str, Any]:
    """A backup.info file: one ``key=value`` a line, values as Python literals or bare text."""
    values: dict[str, Any] = {}
    for line in text.splitlines():
        key, mark, raw = line.partition("=")
        if not mark:
            continue
        try:
            values[key] = ast.literal_eval(raw)
        except (ValueError, SyntaxError):
            values[key] = raw
    return values


def complete_backup(backup: Backup, info: dict[str, Any]) -> Backup:
    """The backup with what only its backup.info tells.

    That is the compression before Barman 3.16; type, method, system identifier and size before 3.11.
    """
    mode = backup.mode or _text(info.get("mode"))
    return replace(
        backup,
        mode=mode,
        type=backup.type or _TYPES.get(mode or ""),
        system_identifier=backup.system_identifier or _text(info.get("systemid")),
        size=backup.size or info.get("size"),
        compression=_text(info.get("compression")),
    )


def _end_timestamp(told: dict[str, Any]) -> int | None:
    """The end of a backup in whole seconds since 1970; the text first, if it says which moment that is."""
    moment = parse_time(str(told.get("end_time")))
    if moment is not None and moment.timestamp is not None:
        return moment.timestamp
    number = str(told.get("end_time_timestamp"))
    return int(number) if re.fullmatch(r"[0-9]+", number) else None


def _text(value: Any) -> str | None:
    return None if value in (None, "", "None") else str(value)


def _truth(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "yes", "on")
