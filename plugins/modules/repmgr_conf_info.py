#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: repmgr_conf_info
short_description: Turn a repmgr.conf into inputs of the role
version_added: 0.1.0
description:
  - Reads the C(repmgr.conf) of a node, with the files that it includes, and tells which inputs of
    P(pgfleet.standby.standby_from_barman#role) stand for the settings of C(repmgr standby clone), and which settings
    have no input.
  - The file is read by the rules of repmgr 5, where text that is not a plain word has to be in quotes. A file that
    they do not allow is read by the rules of repmgr 4, by which quotes are dropped and C(#) always begins a comment.
    A file that neither allows is refused.
  - C(conninfo) in the file is the connection to the node itself. The connection to the upstream is not in the file.
    Read the file of the upstream as well, and use RV(as_upstream).
  - A password in C(conninfo) is not returned.
author:
  - The pgfleet maintainers (@pgfleet)
requirements:
  - psycopg2
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._attributes.info_module
options:
  path:
    description: The file. Packages also put it elsewhere, such as at C(/etc/repmgr/15/repmgr.conf).
    type: path
    default: /etc/repmgr.conf
seealso:
  - name: repmgr.conf
    description: The settings of repmgr.
    link: https://www.repmgr.org/docs/current/configuration-file.html
"""

EXAMPLES = r"""
- name: Read the configuration of every node of the cluster
  pgfleet.standby.repmgr_conf_info:
    path: /etc/repmgr.conf
  become: true
  become_user: postgres
  register: repmgr

- name: Show what goes into the inventory, and what is left to decide
  ansible.builtin.debug:
    msg:
      inputs: "{{ repmgr.inputs }}"
      upstream: "{{ hostvars['primary'].repmgr.as_upstream | default('read it there, too') }}"
      missing: "{{ repmgr.missing }}"
      unsupported: "{{ repmgr.unsupported }}"
      unknown: "{{ repmgr.unknown }}"
"""

RETURN = r"""
inputs:
  description:
    - The inputs of the role that stand for the settings, by their names. What is not set is not there, so that the
      role's default holds.
    - With C(use_replication_slots) the slot has the name that repmgr gives it, C(repmgr_slot_) and the C(node_id).
  returned: success
  type: dict
  sample:
    standby_from_barman_application_name: n1
    standby_from_barman_data_directory: /var/lib/postgresql/15/main
    standby_from_barman_host: barman@backup.example.com
    standby_from_barman_server: pg
    standby_from_barman_service: postgresql@15-main
    standby_from_barman_slot_name: repmgr_slot_2
    standby_from_barman_tablespace_mapping:
      /srv/fast: /srv/n1/fast
missing:
  description: Inputs that are needed and that the file does not have, each with the reason and what to do.
  returned: success
  type: list
  elements: dict
  sample:
    - input: standby_from_barman_upstream_conninfo
      next: take as_upstream of the upstream's own repmgr.conf, write it, or leave it to Barman's own conninfo
      why: >-
        the conninfo in repmgr.conf is that of the node itself; repmgr takes the upstream's from its command line or
        from the table repmgr.nodes
unsupported:
  description:
    - Settings of C(repmgr standby clone) that have no input, each with the reason and what to do.
    - C(value) is null if it could hold a password.
  returned: success
  type: list
  elements: dict
  sample:
    - name: rsync_options
      next: see standby_from_barman_jobs, standby_from_barman_bwlimit and standby_from_barman_compress
      value: --archive --compress
      why: repmgr does not use it with Barman; how rsync is called is decided here
ignored:
  description: Names of settings of other parts of repmgr, such as C(repmgrd).
  returned: success
  type: list
  elements: str
  sample: [failover, log_level, promote_command]
unknown:
  description: Names that repmgr does not know, either. They may be misspelt.
  returned: success
  type: list
  elements: str
  sample: [barman_hots]
node:
  description: Who the node is. C(conninfo) is the connection to it as libpq's keywords, without secrets.
  returned: success
  type: dict
  sample:
    conninfo:
      dbname: repmgr
      host: n1.example.com
      user: repmgr
    id: "2"
    name: n1
as_upstream:
  description:
    - The C(standby_from_barman_upstream_conninfo) of a standby of this node. It is C(conninfo) without what belongs to
      the node alone. The user is C(replication_user) if that is set, as in repmgr.
  returned: success
  type: dict
  sample:
    host: n1.example.com
    user: replicator
syntax:
  description: By which rules the file was read, V(5) for repmgr 5 or V(4) for repmgr 4.
  returned: success
  type: str
  sample: "5"
refused_lines:
  description: With RV(syntax=4) the lines that repmgr 5 does not take.
  returned: success
  type: list
  elements: str
  sample: []
files:
  description: The files that were read.
  returned: success
  type: list
  elements: str
  sample: [/etc/repmgr.conf]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import public
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import parsed_conninfo
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.files import load
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.inputs import as_upstream, translate


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    read = load(params["path"])
    given = dict(read.settings)
    conninfo = parsed_conninfo(given["conninfo"]) if given.get("conninfo") else {}
    found = translate(read.settings, conninfo)
    return {
        "changed": False,
        "inputs": found.inputs,
        "missing": [item._asdict() for item in found.missing],
        "unsupported": [item._asdict() for item in found.unsupported],
        "ignored": found.ignored,
        "unknown": found.unknown,
        "node": {"id": given.get("node_id"), "name": given.get("node_name"), "conninfo": public(conninfo or {})},
        "as_upstream": as_upstream(conninfo or {}, given.get("replication_user")),
        "syntax": read.syntax,
        "refused_lines": read.refused,
        "files": read.files,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "default": "/etc/repmgr.conf"}},
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
