# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_slot_name
short_description: Make the name of a replication slot from that of a host
version_added: 0.1.0
author:
  - The pgfleet maintainers (@pgfleet)
description:
  - A server takes lower-case letters, digits and underscores, at most 63 of them (PostgreSQL manual, 27.2.6.1).
    A name that fits already stays as it is. In any other, what is not allowed becomes an underscore, and a few digits
    that are computed from the whole name keep hosts apart whose names would become the same.
options:
  _input:
    description: A name, such as that of a host in the inventory.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the name of the host's slot
  ansible.builtin.debug:
    msg: "{{ inventory_hostname | pgfleet.standby.standby_slot_name }}"
"""

RETURN = r"""
_value:
  description: The name of the slot.
  type: str
  sample: db_1_example_org_36715b06
"""

import hashlib
import re
from collections.abc import Callable

_LENGTH = 63
_DIGITS = 8


def standby_slot_name(name: str) -> str:
    """The slot's name; equal names give equal slots, and different ones different slots."""
    allowed = re.sub("[^a-z0-9_]", "_", name.lower())
    if allowed == name and 0 < len(name) <= _LENGTH:
        return name
    digits = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
    return f"{allowed[: _LENGTH - _DIGITS - 1]}_{digits}"


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[[str], str]]:
        """By their names."""
        return {"standby_slot_name": standby_slot_name}
