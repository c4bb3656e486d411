# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The standby's connection to its upstream, as libpq keywords. Pure. Private to the collection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["MASK", "hosts", "masked", "public", "secrets", "standby_keywords", "without_password"]

MASK = "********"
_SECRETS = frozenset({"password", "sslpassword"})
_FIRST = ("host", "hostaddr", "port", "user")


def standby_keywords(
    upstream: Mapping[str, str], replication_user: str | None, application_name: str, dbname: bool = False
) -> dict[str, str]:
    """The keywords of primary_conninfo, in a fixed order.

    ``replication`` and, unless slots are to be synchronised through it, ``dbname`` are the WAL receiver's own
    business and are dropped (PostgreSQL manual, 20.6.3 sync_replication_slots). ``replication_user`` wins over
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
    """The keywords with secrets replaced, for whatever a person or a log sees."""
    return {name: MASK if name in _SECRETS else value for name, value in keywords.items()}


def public(keywords: Mapping[str, str]) -> dict[str, str]:
    """The keywords without secrets, for whatever goes on with the others."""
    return {name: value for name, value in keywords.items() if name not in _SECRETS}


def without_password(keywords: Mapping[str, str]) -> dict[str, str]:
    """For pg_rewind, which gets its login as an argument that everybody on the host may read."""
    return {name: value for name, value in keywords.items() if name != "password"}


def secrets(conninfo: Any) -> set[str]:
    """What of a conninfo as it was given must not be shown again; a string with a secret in it, as a whole."""
    if isinstance(conninfo, Mapping):
        return {str(value) for name, value in conninfo.items() if name in _SECRETS and value}
    text = str(conninfo or "")
    return {text} if re.search(r"password|//[^/@]*:[^/@]*@", text) else set()


def hosts(keywords: Mapping[str, str]) -> tuple[str, ...]:
    """Every host that libpq may connect to (the keyword takes a list)."""
    given = keywords.get("host") or keywords.get("hostaddr") or ""
    return tuple(host for host in given.split(",") if host)
