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
  - pgfleet.standby._restore
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
  config_directory:
    description: The directory of C(postgresql.conf), if that is not the data directory.
    type: str
  config_files:
    description:
      - Which configuration the server gets if a backup brought C(postgresql.conf), C(pg_hba.conf) and
        C(pg_ident.conf) of a primary that keeps them elsewhere, as Debian's does.
      - V(keep_local), the default with O(config_directory), leaves those of O(config_directory) as they are and moves
        what came along to C(from_backup) in the state directory.
      - V(from_backup), the default without, takes what came along. With O(config_directory) it replaces the files
        there, except for the settings that say where things are on this host. The files that were there are then in
        the state directory.
    type: str
    choices: [keep_local, from_backup]
  use_primary_conninfo_password:
    description:
      - Where O(upstream_password) is kept. By default in the password file, as one line for each host of the upstream
        before every line that would hide it; the other lines stay as they are.
      - With V(true) in C(primary_conninfo), where every role that may read all settings sees it.
    type: bool
    default: false
  primary_slot_name:
    description: The replication slot on the upstream, which has to exist.
    type: str
  barman_host:
    description: The Barman host as an ssh destination, for O(restore_command=auto).
    type: str
  barman_server:
    description: The server's name in Barman's configuration, for O(restore_command=auto).
    type: str
  barman_config:
    description: Barman's configuration file, if it is not the default one, for O(restore_command=auto).
    type: str
  ssh_options:
    description:
      - Options for every ssh connection to O(barman_host), for O(restore_command=auto).
      - A port alone is passed on to C(barman-wal-restore), which takes no others.
    type: list
    elements: str
    default: []
  barman_executable:
    description: The C(barman) command at O(barman_host), for C(barman get-wal).
    type: str
    default: barman
  rejoin:
    description:
      - Make a stopped primary a standby, such as a former primary after a switchover.
        M(pgfleet.standby.standby_preflight) tells whether its history allows that.
    type: bool
    default: false
requirements:
  - psycopg2
seealso:
  - module: pgfleet.standby.standby_clone
  - module: pgfleet.standby.standby_info
  - module: pgfleet.standby.standby_server
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
    login_options,
    restore_options,
    upstream_options,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory, spool_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.login import login_of
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.reconcile import RecoveryRequest, reconcile
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.requested_settings import requested_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.restore_command import restore_command


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    return reconcile(request_of(params), only_look=check_mode)


def request_of(params: dict[str, Any]) -> RecoveryRequest:
    """The settings that the options ask for. Raises StandbyError."""
    path = params["data_directory"]
    state_directory = params["state_directory"] or default_state_directory(path)
    login = login_of(params, params["application_name"])
    command = restore_command(params, spool_of(state_directory))
    return RecoveryRequest(
        data_directory=path,
        state_directory=state_directory,
        settings=requested_settings(conninfo_text(login.conninfo), command.text, params),
        login=login,
        command=command,
        config_directory=params["config_directory"] or None,
        config_files=params["config_files"],
        bindir=params["pg_bindir"],
        rejoin=params["rejoin"],
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **upstream_options(),
            **login_options(),
            **restore_options(),
            use_primary_conninfo_password={"type": "bool", "default": False, "no_log": False},
            data_directory={"type": "str", "required": True},
            state_directory={"type": "str"},
            pg_bindir={"type": "str"},
            config_directory={"type": "str"},
            config_files={"type": "str", "choices": ["keep_local", "from_backup"]},
            primary_slot_name={"type": "str"},
            barman_host={"type": "str"},
            ssh_options={"type": "list", "elements": "str", "default": []},
            barman_server={"type": "str"},
            barman_config={"type": "str"},
            barman_executable={"type": "str", "default": "barman"},
            rejoin={"type": "bool", "default": False},
        ),
        required_if=[("restore_command", "auto", ("barman_host", "barman_server"))],
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
