# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_records
short_description: Collect what the role has recorded of the hosts of a play
version_added: 0.1.0
author:
  - The pgfleet maintainers (@pgfleet)
description:
  - The role P(pgfleet.standby.standby_from_barman#role) makes its report of it. A host that the play has lost, because
    it could not be reached or has failed outside of the role, has a record as well.
options:
  _input:
    description: The variables of the hosts of the play, as C(hostvars) has them.
    type: list
    elements: dict
    required: true
  playing:
    description: The names of the hosts that are still in the play, as C(ansible_play_hosts) has them.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what became of all hosts so far
  ansible.builtin.debug:
    msg: >-
      {{ ansible_play_hosts_all | map('extract', hostvars) | pgfleet.standby.standby_records(ansible_play_hosts)
         | pgfleet.standby.standby_report }}
"""

RETURN = r"""
_value:
  description: One record for each cluster that the role was applied to, and for each host that was lost.
  type: list
  elements: dict
  sample:
    - host: n1
      data_directory: /var/lib/postgresql/15/main
      action: clone
      state: streaming
    - host: n2
      state: unreachable
      error_code: host_unreachable
      msg: "The host could not be reached, or it failed outside of the role. Next: read the output of the play."
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal

_PREFIX = "__standby_from_barman_"


def standby_records(hosts: Iterable[Mapping[str, Any]], playing: Iterable[str]) -> list[dict[str, Any]]:
    """The records of all hosts, in the order of the hosts."""
    here = set(playing)
    return [record for host in hosts for record in _of_host(host, here)]


def _of_host(host: Mapping[str, Any], playing: set[str]) -> Iterator[dict[str, Any]]:
    # Of the clusters to which the role was applied before this one
    yield from host.get(f"{_PREFIX}earlier_records", [])
    name, record = host["inventory_hostname"], host.get(f"{_PREFIX}record")
    if record:
        yield record
    elif name not in playing:
        lost = Refusal(
            "host_unreachable",
            "The host could not be reached, or it failed outside of the role.",
            "read the output of the play",
        )
        yield {"host": name, "state": "unreachable", "error_code": lost.code, "msg": lost.msg}


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        return {"standby_records": standby_records}
