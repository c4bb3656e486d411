#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_rewind
short_description: Make a former primary a standby of the new one with pg_rewind
version_added: 0.1.0
description:
  - Brings a stopped cluster that has diverged from the upstream, as a primary has after a failover, to the upstream's
    state with C(pg_rewind). Only what differs is copied. What the cluster wrote and the upstream never had is lost.
  - Before anything changes, the module checks all that C(pg_rewind) needs, and C(pg_rewind --dry-run) has to succeed.
  - While it works, and after it was interrupted, no server starts on the directory. What an interrupted rewind has left
    is mended by M(pgfleet.standby.standby_clone) with O(pgfleet.standby.standby_clone#module:overwrite=same_cluster).
  - The host keeps its own configuration, keys and logs in O(data_directory). Replication slots are removed.
  - Afterwards the directory is a standby that M(pgfleet.standby.standby_recovery) has to tell whom to follow.
  - Run it on the standby as the database's OS user.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._upstream
  - pgfleet.standby._login
attributes:
  check_mode:
    support: full
    details:
      - Every check is made, C(pg_rewind --dry-run) included.
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - A cluster that has not diverged is refused with C(error_code) C(not_diverged), so a second run changes nothing.
options:
  data_directory:
    description:
      - The data directory of the cluster. It has to be absolute, and its server has to be shut down.
    type: str
    required: true
  state_directory:
    description:
      - Where the record of the rewind and its lock are kept, and meanwhile the host's own files.
      - By default a hidden directory beside O(data_directory), C(.NAME.standby).
    type: str
  pg_bindir:
    description:
      - The directory of the server programs, such as C(pg_rewind).
      - By default it is looked for in the places of Debian's and the PGDG's packages.
    type: str
  rewind_user:
    description:
      - The role that logs in to the database C(postgres) and reads the upstream's files. By default the one that
        streams. Its password belongs into C(~/.pgpass) as well, with the database name C(postgres).
      - It has to be a superuser, or to have the right to execute C(pg_ls_dir), C(pg_stat_file) and
        C(pg_read_binary_file) in the forms that PostgreSQL's manual lists in the notes on C(pg_rewind). A refusal
        tells the C(GRANT) that is missing.
    type: str
  restore_command:
    description:
      - A command that fetches WAL which O(data_directory) needs and no longer holds, as the setting of this name.
      - C(pg_rewind) takes it from PostgreSQL 15 on. A C(restore_command) in C(postgresql.auto.conf) of the
        directory wins.
    type: str
  timeout:
    description:
      - For how many seconds C(pg_rewind) may do nothing, that is, neither compute nor read nor write. Then it is ended.
        There is no other limit. A rewind that is ended leaves a directory that cannot be started.
    type: int
    default: 3600
requirements:
  - psycopg2
  - C(psql) and C(pg_rewind)
seealso:
  - module: pgfleet.standby.standby_clone
  - module: pgfleet.standby.standby_recovery
"""

EXAMPLES = r"""
- name: Make the old primary follow the new one
  pgfleet.standby.standby_rewind:
    data_directory: /var/lib/postgresql/15/main
    upstream_conninfo:
      host: n1
      user: replicator
    application_name: n2
    rewind_user: rewinder
  become: true
  become_user: postgres
  register: rewind

- name: See whether that would be possible
  pgfleet.standby.standby_rewind:
    data_directory: /var/lib/postgresql/15/main
    upstream_conninfo: host=n1 user=replicator
    application_name: n2
    rewind_user: rewinder
  become: true
  become_user: postgres
  check_mode: true
"""

RETURN = r"""
rewound_to:
  description: Where the histories of the cluster and of the upstream part. The cluster was taken back to there first.
  returned: success
  type: dict
  contains:
    timeline:
      description: The last timeline that both had.
      type: int
      sample: 1
    lsn:
      description: Where that was left.
      type: str
      sample: 0/3000000
  sample:
    lsn: 0/3000000
    timeline: 1
reason:
  description: How the cluster had diverged.
  returned: success
  type: str
  sample: it went on to 0/4000028 on timeline 1, which the upstream left at 0/3000000
bytes:
  description: What had to be copied, in bytes, rounded down to MiB by C(pg_rewind).
  returned: success
  type: int
  sample: 41943040
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 0.6
kept:
  description: The host's own files and directories in O(data_directory), which are as they were.
  returned: success
  type: list
  elements: str
  sample: [log, pg_hba.conf, pg_ident.conf, postgresql.auto.conf, postgresql.conf]
left_behind:
  description: Directories of tablespaces that the cluster had and the upstream has not.
  returned: success, when not in check mode
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import login_options, upstream_options
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import (
    standby_keywords,
    without_password,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory, find_bindir
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import identify
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.login import login_of
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.requested_settings import checked_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.rewind import (
    RewindTask,
    require_rewindable,
    require_stopped_cluster,
    rewind,
)


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    task = task_of(params)
    rewindable = require_rewindable(task)
    result = {
        "changed": True,
        "rewound_to": {"timeline": rewindable.proof.timeline, "lsn": format_lsn(rewindable.proof.fork)},
        "reason": rewindable.relation.reason,
        "bytes": rewindable.proof.bytes,
        "seconds": 0.0,
        "kept": list(rewindable.kept),
        "diff": difference(task, rewindable.relation.reason),
    }
    if not check_mode:
        done = rewind(task, rewindable)
        result.update(seconds=round(done.seconds, 2), kept=list(done.kept), left_behind=list(done.left_behind))
    return result


def task_of(params: dict[str, Any]) -> RewindTask:
    """The rewind that the options describe. Raises StandbyError."""
    path = params["data_directory"]
    state_directory = params["state_directory"] or default_state_directory(path)
    login = login_of(params, params["application_name"])
    shown = without_password(login.keywords)
    settings = {"restore_command": params["restore_command"]} if params["restore_command"] else {}
    command = checked_settings(settings).get("restore_command")
    pgdata = inspect(path, state_directory)
    require_stopped_cluster(pgdata)
    return RewindTask(
        data_directory=path,
        state_directory=state_directory,
        bindir=find_bindir(pgdata.major, params["pg_bindir"]),
        keywords=standby_keywords(shown, params["rewind_user"], params["application_name"]),
        upstream=identify(login.keywords),
        timeout=params["timeout"],
        restore_command=command,
    )


def difference(task: RewindTask, before: str) -> dict[str, str]:
    """Before and after in words."""
    upstream = task.upstream
    after = f"it is a standby of {upstream.host}:{upstream.port} on timeline {upstream.timeline}, still to be started"
    return {
        "before_header": task.data_directory,
        "after_header": task.data_directory,
        "before": f"{before}\n",
        "after": f"{after}\n",
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **upstream_options(),
            **login_options(),
            data_directory={"type": "str", "required": True},
            state_directory={"type": "str"},
            pg_bindir={"type": "str"},
            rewind_user={"type": "str"},
            restore_command={"type": "str"},
            timeout={"type": "int", "default": 3600},
        ),
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
