#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: barman_server_info
short_description: Fetch a Barman server's parameters and its check verdicts
version_added: 0.1.0
description:
  - Fetches what C(barman show-servers) and C(barman check) say of one server.
  - Connection strings are never returned, because they may hold passwords. With O(upstream=true) the
    part of them that a standby needs is returned.
notes:
  - C(barman check) may make the primary switch to a new WAL file.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._attributes.info_module
  - pgfleet.standby._barman
options:
  check:
    description: Run C(barman check) too.
    type: bool
    default: true
  upstream:
    description:
      - Return the connection for standbys of the server that Barman backs up, from C(streaming_conninfo) or, if there
        is none, from C(conninfo).
      - The module fails if that connection does not lead to the server from another host, such as a local socket or
        C(localhost). The address of the Barman host is not taken instead.
    type: bool
    default: false
requirements:
  - Barman 2.12 or later
  - psycopg2, with O(upstream=true)
seealso:
  - module: pgfleet.standby.barman_backup_info
"""

EXAMPLES = r"""
- name: Fetch the parameters of server pg over ssh
  pgfleet.standby.barman_server_info:
    barman_host: barman@barman
    barman_server: pg
  become: true
  become_user: postgres
  register: barman

- name: Ask on the Barman host itself
  pgfleet.standby.barman_server_info:
    barman_server: pg
  delegate_to: barman
  become: true
  become_user: barman

- name: Fetch the connection for a standby
  pgfleet.standby.barman_server_info:
    barman_host: barman@barman
    barman_server: pg
    check: false
    upstream: true
  become: true
  become_user: postgres
  register: barman
"""

RETURN = r"""
barman_version:
  description: The version of Barman.
  returned: success
  type: str
  sample: 3.19.1
server:
  description: The server's parameters. Those of its PostgreSQL are null while PostgreSQL is down.
  returned: success
  type: dict
  sample:
    active: true
    backup_directory: /var/lib/barman/pg
    backup_method: rsync
    basebackups_directory: /var/lib/barman/pg/base
    name: pg
    passive: false
    postgres_version: "15.20"
    primary_config_file: /etc/postgresql/15/main/postgresql.conf
    primary_data_directory: /var/lib/postgresql/15/main
    primary_hba_file: /etc/postgresql/15/main/pg_hba.conf
    primary_ident_file: /etc/postgresql/15/main/pg_ident.conf
    system_identifier: "7710590273953624155"
checks:
  description: The verdicts of C(barman check) in its order. Only blocking ones stop a clone.
  returned: when O(check=true)
  type: list
  elements: dict
  sample:
    - blocking: false
      hint: ""
      name: postgresql
      ok: true
failed_checks:
  description: The names of the failed verdicts.
  returned: when O(check=true)
  type: list
  elements: str
  sample: []
upstream:
  description:
    - The connection for standbys of the server that Barman backs up. C(conninfo) are libpq's keywords without secrets,
      C(source) says what they were derived from. C(left_out) names the keywords that hold for Barman only, such as
      passwords and files.
  returned: when O(upstream=true)
  type: dict
  sample:
    conninfo:
      host: primary
      sslmode: verify-full
      user: streaming_barman
    left_out: [password, sslrootcert]
    source: streaming_conninfo of Barman's server pg
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import barman_options
from ansible_collections.pgfleet.standby.plugins.module_utils._at_once import at_once
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.verdicts import verdicts
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict
from ansible_collections.pgfleet.standby.plugins.module_utils._module import barman_of, finish, in_one_login
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.derived_upstream import derive


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    barman = barman_of(params)
    version = barman.version()
    # A barman command spends most of its time with starting, whatever it is asked. The version comes first, alone:
    # then it is known whether the login works, and how this version calls its commands.
    questions = [barman.show_server_and_conninfos, *([barman.check] if params["check"] else [])]
    (server, conninfos), *checks = at_once(*questions)
    result: dict[str, Any] = {
        "changed": False,
        "barman_version": ".".join(map(str, version)),
        "server": as_dict(server),
    }
    if params["upstream"]:
        result["upstream"] = as_dict(derive(conninfos, barman.server))
    return {**result, **(verdicts(barman.server, checks[0]) if checks else {})}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            barman_options(),
            check={"type": "bool", "default": True},
            upstream={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
    )
    finish(module, in_one_login(work))


if __name__ == "__main__":
    main()
