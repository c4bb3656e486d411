#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_directories
short_description: Make the directories of a standby that are missing, and leave all others alone
version_added: 0.1.0
description:
  - Makes the data directory, the state directory, the directory of the WAL and those of tablespaces if they are
    missing, with the directories above them. What it makes belongs to O(os_user) and has mode 0700.
  - It changes neither owner nor mode of a directory that exists. So it never opens a data directory that an interrupted
    C(pg_rewind) has left closed, and never gives a directory of somebody else to the database.
  - All directories are looked at before the first one is made.
  - Run it as root. It makes a directory with the rights of O(os_user) wherever that user may write, and with root's
    rights only in a directory that root alone may write to. It follows no link that another user than root may have
    made if root's rights would be used behind it.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  data_directory:
    description: The data directory of the standby. It has to be absolute.
    type: str
    required: true
  state_directory:
    description:
      - Where the record of the copy and its lock are kept, outside of the data directory.
      - By default a hidden directory beside O(data_directory), C(.NAME.standby).
    type: str
  waldir:
    description: Where the WAL goes, if not below O(data_directory).
    type: str
  tablespaces:
    description:
      - The tablespaces, such as C(tablespaces) in RV(pgfleet.standby.standby_preflight#module:plan).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the tablespace, for messages.
        type: str
        required: true
      location:
        description: The directory of the tablespace on this host.
        type: str
        required: true
      oid:
        description: Ignored. A plan tells the number of the tablespace.
        type: int
      bytes:
        description: Ignored. A plan tells the size of the tablespace.
        type: int
  os_user:
    description: The OS user of the database.
    type: str
    default: postgres
seealso:
  - module: pgfleet.standby.standby_preflight
  - module: pgfleet.standby.standby_clone
"""

EXAMPLES = r"""
- name: Make the directories that a clone needs
  pgfleet.standby.standby_directories:
    data_directory: /var/lib/postgresql/15/main
    tablespaces: "{{ preflight.plan.tablespaces }}"
  become: true

- name: Make the directories of a cluster whose WAL has a file system of its own
  pgfleet.standby.standby_directories:
    data_directory: /var/lib/postgresql/15/main
    waldir: /var/lib/postgresql/15/wal/main
    tablespaces:
      - name: fast
        location: /srv/tablespaces/fast
  become: true
"""

RETURN = r"""
made:
  description: The directories that were made, or would be in check mode, in the order in which they are made.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/postgresql/15/wal, /var/lib/postgresql/15/wal/main]
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.directories import prepare
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import os_user
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.paths import paths
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import (
    default_state_directory,
    home_directories,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import refusals


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    wanted = directories(params)
    made = prepare(wanted, os_user(params["os_user"]), only_look=check_mode)
    return {
        "changed": bool(made),
        "made": made,
        "diff": {"before": "", "after": "".join(f"{path}\n" for path in made)},
    }


def directories(params: dict[str, Any]) -> dict[str, str]:
    """The directories by their names in messages. Raises StandbyError for a path that no database may use."""
    data_directory = params["data_directory"]
    others = {
        "state_directory": params["state_directory"] or default_state_directory(data_directory),
        **({"waldir": params["waldir"]} if params["waldir"] else {}),
        **{f"tablespace {place['name']}": place["location"] for place in params["tablespaces"]},
    }
    for refusal in refusals(paths(data_directory, others, home_directories())):
        raise StandbyError(refusal)
    return {role: os.path.normpath(path) for role, path in {"data_directory": data_directory, **others}.items()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "data_directory": {"type": "str", "required": True},
            "state_directory": {"type": "str"},
            "waldir": {"type": "str"},
            "tablespaces": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "location": {"type": "str", "required": True},
                    "oid": {"type": "int"},
                    "bytes": {"type": "int"},
                },
            },
            "os_user": {"type": "str", "default": "postgres"},
        },
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
