# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_input_problems
short_description: Tell which inputs of the role are missing or contradict each other
version_added: 0.1.0
author:
  - The pgfleet maintainers (@pgfleet)
description:
  - The role P(pgfleet.standby.standby_from_barman#role) asks for it before anything else. An argument specification
    cannot say what depends on another input.
options:
  _input:
    description:
      - The inputs by their names without the prefix of the role. C(host), C(server), C(upstream_conninfo), C(method)
        and C(settings) matter. What is not given is empty.
    type: dict
    required: true
  part:
    description: The part of the role that runs, V(provision), V(look_and_plan), V(settings_alone) or V(prove_alone).
    type: str
    default: provision
"""

EXAMPLES = r"""
- name: Show what is missing
  ansible.builtin.debug:
    msg: "{{ {'host': 'barman@barman', 'method': 'rsync', 'settings': {}} | pgfleet.standby.standby_input_problems }}"
"""

RETURN = r"""
_value:
  description: A sentence for each problem, with the step that helps. Empty if there is none.
  type: list
  elements: str
  sample:
    - >-
      missing required arguments: standby_from_barman_server. Next: name the Barman host and its server, or choose
      standby_from_barman_method=pg_basebackup.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._model import HOT_STANDBY_SETTINGS

_ROLE = "standby_from_barman_"

# The parts of the role that may bring files, and those that write settings.
_CLONES = ("provision", "look_and_plan")
_WRITES = ("provision", "look_and_plan", "settings_alone")


def standby_input_problems(inputs: Mapping[str, Any], part: str = "provision") -> list[str]:
    """A sentence for each problem."""
    found = []
    missing = [_ROLE + name for name in ("host", "server") if not inputs.get(name)]
    if missing and part in _CLONES and inputs.get("method") != "pg_basebackup":
        found.append(
            Refusal(
                "inputs_missing",
                f"missing required arguments: {', '.join(missing)}.",
                f"name the Barman host and its server, or choose {_ROLE}method=pg_basebackup",
            )
        )
    elif missing and not inputs.get("upstream_conninfo"):
        found.append(
            Refusal(
                "inputs_missing",
                f"missing required arguments: {_ROLE}upstream_conninfo.",
                "give it, or the Barman host and its server to derive it from",
            )
        )
    limits = [name for name in inputs.get("settings") or {} if name in HOT_STANDBY_SETTINGS]
    if limits and part in _WRITES:
        found.append(
            Refusal(
                "settings_decided_elsewhere",
                f"{_ROLE}settings must not name {', '.join(limits)}: a standby needs them as high as on its primary.",
                f"set them in the postgresql.conf of the host; {_ROLE}hot_standby_settings raises them",
            )
        )
    return [refusal.msg for refusal in found]


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """By their names."""
        return {"standby_input_problems": standby_input_problems}
