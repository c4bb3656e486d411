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
  - The rewind is a process of its own on the host, which neither a lost connection nor the end of the play ends.
    Another call attaches to it. While it works, the play shows how far it is.
  - While it works, and after it was killed, no server starts on the directory. What a killed rewind has left is
    mended by M(pgfleet.standby.standby_clone) with
    O(pgfleet.standby.standby_clone#module:overwrite=same_cluster).
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
  action:
    support: partial
    details: The action plugin follows the rewind and prints its progress; the module does everything else.
    description: Indicates this has a corresponding action plugin.
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
      - For how many seconds C(pg_rewind --dry-run) may do nothing, that is, neither compute nor read nor write. Then it
        is ended. There is no other limit, and none for the rewind itself.
    type: int
    default: 3600
  progress_interval:
    description:
      - Seconds between two lines of progress. With V(0) no line is printed.
      - By default the first line comes after 5 seconds, and the longer the rewind takes, the rarer the lines become.
    type: int
  attach_timeout:
    description:
      - Return after so many seconds although the rewind is not over; RV(finished) is false then, and it goes on.
      - By default the module returns when the rewind is over.
    type: int
  attach_run:
    description:
      - The RV(run) of an earlier call. Then the result of just that rewind is returned, and no other one is started.
    type: str
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
finished:
  description: Whether the rewind is over.
  returned: success
  type: bool
  sample: true
run:
  description: The name of the rewind that goes on.
  returned: when not finished
  type: str
  sample: 0f9c6a3e2b
progress:
  description: How far it has come, as RV(pgfleet.standby.standby_clone#module:progress).
  returned: when not finished
  type: dict
  sample: {"phase": "rewinding", "bytes": 52428800, "bytes_done": 10485760, "percent": 20.0}
ends_with:
  description: The login session with which it ends, as RV(pgfleet.standby.standby_clone#module:ends_with).
  returned: when not finished
  type: dict
  sample: null
rewound_to:
  description: Where the histories of the cluster and of the upstream part. The cluster was taken back to there first.
  returned: when finished
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
  returned: when finished
  type: str
  sample: it went on to 0/4000028 on timeline 1, which the upstream left at 0/3000000
bytes:
  description: What had to be copied, in bytes, rounded down to MiB by C(pg_rewind).
  returned: when finished
  type: int
  sample: 41943040
seconds:
  description: How long it took.
  returned: when finished
  type: float
  sample: 0.6
kept:
  description: The host's own files and directories in O(data_directory), which are as they were.
  returned: when finished
  type: list
  elements: str
  sample: [log, pg_hba.conf, pg_ident.conf, postgresql.auto.conf, postgresql.conf]
left_behind:
  description: Directories of tablespaces that the cluster had and the upstream has not.
  returned: when finished, and not in check mode
  type: list
  elements: str
  sample: []
"""

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import login_options, upstream_options
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.detached import Running, Task, follow
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.result import ends_with
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import (
    standby_keywords,
    without_password,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory, find_bindir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import identify
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.login import login_of
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.requested_settings import checked_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.rewind import (
    RewindTask,
    Rewound,
    require_rewindable,
    require_stopped_cluster,
    rewind,
)


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    if check_mode:
        return {"finished": True, **told(params, planned(params))}
    outcome = follow(in_background(params), params["attach_timeout"], params["attach_run"])
    if isinstance(outcome, Running):
        going_on = {"run": outcome.run, "progress": outcome.progress, "ends_with": ends_with(outcome.pid)}
        return {"changed": True, "finished": False, **going_on}
    return {"finished": True, **told(params, outcome), "left_behind": list(outcome.left_behind)}


def planned(params: dict[str, Any]) -> Rewound:
    """What a rewind would do. Changes nothing. Raises StandbyError."""
    task = task_of(params)
    return Rewound.planned(task, require_rewindable(task))


def rewound(params: dict[str, Any], progress: Progress) -> Rewound:
    """Find all that can refuse, then rewind. Raises StandbyError."""
    task = task_of(params)
    return rewind(task, require_rewindable(task), progress)


def in_background(params: dict[str, Any]) -> Task[Rewound]:
    """The rewind as a process of its own."""
    path = params["data_directory"]
    place = params["state_directory"] or default_state_directory(path)
    keywords = without_password(login_of(params, params["application_name"]).keywords)
    identity = {"data_directory": path, "rewound_to": " ".join(keywords.get(name, "") for name in ("host", "port"))}

    def require() -> None:
        require_stopped_cluster(inspect(path, place))

    found = f"The process that rewound {path} was killed, and left no result. If it had begun, no server starts there."
    killed = Refusal("rewind_unfinished", found, "run again: it tells what is there")
    return Task(place, identity, require, partial(rewound, params), Rewound, killed=killed)


def told(params: dict[str, Any], outcome: Rewound) -> dict[str, Any]:
    """What was done, or would be."""
    return {
        "changed": True,
        "rewound_to": {"timeline": outcome.timeline, "lsn": format_lsn(outcome.fork)},
        "reason": outcome.reason,
        "bytes": outcome.bytes,
        "seconds": round(outcome.seconds, 2),
        "kept": list(outcome.kept),
        "diff": {
            "before_header": params["data_directory"],
            "after_header": params["data_directory"],
            "before": f"{outcome.reason}\n",
            "after": f"{outcome.after}\n",
        },
    }


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
            progress_interval={"type": "int"},
            attach_timeout={"type": "int"},
            attach_run={"type": "str"},
        ),
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
