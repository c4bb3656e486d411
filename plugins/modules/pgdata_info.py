#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgdata_info
short_description: Tell what a PostgreSQL data directory is, also while no server runs
version_added: 0.1.0
description:
  - Reads the directory, C(pg_control), the signal files and the record of an earlier clone.
  - Works on running and stopped clusters alike and connects to nothing.
  - Of a running server it sees what is on disk. C(pg_control) is as old as the last checkpoint, so that what has
    happened since may not be seen. Before a cluster is replaced, its server is stopped and the directory read again.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._attributes.info_module
options:
  data_directory:
    description: The directory to look at.
    type: str
    required: true
  state_directory:
    description:
      - Where the record of a clone is kept.
      - By default a hidden directory beside O(data_directory), C(.NAME.standby).
    type: str
  pg_bindir:
    description:
      - The directory of the server programs, returned as RV(pgdata.pg_bindir).
      - By default it is looked for in the places of Debian's and the PGDG's packages.
    type: str
  system_identifier:
    description:
      - The system identifier of the cluster that the directory should belong to, such as that of a backup. With it
        RV(pgdata.kind) tells this cluster from others.
    type: str
seealso:
  - module: pgfleet.standby.standby_info
"""

EXAMPLES = r"""
- name: Look at the data directory
  pgfleet.standby.pgdata_info:
    data_directory: /var/lib/postgresql/15/main
  become: true
  become_user: postgres
  register: pgdata
"""

RETURN = r"""
pgdata:
  description: What the directory is.
  returned: success
  type: dict
  contains:
    path:
      description: The directory.
      type: str
      sample: /var/lib/postgresql/15/main
    state:
      description:
        - V(absent), V(empty) (also with only C(lost+found), C(.snapshot), C(.zfs) or an empty C(pg_wal) in it),
          V(incomplete) (a clone or a C(pg_rewind) that has
          not been finished), V(standby), V(pristine) (a cluster that C(initdb) made and that has not been used),
          V(cluster) (any other one that is not a standby) or V(foreign) (anything else). A V(foreign) one with a
          RV(pgdata.version) is a damaged cluster.
        - V(pristine) needs all of these signs; in doubt it is V(cluster). C(pg_control) tells of a clean
          stop or of a running server, of timeline 1, of no more objects and WAL than an unused server makes by itself.
          There are just the files and the three databases of C(initdb), no signal file, no C(backup_label), no
          tablespace, no slot, no prepared transaction, no setting by C(ALTER SYSTEM), and no catalog tells of an
          object, such as a role, a schema or a function, that C(initdb) did not make.
        - Passwords, comments and the C(postgresql.conf) of an unused cluster are no signs.
      type: str
      sample: standby
    kind:
      description:
        - As RV(pgdata.state), but O(system_identifier) tells clusters apart. Of that cluster are V(standby),
          V(former_primary) and V(primary), which runs. Of another one are V(other_standby), V(other_cluster) and
          V(other_primary).
      type: str
      sample: standby
    mount_point:
      description: Whether a file system is mounted there.
      type: bool
      sample: false
    version:
      description: The content of the C(PG_VERSION) of a cluster, or null.
      type: str
      sample: "15"
    control:
      description:
        - What C(pg_controldata) would tell. Null if there is no C(pg_control), or if it is damaged. The module fails
          if it is not of PostgreSQL 10 to 18, because such a cluster may be whole.
        - C(redo_lsn) is where replay begins, C(min_recovery_lsn) how far a standby has
          to replay before it is consistent, on C(min_recovery_timeline), C(0/0) and 0 on a primary.
          C(next_oid) is the number of the next object, C(wal_log_hints) the setting of
          that name; C(pg_rewind) needs it, or data checksums.
      type: dict
      sample:
        block_size: 8192
        checkpoint_lsn: 0/3000060
        data_checksums: false
        min_recovery_lsn: 0/3000138
        min_recovery_timeline: 1
        next_oid: 24576
        redo_lsn: 0/3000028
        settings:
          max_connections: 120
          max_locks_per_transaction: 64
          max_prepared_transactions: 0
          max_wal_senders: 20
          max_worker_processes: 8
        state: in archive recovery
        system_identifier: "7710590273953624155"
        timeline: 1
        wal_log_hints: false
        wal_segment_size: 16777216
    pid:
      description: The process of the server that runs on the directory, or null.
      type: int
      sample: 4711
    port:
      description: Its port, or null.
      type: int
      sample: 5432
    socket_directory:
      description: The directory of its socket, or null.
      type: str
      sample: /var/run/postgresql
    listen_address:
      description: The first address on which it listens, V(*) for all, or null.
      type: str
      sample: localhost
    status:
      description:
        - What its C(postmaster.pid) says. V(starting), V(stopping), V(ready), also of a hot standby, or V(standby)
          if C(hot_standby) is off. Null if no server runs.
      type: str
      sample: ready
    doubt:
      description:
        - Why it is not certain that no server runs on the directory, or null. A server in a container or on another
          host may use it.
      type: str
      sample: null
    signals:
      description: The signal files that are there.
      type: list
      elements: str
      sample: [standby.signal]
    running:
      description: Whether a server runs on the directory.
      type: bool
      sample: true
    ours:
      description: Whether it is a finished clone of M(pgfleet.standby.standby_clone) and still a standby.
      type: bool
      sample: true
    pg_bindir:
      description: The directory of the server programs for the cluster, or null if there is no cluster.
      type: str
      sample: /usr/lib/postgresql/15/bin
    clone:
      description: The record of the clone, or null.
      type: dict
      sample:
        backup_id: 20261121T114827
        phase: committed
        server: pg
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.standby_status import pgdata_of


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    pgdata = inspect(params["data_directory"], params["state_directory"])
    return {"changed": False, "pgdata": pgdata_of(pgdata, params["pg_bindir"], params["system_identifier"])}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "data_directory": {"type": "str", "required": True},
            "state_directory": {"type": "str"},
            "pg_bindir": {"type": "str"},
            "system_identifier": {"type": "str"},
        },
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
