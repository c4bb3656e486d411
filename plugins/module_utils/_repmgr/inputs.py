# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which inputs of the role stand for the settings of repmgr.conf. Pure. Private to the collection."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import secrets
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.conf import canonical, tablespace
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.names import BACKUP_API, CLONE, OTHERS, RENAMED
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.service import unit_of, words_of

__all__ = ["Missing", "Translation", "Unsupported", "as_upstream", "translate"]

_PREFIX = "standby_from_barman_"

# repmgr's own; the collection has a time limit of its own and shows what ssh says.
_DEFAULT_SSH_OPTIONS = ["-q", "-o", "ConnectTimeout=10"]

_BOOLEANS = {
    **dict.fromkeys(("1", "true", "on", "yes"), True),
    **dict.fromkeys(("0", "false", "off", "no"), False),
}

# What repmgr takes over as it is, and whether it is a directory.
_SAME = {
    "barman_host": ("host", False),
    "barman_server": ("server", False),
    "barman_config": ("config", False),
    "data_directory": ("data_directory", True),
    "config_directory": ("config_directory", True),
    "pg_bindir": ("pg_bindir", True),
    "replication_user": ("replication_user", False),
    "node_name": ("application_name", False),
    "restore_command": ("restore_command", False),
    "archive_cleanup_command": ("archive_cleanup_command", False),
    "passfile": ("passfile", False),
}

_REQUIRED = {
    "host": "barman_host is not set, so repmgr does not clone from Barman",
    "server": "barman_server is not set",
    "data_directory": "data_directory is not set",
}

# Not of another node: what repmgr leaves out of primary_conninfo, or writes itself; and secrets.
_NODES_OWN = frozenset(
    ("application_name", "dbname", "passfile", "password", "replication", "servicefile", "sslpassword")
)


class Missing(NamedTuple):
    """An input that the role needs and that does not follow from the file."""

    input: str
    why: str
    next: str


class Unsupported(NamedTuple):
    """A setting that no input stands for; ``value`` is None if it could be a secret."""

    name: str
    value: str | None
    why: str
    next: str


@dataclass
class Translation:
    """What became of the settings."""

    inputs: dict[str, Any] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    unsupported: list[Unsupported] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def give(self, name: str, value: Any) -> None:
        """An input, by its name without the prefix."""
        self.inputs[_PREFIX + name] = value

    def lack(self, name: str, why: str, what: str) -> None:
        """A missing input, by its name without the prefix."""
        self.missing.append(Missing(_PREFIX + name, why, what))

    def refuse(self, name: str, value: str | None, why: str, what: str) -> None:
        """A setting that no input stands for. A value in which a password could be is not shown."""
        self.unsupported.append(Unsupported(name, None if secrets(value) else value, why, what))


def translate(settings: Sequence[tuple[str, str]], conninfo: Mapping[str, str] | None) -> Translation:
    """The settings of a file in their order, and the keywords of its conninfo, None if libpq does not take it.

    Raises StandbyError for values with which repmgr does not start.
    """
    # The last one counts, an empty one as none; only tablespaces add up.
    given = {name: value for name, value in dict(settings).items() if value}
    found = Translation()
    for name, (ours, is_path) in _SAME.items():
        if name in given:
            found.give(ours, canonical(given[name]) if is_path else given[name])
    _tablespaces(found, [value for name, value in settings if name == "tablespace_mapping"])
    _delay(found, given)
    _slot(found, given)
    _conninfo(found, given, conninfo)
    _ssh(found, given)
    _basebackup(found, given)
    _service(found, given)
    _others(found, given)
    for ours, why in _REQUIRED.items():
        if _PREFIX + ours not in found.inputs:
            found.lack(ours, why, "give it in the inventory")
    found.ignored = sorted(name for name in given if name in OTHERS or (name in BACKUP_API and "barman_host" in given))
    found.unknown = sorted(set(dict(settings)) - CLONE - BACKUP_API - OTHERS - set(RENAMED))
    return found


def as_upstream(conninfo: Mapping[str, str], replication_user: str | None) -> dict[str, str]:
    """What a standby of this node has as the connection to its upstream, as repmgr would make it, without secrets."""
    keywords = {name: value for name, value in conninfo.items() if name not in _NODES_OWN and value}
    return {**keywords, "user": replication_user} if replication_user else keywords


def _tablespaces(found: Translation, values: Sequence[str]) -> None:
    mapping: dict[str, str] = {}
    for value in values:
        pair = tablespace(value)
        if pair is None:
            raise _invalid("tablespace_mapping", "it is not OLD=NEW")
        mapping.setdefault(*pair)  # the first one counts
    if mapping:
        found.give("tablespace_mapping", mapping)


def _delay(found: Translation, given: Mapping[str, str]) -> None:
    name = "recovery_min_apply_delay"
    if name in given:
        if not re.fullmatch(r"\s*\+?[0-9]+(ms|s|min|h|d)?", given[name]):
            raise _invalid(name, "it is not a number with one of the units ms, s, min, h and d")
        found.give(name, given[name].strip().lstrip("+"))


