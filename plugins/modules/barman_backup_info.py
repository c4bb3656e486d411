#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: barman_backup_info
short_description: List a Barman server's backups and choose one to clone from
version_added: 0.1.0
description:
  - Lists the catalogue of one server, newest first.
  - With O(backup_id) it chooses one backup and says why it passed over newer ones.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._attributes.info_module
  - pgfleet.standby._barman
options:
  backup_id:
    description:
      - V(latest) for the newest backup that can be cloned, or the id of one that has to be used.
      - Cloned can be plain, unencrypted, uncompressed backups of method C(rsync) or C(postgres) with
        status C(DONE), of PostgreSQL 12 or later. The module fails when there is none.
      - Without it the catalogue is listed and nothing is chosen.
    type: str
requirements:
  - Barman 2.12 or later
seealso:
  - module: pgfleet.standby.barman_server_info
  - module: pgfleet.standby.standby_clone
"""

EXAMPLES = r"""
- name: Choose the newest backup that can be cloned
  pgfleet.standby.barman_backup_info:
    barman_host: barman@barman
    barman_server: pg
    backup_id: latest
  become: true
  become_user: postgres
  register: backup

- name: List the catalogue only
  pgfleet.standby.barman_backup_info:
    barman_host: barman@barman
    barman_server: pg
  become: true
  become_user: postgres
"""

RETURN = r"""
backups:
  description: The catalogue, newest first, as C(barman list-backups) tells it; C(type) is null before Barman 3.11.
  returned: success
  type: list
  elements: dict
  sample:
    - backup_id: 20261121T114827
      end_time: Sat Nov 21 11:48:33 2026
      name: null
      size: 434789371
      status: DONE
      type: rsync
selected:
  description: The chosen backup, which the other modules take as their option C(backup); null without O(backup_id).
  returned: success
  type: dict
  sample:
    backup_id: 20261121T114827
    begin_lsn: 0/3000028
    directory: /var/lib/barman/pg/base/20261121T114827
    mode: rsync-concurrent
    size: 434789371
    status: DONE
    system_identifier: "7710590273953624155"
    tablespaces:
      - location: /srv/tablespaces/fast
        name: fast
        oid: 16388
    timeline: 1
    version: 150020
passed_over:
  description: The backups that were passed over, with every reason.
  returned: success
  type: list
  elements: dict
  sample:
    - backup_id: 20261121T120000
      reasons:
        - its status is FAILED, not DONE
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import barman_options, finish
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._choice import choose
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict

_LISTED = ("backup_id", "status", "type", "name", "end_time", "size")


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    barman = Barman.from_params(params)
    version = barman.version()
    backups = barman.list_backups()
    result: dict[str, Any] = {
        "changed": False,
        "backups": [{name: getattr(backup, name) for name in _LISTED} for backup in backups],
        "selected": None,
        "passed_over": [],
    }
    if params["backup_id"]:
        server = barman.show_server()
        choice = choose(
            backups, params["backup_id"], barman.server, lambda name: barman.show_backup(name, version, server)
        )
        result["selected"] = as_dict(choice.backup)
        result["passed_over"] = [{"backup_id": name, "reasons": list(reasons)} for name, reasons in choice.skipped]
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(barman_options(), backup_id={"type": "str"}),
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
