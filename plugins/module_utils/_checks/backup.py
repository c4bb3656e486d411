# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdicts of a preflight: one function per question, over what was observed. Pure.

Every function returns verdicts and raises nothing, so that all problems are told at once.
Private to the collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn, parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, CheckItem, Upstream, Verdict
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.paths import overlaps, problem
from ansible_collections.pgfleet.standby.plugins.module_utils._times import spoken

__all__ = [
    "backup",
    "barman",
    "configuration",
    "errors",
    "hot_standby",
    "message",
    "numbered",
    "paths",
    "settings_to_raise",
    "space",
    "staged",
    "staged_plan",
    "starter",
    "upstream",
    "version",
]

_WAL_RESERVE = 1 << 30


def errors(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts that stop a clone."""
    return [verdict for verdict in verdicts if verdict.severity == "error"]


def message(host: str, data_directory: str, found: Iterable[Verdict]) -> str:
    """All problems in one text for one person."""
    return f"{host} cannot become a standby in {data_directory}; nothing was changed. {numbered(found)}"


def numbered(found: Iterable[Verdict]) -> str:
    """The one problem, or all of them with their number."""
    problems = list(found)
    if len(problems) == 1:
        return problems[0].msg
    said = " ".join(f"({number}) {verdict.msg}" for number, verdict in enumerate(problems, 1))
    return f"{len(problems)} problems: {said}"


def paths(data_directory: str, others: Mapping[str, str], homes: Iterable[str]) -> list[Verdict]:
    """Whether every place may be written at all. ``others`` maps the option or tablespace to its path."""
    found = []
    known = list(homes)
    for name, path in [("data_directory", data_directory), *others.items()]:
        why = problem(path, known)
        if why is not None:
            found.append(
                Verdict(
                    "paths",
                    "error",
                    f"{name}={path!r} cannot be used: {why}. Next: name a directory of its own.",
                    "path_dangerous",
                )
            )
    clash = overlaps([data_directory, *others.values()])
    if clash is not None and not found:
        found.append(
            Verdict(
                "paths",
                "error",
                f"{clash[0]} and {clash[1]} overlap. Next: map them to separate directories.",
                "path_overlap",
            )
        )
    return found or [Verdict("paths", "ok", "all paths may be used")]


def barman(checks: Iterable[CheckItem]) -> list[Verdict]:
    """Barman's own verdicts of its server: those that stop a clone, and those that only tell, a dead primary's too."""
    failed = [item for item in checks if not item.ok]
    found = []
    for item in failed:
        hint = f" ({item.hint})" if item.hint else ""
        if item.blocking:
            msg = f"`barman check` fails at {item.name}{hint}. Next: mend that on the Barman host."
            found.append(Verdict("barman", "error", msg, "barman_check_failed"))
        else:
            found.append(Verdict("barman", "warning", f"`barman check` fails at {item.name}{hint}; a clone goes on."))
    return found or [Verdict("barman", "ok", "`barman check` finds nothing wrong")]


def backup(chosen: Backup, now: int) -> list[Verdict]:
    """What the backup is and how old, for whoever reads the plan. ``now`` is seconds since 1970."""
    size = f", {chosen.size} bytes" if chosen.size is not None else ""
    what = f"backup {chosen.backup_id} of {chosen.server} is {chosen.status}, of type {chosen.type}{size}"
    age = "" if chosen.end_timestamp is None else f", {spoken(max(0, now - chosen.end_timestamp))} ago"
    return [Verdict("backup", "ok", f"{what}, taken at {chosen.end_time}{age}")]


def staged(chosen: Backup) -> list[Verdict]:
    """That a backup of this kind takes another step before it."""
    kind = "encrypted" if chosen.encryption else "incremental"
    how = "is restored on the Barman host first, and what it holds is checked then"
    return [Verdict("staging", "ok", f"backup {chosen.backup_id} is {kind}: it {how}")]


def staged_plan(chosen: Backup, targets: Mapping[int, str]) -> dict[str, Any]:
    """What a plan can tell of a copy before its files are there."""
    size = chosen.size or 0
    return {
        "staged": True,
        "bytes": size,
        "bytes_to_copy": size,
        "tablespaces": [
            {"name": space.name, "oid": space.oid, "location": targets[space.oid], "bytes": None}
            for space in chosen.tablespaces
        ],
    }


def starter(service: str | None, places: Iterable[str]) -> list[Verdict]:
    """Whether the server can be started at these places. Without a service pg_ctl does, by a shell's command line
    in which it puts paths between double quotes (PostgreSQL's pg_ctl.c, start_postmaster)."""
    unfit = [place for place in places if set('"$`\\\n') & set(place)]
    if service or not unfit:
        return [Verdict("service", "ok", service or "pg_ctl")]
    return [
        Verdict(
            "service",
            "error",
            f"pg_ctl cannot start a server at {unfit[0]!r}: it would pass the path through a shell."
            " Next: name a systemd unit in service, or choose a path without quotes, dollars and backslashes.",
            "path_unfit_for_pg_ctl",
        )
    ]


def version(backup: Backup, server_version: str) -> list[Verdict]:
    """Whether the programs here are of the backup's major version; ``server_version`` is ``postgres --version``."""
    word = next((part for part in server_version.split() if part[0].isdigit()), "")
    major = "".join(takewhile(str.isdigit, word))
    if major == str(backup.major):
        return [Verdict("version", "ok", f"PostgreSQL {word} here, {backup.major} in the backup")]
    return [
        Verdict(
            "version",
            "error",
            f"The server programs here are PostgreSQL {word}, backup {backup.backup_id} is of {backup.major}."
            f" Next: install PostgreSQL {backup.major}, or name its directory in pg_bindir.",
            "version_differs",
        )
    ]


def upstream(backup: Backup, server: Upstream) -> list[Verdict]:
    """Whether a standby made from the backup can follow this upstream."""
    if backup.system_identifier not in (None, server.system_identifier):
        return [
            Verdict(
                "upstream",
                "error",
                f"The upstream {server.host} has system identifier {server.system_identifier},"
                f" backup {backup.backup_id} of {backup.server} has {backup.system_identifier}:"
                " they are different clusters. Next: correct upstream_conninfo or barman_server.",
                "system_identifier_differs",
            )
        ]
    if backup.major != server.version // 10000:
        return [
            Verdict(
                "upstream",
                "error",
                f"The upstream {server.host} runs PostgreSQL {server.version // 10000}, backup {backup.backup_id} is of"
                f" {backup.major}. Next: choose a backup that was taken after the upgrade.",
                "upstream_version_differs",
            )
        ]
    return [_timeline(backup, server)]


def _timeline(backup: Backup, server: Upstream) -> Verdict:
    if backup.timeline in (None, server.timeline):
        return Verdict("timeline", "ok", f"backup and upstream are on timeline {server.timeline}")
    left = dict(server.history).get(int(backup.timeline or 0))
    if left is not None and backup.end_lsn and left >= parse_lsn(backup.end_lsn):
        return Verdict(
            "timeline",
            "ok",
            f"the upstream left the backup's timeline {backup.timeline} at {format_lsn(left)}, after the backup",
        )
    return Verdict(
        "timeline",
        "error",
        f"Backup {backup.backup_id} ends at {backup.end_lsn} on timeline {backup.timeline}, which is no ancestor of the"
        f" upstream's timeline {server.timeline} there. Next: choose a backup taken from the upstream's own history.",
        "timeline_not_ancestor",
    )


def settings_to_raise(effective: Mapping[str, int], *needed: Mapping[str, int]) -> dict[str, int]:
    """The settings that are too low here, with the value they need."""
    wanted = {name: max(int(source.get(name, 0)) for source in needed) for name in effective}
    return {name: value for name, value in wanted.items() if effective[name] < value}


def hot_standby(effective: Mapping[str, int], to_raise: Mapping[str, int], policy: str) -> list[Verdict]:
    """Whether the server would start as a hot standby; ``policy`` is ``raise`` or ``refuse``."""
    if not to_raise:
        return [Verdict("hot_standby_settings", "ok", "the settings here are not below the primary's")]
    said = ", ".join(f"{name} {effective[name]} (needs {value})" for name, value in sorted(to_raise.items()))
    if policy == "raise":
        return [Verdict("hot_standby_settings", "warning", f"Raised in postgresql.auto.conf of the standby: {said}.")]
    return [
        Verdict(
            "hot_standby_settings",
            "error",
            f"A standby does not start with settings below the primary's: {said}."
            " Next: raise them in this host's configuration, or allow it with hot_standby_settings=raise.",
            "hot_standby_settings",
        )
    ]


def space(needed: Mapping[str, int], available: Mapping[str, int], wal_backlog: int) -> list[Verdict]:
    """Whether the bytes fit. ``needed`` and ``available`` are per file system, named by a path on it.

    The first one holds the data directory and gets a reserve for the WAL that replay brings:
    what there is of it, at most 1 GiB.
    """
    found = []
    reserve = min(max(0, wal_backlog), _WAL_RESERVE)
    for place, size in needed.items():
        wanted = size + reserve
        reserve = 0
        if wanted > available[place]:
            found.append(
                Verdict(
                    "space",
                    "error",
                    f"The file system of {place} has {available[place]} bytes free, the clone needs {wanted}."
                    " Next: make room, or map tablespaces elsewhere by tablespace_mapping.",
                    "space_missing",
                )
            )
    return found or [Verdict("space", "ok", "the clone fits")]


def configuration(config_file: str, exists: bool, names_directory: str | None, data_directory: str) -> list[Verdict]:
    """Whether the server will find a configuration, and whether that speaks of this data directory."""
    if not exists:
        return [
            Verdict(
                "configuration",
                "error",
                f"There will be no {config_file}: the backup carries none and none is here. Next: put the standby's"
                " postgresql.conf there, or name its directory in config_directory.",
                "configuration_missing",
            )
        ]
    if names_directory is not None and names_directory.rstrip("/") != data_directory.rstrip("/"):
        return [
            Verdict(
                "configuration",
                "error",
                f"{config_file} sets data_directory to {names_directory}, not to {data_directory}."
                " Next: correct it, or correct data_directory or service.",
                "configuration_other_directory",
            )
        ]
    return [Verdict("configuration", "ok", f"{config_file} is used")]
