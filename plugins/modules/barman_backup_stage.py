#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: barman_backup_stage
short_description: Have Barman restore a backup on its host, once for all hosts that copy it
version_added: 0.1.0
description:
  - An incremental backup (PostgreSQL 17 and later) has to be combined, and an encrypted one decrypted. Only Barman can
    do that.
  - The first host that claims the backup has Barman restore it to a directory on the Barman host. The others wait for
    that and share it. When the last claim has been given up or has expired, the directory is removed.
  - The result is laid out as a plain backup, C(data) and one directory for each tablespace. The other modules take it
    as their option C(backup).
  - What Barman changes while it restores is undone, such as C(archive_command) in C(postgresql.conf) and the name of
    C(backup_manifest).
  - Before anything is changed, the module checks that there is room, and that Barman and C(pg_combinebackup) can do it.
  - Claims are on record on the Barman host, in C(~/.pgfleet/claims) of the user who runs Barman. What a killed run has
    left half-made is removed and made again.
  - Every call also removes the staged backups of the same server whose claims have expired since.
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
options:
  staging_directory:
    description:
      - The directory on the Barman host in which the backup gets a directory of its own. It must not hold a colon.
      - By default C(pgfleet-staging) in the server's C(backup_directory), on the file system of the backups.
    type: str
requirements:
  - Barman 3.11 or later on its host for incremental backups, with pg_combinebackup of the backup's major version
  - Barman 3.14 or later for encrypted backups, with its C(encryption_passphrase_command)
  - Python 3.8 or later on the Barman host
seealso:
  - module: pgfleet.standby.barman_backup_info
  - module: pgfleet.standby.barman_backup_keep
  - module: pgfleet.standby.standby_clone
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

- name: Have it restored on the Barman host
  pgfleet.standby.barman_backup_stage:
    barman_host: barman@barman
    barman_server: pg
    backup: "{{ chosen.selected }}"
    owner: "{{ inventory_hostname }}:/var/lib/postgresql/18/main"
  become: true
  become_user: postgres
  register: staged

- name: Copy it
  pgfleet.standby.standby_clone:
    barman_host: barman@barman
    backup: "{{ staged.backup }}"
    data_directory: /var/lib/postgresql/18/main
  become: true
  become_user: postgres

- name: Have it removed
  pgfleet.standby.barman_backup_stage:
    barman_host: barman@barman
    barman_server: pg
    backup: "{{ chosen.selected }}"
    owner: "{{ inventory_hostname }}:/var/lib/postgresql/18/main"
    state: absent
  become: true
  become_user: postgres
"""

RETURN = r"""
backup:
  description:
    - The backup as it can be copied. C(directory) is where it is staged; it is plain and full.
    - In check mode, as it would be.
  returned: success, with O(state=present)
  type: dict
  sample:
    backup_id: 20261121T114827
    directory: /var/lib/barman/pg/pgfleet-staging/pg-20261121T114827
    size: 434789371
    status: DONE
    type: full
    version: 180006
restored:
  description: Whether this call had Barman restore it.
  returned: success, with O(state=present)
  type: bool
  sample: true
bytes_needed:
  description: The most that the restore has on disk at a time; 0 if it is staged already.
  returned: success, with O(state=present)
  type: int
  sample: 434789371
bytes_free:
  description: What was free for it; 0 if it is staged already.
  returned: success, with O(state=present)
  type: int
  sample: 79946929157
owners:
  description: Who claims it.
  returned: success
  type: list
  elements: str
  sample: ["n1:/var/lib/postgresql/18/main", "n2:/var/lib/postgresql/18/main"]
expires:
  description: When the claim of O(owner) expires, in UTC.
  returned: success, with O(state=present)
  type: str
  sample: "2026-11-22T11:50:02Z"
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import barman_options, claim_options
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.staging import Staging, stage, unstage
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict
from ansible_collections.pgfleet.standby.plugins.module_utils._module import (
    backup_of,
    barman_of,
    expiry_of,
    finish,
    in_one_login,
)


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    barman, backup = barman_of(params), backup_of(params["backup"])
    seconds = expiry_of(params)
    if seconds is None:
        left = unstage(barman, backup, Staging(params["owner"], 0, only_look=check_mode))
        return {"changed": left.changed, "owners": sorted(left.claims)}
    found = stage(barman, backup, Staging(params["owner"], seconds, params["staging_directory"], check_mode))
    return {
        "changed": found.changed,
        "backup": as_dict(found.backup),
        "restored": found.restored,
        "bytes_needed": found.needed,
        "bytes_free": found.free,
        "owners": sorted(found.claims),
        "expires": found.expiry(params["owner"]),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            barman_options(),
            **claim_options(),
            staging_directory={"type": "str"},
        ),
        supports_check_mode=True,
    )
    finish(module, in_one_login(work))


if __name__ == "__main__":
    main()
