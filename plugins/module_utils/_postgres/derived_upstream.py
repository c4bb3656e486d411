# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The upstream if none is given: the server that Barman backs up. Private to the collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import of_others, stays
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import parsed_conninfo

__all__ = ["Derived", "derive"]


@dataclass(frozen=True)
class Derived:
    """libpq keywords without secrets; ``source`` names the setting of Barman, ``left_out`` the keywords not taken."""

    conninfo: dict[str, str]
    source: str
    left_out: tuple[str, ...]


def derive(conninfos: Mapping[str, str], server: str) -> Derived:
    """The connection for a standby, from the first of Barman's ``conninfos``, which are by their setting's name.

    Raises StandbyError if Barman has no conninfo, or one that leads nowhere from another host.
    """
    if not conninfos:
        raise _failure(f"Barman has no conninfo of server {server} here, as on a passive node")
    name, text = next(iter(conninfos.items()))
    source = f"{name} of Barman's server {server}"
    keywords = parsed_conninfo(text)
    if keywords is None:
        raise _failure(f"libpq does not understand {source}")
    if "service" in keywords:
        raise _failure(f"{source} names a service, which only the Barman host knows")
    local = stays(keywords)
    if local is not None:
        raise _failure(f"{source} leads to {local}, which is another server on every host")
    taken, left_out = of_others(keywords)
    return Derived(taken, source, left_out)


def _failure(why: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "conninfo_underivable",
            f"Whom the standby shall follow is not given and cannot be told from Barman: {why}. Nothing was changed.",
            "give upstream_conninfo",
        )
    )
