#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_recovery
short_description: Write a standby's recovery settings
version_added: 0.1.0
description:
  - Makes sure of C(standby.signal) and of the recovery settings in C(postgresql.auto.conf), and of nothing else there.
    Until PostgreSQL 11 the recovery settings are in C(recovery.conf).
  - Recovery settings that came along with the files from their source, such as C(recovery_target_time) or another
    node's C(primary_conninfo), are removed. If a configuration file of the host sets one of them, the setting is
    overruled, as is C(archive_mode=always), with which a standby would archive what its upstream archives, and
    C(hot_standby=off), with which it would let nobody in.
  - If the data directory holds the server's C(postgresql.conf), lines that name files of another host are turned into
    comments, in that file and in the files of the data directory that it includes.
  - A running server is compared with the files as well. A setting that it does not use yet, perhaps because an
    earlier run was interrupted before the reload, is reported as a change.
  - Run it on the standby as the database's OS user.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._upstream
  - pgfleet.standby._login
  - pgfleet.standby._local_login
  - pgfleet.standby._restore
  - pgfleet.standby._recovery
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  data_directory:
    description:
      - The data directory of the standby. It has to be absolute.
    type: str
    required: true
  state_directory:
    description:
      - Where C(barman-wal-restore) keeps the segments that it fetched ahead, in a directory C(spool).
      - By default a hidden directory beside O(data_directory), C(.NAME.standby).
    type: str
  pg_bindir:
    description:
      - The directory of the server programs, which check the settings.
      - By default it is looked for in the places of Debian's and the PGDG's packages.
    type: str
  rejoin:
    description:
      - Make a stopped primary a standby, such as a former primary after a switchover.
        M(pgfleet.standby.standby_preflight) tells whether its history allows that.
    type: bool
    default: false
  wal_feed:
    description:
      - Have C(restore_command) look into the spool of M(pgfleet.standby.standby_wal_feed) first. It does what
        O(restore_command) says if a segment is not there, or the spool.
      - Before PostgreSQL 14 a server takes up another C(restore_command) only by a restart. There, a server that runs
        keeps the one that it has, with or without the spool, and that counts as no change.
    type: bool
    default: false
requirements:
  - psycopg2
seealso:
  - module: pgfleet.standby.standby_clone
  - module: pgfleet.standby.standby_info
  - module: pgfleet.standby.standby_server
  - module: pgfleet.standby.standby_wal_feed
"""

EXAMPLES = r"""
- name: Follow the primary, and fetch older WAL from Barman
  pgfleet.standby.standby_recovery:
    data_directory: /var/lib/postgresql/15/main
    config_directory: /etc/postgresql/15/main
    upstream_conninfo:
      host: primary
      user: replicator
    application_name: n1
    barman_host: barman@barman
    barman_server: pg
  become: true
  become_user: postgres
  register: recovery

- name: Follow another upstream, without an archive
  pgfleet.standby.standby_recovery:
    data_directory: /var/lib/postgresql/15/main
    config_directory: /etc/postgresql/15/main
    upstream_conninfo: host=other user=replicator
    application_name: n1
    restore_command: none
  become: true
  become_user: postgres
"""

RETURN = r"""
settings:
  description: The settings that are now in place, secrets masked.
  returned: success
  type: dict
  sample:
    primary_conninfo: host=primary user=replicator application_name=n1
    recovery_target_timeline: latest
    restore_command: >-
      /usr/bin/barman-wal-restore -U barman --spool-dir /var/lib/postgresql/15/.main.standby/spool barman pg %f %p
changed_settings:
  description: The names of the settings that changed or went.
  returned: success
  type: list
  elements: str
  sample: [primary_conninfo, recovery_target_timeline, restore_command]
outdated_settings:
  description: The settings for which the running server still used another value than it should.
  returned: success
  type: list
  elements: str
  sample: [restore_command]
neutralised:
  description: The settings that a configuration file of the host sets, and that were overruled.
  returned: success
  type: list
  elements: str
  sample: [archive_mode]
passfile:
  description: The password file that was written, or null.
  returned: success
  type: str
  sample: /var/lib/postgresql/.pgpass
moved_aside:
  description: The configuration files of the backup that were moved out of the data directory.
  returned: success
  type: list
  elements: str
  sample: [postgresql.conf, pg_hba.conf, pg_ident.conf]
files:
  description: The files that were written or removed, relative to the data directory.
  returned: success
  type: list
  elements: str
  sample: [postgresql.auto.conf]
reload_required:
  description: Whether the running server has to be reloaded for the change.
  returned: success
  type: bool
  sample: false
restart_required:
  description: Whether the running server has to be restarted for the change.
  returned: success
  type: bool
  sample: false
server_state:
  description: The O(pgfleet.standby.standby_server#module:state) that has the server use these settings.
  returned: success
  type: str
  sample: started
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import (
    local_login_options,
    login_options,
    recovery_options,
    restore_options,
    upstream_options,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.reconcile import reconcile
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.request import request_of


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    return reconcile(request_of(params), only_look=check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **upstream_options(),
            **login_options(),
            **local_login_options(),
            **restore_options(),
            **recovery_options(),
            data_directory={"type": "str", "required": True},
            state_directory={"type": "str"},
            pg_bindir={"type": "str"},
            rejoin={"type": "bool", "default": False},
            wal_feed={"type": "bool", "default": False},
        ),
        required_if=[("restore_command", "auto", ("barman_host", "barman_server"))],
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
