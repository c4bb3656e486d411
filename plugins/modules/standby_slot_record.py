#!/usr/bin/python
# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_slot_record
short_description: Note which replication slots were made for a standby, and at which server
version_added: 0.1.0
description:
  - Keeps a record beside the standby of the slots that were made for it. A slot makes its server keep WAL until
    somebody drops it, also if the play that has made it is killed, or the standby follows another server by now.
  - Note a slot before you make it, by C(community.postgresql.postgresql_slot) say, and take it out of the record when
    it is dropped. This module itself asks no server.
  - M(pgfleet.standby.standby_drift_info) tells which of the noted slots the standby does not use any more.
  - Run it on the standby as the database's OS user.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  data_directory:
    description: The data directory of the standby.
    type: str
    required: true
  state_directory:
    description:
      - Where the record is kept, in C(slots.json).
      - By default a hidden directory beside O(data_directory), C(.NAME.standby). It is made if it is missing.
    type: str
  slot:
    description:
      - The slot, as RV(pgfleet.standby.standby_preflight#module:plan) tells it under C(slot), or as RV(slots) does. It
        holds no secret.
      - Without it the record is only read.
    type: dict
  state:
    description: Whether O(slot) is to be in the record.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: pgfleet.standby.standby_drift_info
  - module: community.postgresql.postgresql_slot
"""

EXAMPLES = r"""
- name: Note the slot before it is made
  pgfleet.standby.standby_slot_record:
    data_directory: /var/lib/postgresql/15/main
    slot: "{{ preflight.plan.slot }}"
  become: true
  become_user: postgres

- name: Which slots were made for this standby?
  pgfleet.standby.standby_slot_record:
    data_directory: /var/lib/postgresql/15/main
  become: true
  become_user: postgres
  register: record
"""

RETURN = r"""
slots:
  description:
    - What the record holds now. Each slot has the keys that C(community.postgresql.postgresql_slot) takes to log in.
  returned: success
  type: list
  elements: dict
  sample:
    - connect_params:
        sslmode: verify-full
      login_db: postgres
      login_host: primary
      login_port: 5432
      login_user: replicator
      name: n1
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.noted_slots import (
    NotedSlot,
    forget,
    note,
    noted_slots,
)


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    state_directory = params["state_directory"] or default_state_directory(params["data_directory"])
    changed = False
    if params["slot"]:
        change = forget if params["state"] == "absent" else note
        changed = change(state_directory, NotedSlot.from_plan(params["slot"]), check_mode)
    return {"changed": changed, "slots": [slot.as_plan() for slot in noted_slots(state_directory)]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "data_directory": {"type": "str", "required": True},
            "state_directory": {"type": "str"},
            "slot": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