def _slot(found: Translation, given: Mapping[str, str]) -> None:
    number = re.match(r"\s*\+?([0-9]+)", given.get("node_id", ""))
    if "node_id" in given and (number is None or not 0 < int(number.group(1)) < 1 << 31):
        raise _invalid("node_id", "it is not a number from 1 on")
    if _truth(given, "use_replication_slots"):
        # The name that repmgr records when the standby is registered.
        found.give("slot_name", f"repmgr_slot_{int(number.group(1))}" if number else "auto")


def _conninfo(found: Translation, given: Mapping[str, str], conninfo: Mapping[str, str] | None) -> None:
    user = given.get("replication_user") or (conninfo or {}).get("user")
    streams = f", user {user} if the nodes have the same one" if user else ""
    found.lack(
        "upstream_conninfo",
        "the conninfo in repmgr.conf is that of the node itself; repmgr takes the upstream's from its command line"
        " or from the table repmgr.nodes",
        f"take as_upstream of the upstream's own repmgr.conf, write it{streams}, or leave it to Barman's own conninfo",
    )
    if "conninfo" in given and conninfo is None:
        found.refuse("conninfo", None, "libpq does not understand it", "correct it")
    for name in sorted({"password", "sslpassword"} & {name for name, value in (conninfo or {}).items() if value}):
        found.refuse(
            "conninfo",
            None,
            f"it holds a {name}, which is not shown here and not taken over",
            f"give the upstream's as {_PREFIX}upstream_password, from a vault"
            if name == "password"
            else "keep the key without one",
        )
    if _truth(given, "use_primary_conninfo_password"):
        found.give("use_primary_conninfo_password", True)
        found.lack("upstream_password", "repmgr takes it from the environment (PGPASSWORD)", "give it, from a vault")


def _ssh(found: Translation, given: Mapping[str, str]) -> None:
    name = "ssh_options"
    words = words_of(given.get(name, ""))
    if words is None:
        found.refuse(name, given[name], "its words cannot be told apart", f"give them as {_PREFIX}{name}, one by one")
    elif words and words != _DEFAULT_SSH_OPTIONS:
        found.give(name, words)


def _basebackup(found: Translation, given: Mapping[str, str]) -> None:
    name = "pg_basebackup_options"
    words = words_of(given.get(name, ""))
    if words is None:
        found.refuse(name, given[name], "its words cannot be told apart", f"give --waldir as {_PREFIX}waldir")
        return
    others: list[str] = []
    while words:
        option, equals, value = words.pop(0).partition("=")
        if option in ("--waldir", "--xlogdir") and (equals or words):
            found.give("waldir", canonical(value if equals else words.pop(0)))
        else:
            others.append(option + equals + value)
    if others:
        found.refuse(
            name,
            shlex.join(others),
            "they are for pg_basebackup alone, which repmgr does not use with Barman, either",
            f"leave them out, or give them as {_PREFIX}pg_basebackup_options with {_PREFIX}method=pg_basebackup",
        )


def _service(found: Translation, given: Mapping[str, str]) -> None:
    name = "service_start_command"
    unit = unit_of(given.get(name, "pg_ctl"), given.get("data_directory", ""))
    if unit is None:
        found.refuse(
            name,
            given[name],
            "it does not tell which systemd unit is the server's, and other commands are not run",
            f"give the unit as {_PREFIX}service; without one pg_ctl is used",
        )
    elif unit:
        found.give("service", unit)


def _others(found: Translation, given: Mapping[str, str]) -> None:
    if "rsync_options" in given:
        found.refuse(
            "rsync_options",
            given["rsync_options"],
            "repmgr does not use it with Barman; how rsync is called is decided here",
            f"see {_PREFIX}jobs, {_PREFIX}bwlimit and {_PREFIX}compress",
        )
    if given.get("replication_type", "physical").lower() != "physical":
        found.refuse("replication_type", given["replication_type"], "only physical standbys are made", "remove it")
    for name in sorted(RENAMED.keys() & given):
        found.refuse(name, given[name], "repmgr passes it over since version 4", RENAMED[name])
    if "barman_host" not in given:
        for name in sorted(BACKUP_API & set(given)):
            found.refuse(
                name,
                given[name],
                "Barman is asked by ssh, not by its HTTP interface",
                f"give {_PREFIX}backup_id" if name.endswith("_id") else f"give {_PREFIX}host and {_PREFIX}server",
            )


def _truth(given: Mapping[str, str], name: str) -> bool:
    value = given.get(name, "no").lower()
    if value not in _BOOLEANS:
        raise _invalid(name, "it is neither true nor false")
    return _BOOLEANS[value]


def _invalid(name: str, why: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "repmgr_conf_invalid",
            f"The value of {name} in repmgr.conf is wrong: {why}.",
            "correct that value; repmgr refuses it, too",
        )
    )
