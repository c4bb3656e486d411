# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The standby's connection to its upstream, as libpq keywords. Pure. Private to the collection."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import MASK, is_secret

__all__ = ["hosts", "masked", "of_others", "public", "standby_keywords", "stays", "without_password"]

_LOCALHOST = re.compile(r"(ip6-)?localhost6?(\.localdomain6?)?\.?", re.IGNORECASE)

_FIRST = ("host", "hostaddr", "port", "user")

# Which server to reach and how safely, in keywords that mean the same on every host (PostgreSQL manual of 18, 32.1.2
# "Parameter Key Words").
_EVERYWHERE = frozenset(
    {
        *_FIRST,
        *("channel_binding", "gssencmode", "krbsrvname", "require_auth", "ssl_max_protocol_version"),
        *("ssl_min_protocol_version", "sslmode", "sslnegotiation", "sslsni", "target_session_attrs"),
    }
)

# What a client decides for its own connection: another client does not need it.
_OF_ONE_CLIENT = frozenset(
    {"application_name", "client_encoding", "connect_timeout", "dbname", "fallback_application_name", "replication"}
)


def standby_keywords(
    upstream: Mapping[str, str], replication_user: str | None, application_name: str, dbname: bool = False
) -> dict[str, str]:
    """The keywords of primary_conninfo, in a fixed order.

    ``replication`` and, unless slots are to be synchronised through it, ``dbname`` are the WAL receiver's own
    business and are dropped (PostgreSQL manual of 18, 19.6.3, sync_replication_slots). ``replication_user`` wins over
    ``user``; an ``application_name`` of the upstream's own conninfo is that of another node and is replaced.
    """
    dropped = ("replication",) if dbname else ("dbname", "replication")
    keywords = {name: value for name, value in upstream.items() if name not in dropped and value != ""}
    if replication_user:
        keywords["user"] = replication_user
    keywords["application_name"] = application_name
    order = [name for name in _FIRST if name in keywords]
    return {name: keywords[name] for name in order + sorted(set(keywords) - set(order))}


def masked(keywords: Mapping[str, str]) -> dict[str, str]:
    """The keywords with secrets replaced, for people and logs."""
    return {name: MASK if is_secret(name) else value for name, value in keywords.items()}


def public(keywords: Mapping[str, str]) -> dict[str, str]:
    """The keywords without secrets."""
    return {name: value for name, value in keywords.items() if not is_secret(name)}


def without_password(keywords: Mapping[str, str]) -> dict[str, str]:
    """For pg_rewind, which gets its login as an argument that everybody on the host may read."""
    return {name: value for name, value in keywords.items() if name != "password"}


def of_others(conninfo: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The keywords of a connection that are right on another host as well, and the names of those left out.

    Secrets and the names of files are left out: they belong to the other host.
    """
    taken = {name: value for name, value in conninfo.items() if name in _EVERYWHERE and value != ""}
    left = sorted(name for name, value in conninfo.items() if name not in _EVERYWHERE | _OF_ONE_CLIENT and value != "")
    return taken, tuple(left)


def stays(conninfo: Mapping[str, str]) -> str | None:
    """The host in a connection that does not leave the machine on which it is made; None if it leaves the machine.

    Without a host libpq takes the local socket, as for one that begins with a slash or an at sign (32.1.2).
    """
    named = [*conninfo.get("host", "").split(","), *conninfo.get("hostaddr", "").split(",")]
    found = [host for host in named if host]
    if not found:
        return "the local socket"
    return next((host for host in found if _is_local(host)), None)


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.startswith(("/", "@")) or _LOCALHOST.fullmatch(host) is not None
    return address.is_loopback or address.is_unspecified


def hosts(keywords: Mapping[str, str]) -> tuple[str, ...]:
    """Every host that libpq may connect to (the keyword takes a list)."""
    given = keywords.get("host") or keywords.get("hostaddr") or ""
    return tuple(host for host in given.split(",") if host)
