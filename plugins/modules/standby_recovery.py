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
  - Recovery settings that came along with the files from their source, such as C(recovery_target_time) or another
    node's C(primary_conninfo), are removed.
  - Where the data directory holds the server's C(postgresql.conf), lines in it that name files of another host
    are turned into comments.
  - Run it on the standby as the database's OS user.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._upstream
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
      - The directory of C(pg_controldata).
      - By default it is looked for in the places of Debian's and the PGDG's packages.
    type: str
  config_directory:
    description:
      - The directory of C(postgresql.conf), if that is not the data directory.
    type: str
  primary_slot_name:
    description: The replication slot on the upstream, which has to exist.
    type: str
  restore_command:
    description:
      - How the standby fetches WAL from the archive.
      - V(auto) is a call of C(barman-wal-restore) for O(barman_host) and O(barman_server), V(none) is no command,
        everything else is taken as it is.
    type: str
    default: auto
  barman_host:
    description: The Barman host as an ssh destination, for O(restore_command=auto).
    type: str
  barman_server:
    description: The server's name in Barman's configuration, for O(restore_command=auto).
    type: str
  barman_config:
    description: Barman's configuration file, where it is not the default one, for O(restore_command=auto).
    type: str
  archive_cleanup_command:
    description: The setting of this name.
    type: str
  recovery_min_apply_delay:
    description: The setting of this name, such as V(30min).
    type: str
  settings:
    description:
      - Further settings to write along, such as C(settings) in
        RV(pgfleet.standby.standby_preflight#module:plan).
    type: dict
    default: {}
  rejoin:
    description:
      - Make a stopped primary a standby, such as a former primary after a switchover. Whether its history allows that
        is for M(pgfleet.standby.standby_preflight) to say.
    type: bool
    default: false
requirements:
  - psycopg2
seealso:
  - module: pgfleet.standby.standby_clone
  - module: pgfleet.standby.standby_info
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
    restore_command: barman-wal-restore -U barman --spool-dir /var/lib/postgresql/15/.main.standby/spool barman pg %f %p
changed_settings:
  description: The names of the settings that changed or went.
  returned: success
  type: list
  elements: str
  sample: [primary_conninfo, recovery_target_timeline, restore_command]
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
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import finish, upstream_options
from ansible_collections.pgfleet.standby.plugins.module_utils._conninfo import standby_keywords
from ansible_collections.pgfleet.standby.plugins.module_utils._datadir import default_state_directory, inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery import (
    needs,
    require_standby,
    restore_command,
    wanted_settings,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery_files import apply, compare, shown
from ansible_collections.pgfleet.standby.plugins.module_utils._server import conninfo_text, keywords_of


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    path = params["data_directory"]
    state_directory = params["state_directory"] or default_state_directory(path)
    keywords = standby_keywords(
        keywords_of(params["upstream_conninfo"]), params["replication_user"], params["application_name"]
    )
    command = restore_command(params, os.path.join(state_directory, "spool"))
    wanted = wanted_settings(conninfo_text(keywords), command, params)
    found = inspect(path, params["pg_bindir"], state_directory)
    major = require_standby(found, params["rejoin"])
    change = compare(path, wanted, own_configuration=not params["config_directory"])
    if not check_mode:
        apply(path, change)
    need = needs(change.settings, major) if found.running else None
    return {
        "changed": bool(change.files),
        "settings": shown(wanted),
        "changed_settings": change.settings,
        "files": change.files,
        "reload_required": need == "reload",
        "restart_required": need == "restart",
        "diff": {
            "before_header": path,
            "after_header": path,
            "before": "".join(f"{name} = {value}\n" for name, value in change.before.items()),
            "after": "".join(f"{name} = {value}\n" for name, value in change.after.items()),
        },
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **upstream_options(),
            data_directory={"type": "str", "required": True},
            state_directory={"type": "str"},
            pg_bindir={"type": "str"},
            config_directory={"type": "str"},
            primary_slot_name={"type": "str"},
            restore_command={"type": "str", "default": "auto"},
            barman_host={"type": "str"},
            barman_server={"type": "str"},
            barman_config={"type": "str"},
            archive_cleanup_command={"type": "str"},
            recovery_min_apply_delay={"type": "str"},
            settings={"type": "dict", "default": {}},
            rejoin={"type": "bool", "default": False},
        ),
        required_if=[("restore_command", "auto", ("barman_host", "barman_server"))],
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
