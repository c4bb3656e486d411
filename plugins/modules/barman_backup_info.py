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
  - With O(backup_id) it chooses one backup, and says why others were passed over.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._attributes.info_module
  - pgfleet.standby._barman
attributes:
  check_mode:
    support: full
    details:
      - It never changes anything. In check mode it does not wait, and passes over a backup that it would wait for.
options:
  backup_id:
    description:
      - V(latest) for the newest backup that can be cloned, V(latest-full) for the newest of those that is not
        incremental, V(oldest) for the oldest of them, or the id or the name of one that has to be used.
      - Barman has names for backups since 3.3.0. An id wins over a name. A name is refused if
        several complete backups have it.
      - A backup can be cloned if it is of method C(rsync), C(local-rsync) or C(postgres), has status C(DONE), and is of
        PostgreSQL 10 or later. With a C(backup_compression) (C(gzip), C(lz4), C(zstd) or C(none)) it has to be of
        PostgreSQL 13 or later. An incremental or encrypted one can be cloned after
        M(pgfleet.standby.barman_backup_stage). The module fails if there is none.
      - A passive (geo-redundant) Barman will do as well as any other.
      - Without it the catalogue is listed and nothing is chosen.
    type: str
  before:
    description:
      - Only a backup that ended before this time is chosen. If O(backup_id) names a later one, the module fails.
      - In ISO 8601 with a zone, such as V(2026-11-21T11:48:33Z) or V(2026-11-21 12:48:33+01:00). Quote it, or YAML
        makes something else of it.
      - Or as C(barman list-backups) prints it, such as V(Sat Nov 21 11:48:33 2026). Such a time
        names no zone, and is compared with the times that Barman prints.
      - Fractions of a second are cut off on both sides.
    type: str
  max_age:
    description:
      - Only a backup that ended no longer ago than this is chosen. If O(backup_id) names an older one, the module
        fails.
      - A number with a unit, such as V(36h), V(7d) or V(90min); units are C(s), C(min), C(h), C(d) and C(w). A number
        without a unit is seconds.
      - The clock is that of the host on which the module runs, read before Barman is asked.
    type: str
  wait:
    description:
      - How many seconds to wait for a backup whose status is C(WAITING_FOR_WALS), before it is passed over.
      - The module waits only for the backup that comes first by O(backup_id), and only if it could be cloned otherwise.
        Barman is asked again every few seconds. A backup that fails meanwhile is passed over as well.
      - V(0) never waits.
    type: int
    default: 0
  check:
    description:
      - Also asks for the server's parameters and for the verdicts of C(barman check), as
        M(pgfleet.standby.barman_server_info) does, in the same login and at the same time. A failed verdict is a
        warning, not an error.
    type: bool
    default: false
    version_added: 0.1.0
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

- name: Choose the newest backup of the last two days, and wait up to ten minutes for the WAL of one just taken
  pgfleet.standby.barman_backup_info:
    barman_host: barman@barman
    barman_server: pg
    backup_id: latest
    max_age: 2d
    wait: 600
  become: true
  become_user: postgres
  register: backup

- name: Choose the newest backup from before a mistake
  pgfleet.standby.barman_backup_info:
    barman_host: barman@barman
    barman_server: pg
    backup_id: latest
    before: "2026-11-21T09:30:00+01:00"
  become: true
  become_user: postgres
  register: backup

- name: Choose the backup that was taken with `barman backup --name before-upgrade pg`
  pgfleet.standby.barman_backup_info:
    barman_host: barman@barman
    barman_server: pg
    backup_id: before-upgrade
  become: true
  become_user: postgres
  register: backup

- name: Choose the newest backup, and know what Barman's own checks say
  pgfleet.standby.barman_backup_info:
    barman_host: barman@barman
    barman_server: pg
    backup_id: latest
    check: true
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
  description:
    - The catalogue, newest first, as C(barman list-backups) tells it.
    - C(type) is null before Barman 3.11. C(end_timestamp), the end in seconds since 1970, is null before Barman 3.1,
      whose list is wrong about it if PostgreSQL and Barman have different time zones.
  returned: success
  type: list
  elements: dict
  sample:
    - backup_id: 20261121T114827
      end_time: Sat Nov 21 11:48:33 2026
      end_timestamp: 1795261713
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
    end_time: "2026-11-21 11:48:33.301551+00:00"
    end_timestamp: 1795261713
    mode: rsync-concurrent
    root_backup_id: null
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
  description:
    - The backups that come before RV(selected) by what O(backup_id) asks for, each with the reasons why it was
      passed over.
    - On failure, all backups that came into question. One that its time or status in the list rules out is not
      looked at further.
  returned: success, or when no backup will do
  type: list
  elements: dict
  sample:
    - backup_id: 20261121T120000
      reasons:
        - its status is FAILED, not DONE
    - backup_id: 20261121T115500
      reasons:
        - "its status is WAITING_FOR_WALS, not DONE: Barman has not yet archived all WAL that it needs;
          with wait=SECONDS it would be waited for"
server:
  description: The server's parameters, as M(pgfleet.standby.barman_server_info) returns them.
  returned: when O(check=true), also when no backup will do
  type: dict
  sample:
    active: true
    backup_directory: /var/lib/barman/pg
    backup_method: rsync
    basebackups_directory: /var/lib/barman/pg/base
    name: pg
    passive: false
    postgres_version: "15.20"
    system_identifier: "7710590273953624155"
checks:
  description: The verdicts of C(barman check) in its order. Only blocking ones stop a clone.
  returned: when O(check=true), also when no backup will do
  type: list
  elements: dict
  sample:
    - blocking: false
      hint: ""
      name: postgresql
      ok: true
failed_checks:
  description: The names of the failed verdicts.
  returned: when O(check=true), also when no backup will do
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import barman_options
from ansible_collections.pgfleet.standby.plugins.module_utils._at_once import at_once
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.catalog import (
    Catalog,
    choose_from_catalog,
    request_now,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.verdicts import verdicts
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict
from ansible_collections.pgfleet.standby.plugins.module_utils._module import barman_of, finish, in_one_login

_LISTED = ("backup_id", "status", "type", "name", "end_time", "end_timestamp", "size")


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    wanted = request_now(params)
    barman = barman_of(params)
    version = barman.version()
    # A barman command spends most of its time with starting, whatever it is asked. The version comes first, alone:
    # then it is known whether the login works, and how this version calls its commands.
    questions = [barman.show_server, barman.list_backups, *([barman.check] if params["check"] else [])]
    server, backups, *checks = at_once(*questions)
    told = {"server": as_dict(server), **verdicts(barman.server, checks[0])} if checks else {}
    result: dict[str, Any] = {
        "changed": False,
        "backups": [{name: getattr(backup, name) for name in _LISTED} for backup in backups],
        "selected": None,
        "passed_over": [],
        **told,
    }
    if wanted is not None:
        try:
            choice = choose_from_catalog(Catalog(barman, version, server, backups), wanted, may_wait=not check_mode)
        except StandbyError as none:
            raise StandbyError(none.refusal, **{**told, **none.result}) from none
        result["selected"] = as_dict(choice.backup)
        result["passed_over"] = [{"backup_id": name, "reasons": list(reasons)} for name, reasons in choice.skipped]
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            barman_options(),
            backup_id={"type": "str"},
            before={"type": "str"},
            max_age={"type": "str"},
            wait={"type": "int", "default": 0},
            check={"type": "bool", "default": False},
        ),
        required_by={"before": "backup_id", "max_age": "backup_id"},
        supports_check_mode=True,
    )
    finish(module, in_one_login(work))


if __name__ == "__main__":
    main()
