#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: barman_backup_keep
short_description: Have Barman keep a backup while hosts copy it
version_added: 0.1.0
description:
  - Has Barman keep a backup, C(barman keep --target full), until the last claim on it is given up or has expired.
    Meanwhile neither a retention policy nor C(barman delete) removes the backup or the WAL after it.
  - Claims are on record on the Barman host, in C(~/.pgfleet/claims) of the user who runs Barman, and changed under a
    lock. Any number of hosts and plays may claim the same backup at the same time.
  - Only a keep that was made for a claim is released. A keep that somebody else has made is left as it is, also if
    there was one for a claim before, and with the same target. The module warns then that the backup stays kept.
  - For an incremental backup Barman keeps the full one that it rests on.
  - Every call also releases the keeps of the same server whose claims have expired since.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._barman
  - pgfleet.standby._claim
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - To prolong a claim is no change.
requirements:
  - Barman 2.14 or later; with an older one the module warns that nothing is kept
  - Python 3.8 or later on the Barman host
seealso:
  - module: pgfleet.standby.barman_backup_info
"""

EXAMPLES = r"""
- name: Choose a backup
  pgfleet.standby.barman_backup_info:
    barman_host: barman@barman
    barman_server: pg
    backup_id: latest
  become: true
  become_user: postgres
  register: chosen

- name: Keep it while it is copied
  pgfleet.standby.barman_backup_keep:
    barman_host: barman@barman
    barman_server: pg
    backup: "{{ chosen.selected }}"
    owner: "{{ inventory_hostname }}:/var/lib/postgresql/15/main"
    expiry: 12h
  become: true
  become_user: postgres

- name: Give the claim up
  pgfleet.standby.barman_backup_keep:
    barman_host: barman@barman
    barman_server: pg
    backup: "{{ chosen.selected }}"
    owner: "{{ inventory_hostname }}:/var/lib/postgresql/15/main"
    state: absent
  become: true
  become_user: postgres
"""

RETURN = r"""
pinned:
  description: Whether Barman keeps the backup now; in check mode, whether it would.
  returned: success
  type: bool
  sample: true
why:
  description:
    - Why Barman does not keep it, if O(state=present) and RV(pinned) is false. The module warns of it and goes on.
    - Barman before 2.14 cannot keep a backup; in C(worm_mode) it does not support it; it keeps only what is C(DONE).
  returned: success
  type: str
  sample: Barman on barman@barman has no `keep`, which came with version 2.14
backup_id:
  description: The backup that is kept. For an incremental one, the full one that it rests on.
  returned: success
  type: str
  sample: 20261121T114827
target:
  description: V(full), V(standalone) or V(nokeep), as Barman says; null if Barman could not be asked.
  returned: success
  type: str
  sample: full
foreign:
  description: Whether somebody else has made the keep. It will not be released then.
  returned: success
  type: bool
  sample: false
taken_over:
  description:
    - The backups that were kept for claims, and which somebody else has kept since. They stay kept; the module warns
      of each once.
    - Those of the same server whose claims have expired are among them, beside the backup that was asked for.
  returned: success
  type: list
  elements: str
  version_added: 0.1.1
  sample: []
owners:
  description: Who claims it.
  returned: success
  type: list
  elements: str
  sample: ["n1:/var/lib/postgresql/15/main", "n2:/var/lib/postgresql/15/main"]
expires:
  description: When the claim of O(owner) expires, in UTC; null if there is none.
  returned: success
  type: str
  sample: "2026-11-22T11:50:02Z"
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import barman_options, claim_options
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.keep import ClaimRequest, Pin, pin
from ansible_collections.pgfleet.standby.plugins.module_utils._module import (
    backup_of,
    barman_of,
    expiry_of,
    finish,
    in_one_login,
)


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    claim = ClaimRequest(params["owner"], expiry_of(params), only_look=check_mode)
    found = pin(barman_of(params), backup_of(params["backup"]), claim)
    return {
        "changed": found.changed,
        "pinned": found.pinned,
        "why": found.why,
        "backup_id": found.root,
        "target": found.target,
        "foreign": found.foreign,
        "taken_over": found.taken_over,
        "owners": sorted(found.claims),
        "expires": found.expiry(params["owner"]),
        "warnings_to_show": [*unprotected(found), *taken_over(found, params["barman_server"])],
    }


def unprotected(found: Pin) -> list[str]:
    if found.why is None:
        return []
    return [f"Backup {found.root} is not kept while it is copied, and retention may remove it: {found.why}."]


def taken_over(found: Pin, server: str) -> list[str]:
    return [
        f"Backup {backup} was kept while hosts copied it, and somebody else has kept it since: it stays kept when the"
        f" last copy is done. If that is not wanted, run `barman keep --release {server} {backup}` then."
        for backup in found.taken_over
    ]


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(barman_options(), **claim_options()),
        supports_check_mode=True,
    )
    finish(module, in_one_login(work))


if __name__ == "__main__":
    main()
