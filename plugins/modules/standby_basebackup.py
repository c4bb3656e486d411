#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_basebackup
short_description: Copy a running upstream into a data directory by pg_basebackup
version_added: 0.1.0
description:
  - Runs C(pg_basebackup) on the standby, verifies what it brought, makes everything durable, and lets
    C(global/pg_control) appear last of all. Barman is not needed. The upstream reads and sends all of its files.
  - Until then no server starts on the directory, whatever interrupts the copy. pg_basebackup cannot go on where it
    stopped, so another run removes what is there and begins anew.
  - The WAL that the copy needs is streamed beside it, which takes two WAL senders of the upstream.
  - The copy is a process of its own on the standby. A lost connection or a killed control node does not end it,
    and the next run attaches to it. To end it, C(kill) the process that the file C(runner) in
    O(state_directory) names.
  - While it runs, its progress is printed, and is the file C(progress.json) in O(state_directory). How much there is to
    copy is the upstream's estimate.
  - The finished directory holds C(standby.signal) and no recovery settings of the upstream.
  - A cluster of the upstream's own system identifier, which O(overwrite=same_cluster) allows to bring to the backup's
    state, is removed and copied as a whole. Where O(overwrite) and O(keep_old) speak of a backup, it is the upstream.
  - Run it on the standby as the database's OS user.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._target
  - pgfleet.standby._upstream
  - pgfleet.standby._login
  - pgfleet.standby._basebackup
  - pgfleet.standby._follow
attributes:
  action:
    support: partial
    details: The action plugin prints the progress; the module does everything else.
    description: Indicates this has a corresponding action plugin.
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  slot_name:
    description:
      - The replication slot that the standby will use. It has to exist. The copy uses it, too, so that the upstream
        keeps all WAL from the copy's beginning until the standby takes it.
      - Without one, pg_basebackup makes a temporary slot. The WAL that follows the copy then has to be at the upstream,
        or in an archive, when the standby starts.
    type: str
  again:
    description:
      - Copy even if a finished copy by this module is there, such as a standby that cannot go on. It needs
        O(overwrite=same_cluster).
    type: bool
    default: false
  bwlimit:
    description: The most that the upstream may send, in KiB per second, from 32 to 1048576.
    type: int
  verify:
    description:
      - How the copy is compared with the C(backup_manifest) that pg_basebackup of PostgreSQL 13 and later brings.
        V(manifest) compares names, sizes and checksums, V(size) names and sizes, V(none) nothing.
      - Without a manifest nothing can be compared. RV(verified) says which it was.
    type: str
    choices: [none, size, manifest]
    default: manifest
requirements:
  - psycopg2
  - C(pg_basebackup) of the server's version
  - C(pg_verifybackup) of PostgreSQL for manifests with CRC32C checksums, which are the default
seealso:
  - module: pgfleet.standby.standby_clone
  - module: pgfleet.standby.standby_recovery
"""

EXAMPLES = r"""
- name: Copy the primary, at most 50 MiB per second
  pgfleet.standby.standby_basebackup:
    data_directory: /var/lib/postgresql/15/main
    upstream_conninfo:
      host: primary
      user: replicator
    application_name: n1
    slot_name: n1
    bwlimit: 51200
  become: true
  become_user: postgres
"""

RETURN = r"""
action:
  description:
    - V(clone), V(replace) of a cluster or an unfinished copy that was removed, or V(none) when the directory holds
      a finished copy already. With O(keep_old) an existing cluster is moved and the action is V(clone).
  returned: success, when finished
  type: str
  sample: clone
method:
  description: Always V(pg_basebackup).
  returned: success
  type: str
  sample: pg_basebackup
files:
  description: How many files were copied, without WAL.
  returned: success, when finished
  type: int
  sample: 1587
bytes:
  description: Their bytes.
  returned: success, when finished
  type: int
  sample: 434789371
bytes_sent:
  description: The same, because nothing that was there is used.
  returned: success, when finished
  type: int
  sample: 434789371
seconds:
  description: How long it took.
  returned: success, when finished
  type: float
  sample: 3.4
verified:
  description: How the copy was compared with its manifest, V(none), V(size) or V(manifest).
  returned: success, when finished
  type: str
  sample: manifest
durable:
  description:
    - How it is known that all files are on the disks. V(syncfs), the kernel has told of no failed write to these file
      systems since before the first one. V(fsync), the kernel is older than Linux 5.8, whose C(syncfs) tells of no
      failed write; so every file was asked, of which the kernel forgets a failure together with the file's memory.
  returned: success, when finished
  type: str
  sample: syncfs
left_behind:
  description:
    - Directories of tablespaces or of the WAL that the cluster used before and the upstream does not have.
      They are left as they are. A cluster that was kept still uses them.
  returned: success, when finished
  type: list
  elements: str
  sample: []
kept_old:
  description:
    - Where the cluster that was there is kept with O(keep_old), its data directory first. Empty when there was none.
    - In check mode, where it would be.
  returned: success, when finished
  type: list
  elements: str
  sample: [/var/lib/postgresql/15/main.old, /srv/tablespaces/fast.old]
finished:
  description: Whether the copy has ended.
  returned: success
  type: bool
  sample: true
run:
  description: The name of the copy that still runs, for O(attach_run).
  returned: success, when not finished
  type: str
  sample: 0b2c4d5e0f7a4b7f9f61c1f0a2b3c4d5
ends_with:
  description:
    - The login session with whose end logind would end the copy, which runs as C(pid), because of its
      C(KillUserProcesses); null if there is none.
    - The action plugin then moves the copy into a unit of its own, C(pgfleet-copy-DIRECTORY.scope), if the task may
      become root. C(systemctl stop) ends it.
  returned: success, when not finished
  type: dict
  sample: null
progress:
  description: How far it has come, as M(pgfleet.standby.standby_clone) returns it.
  returned: success, when not finished
  type: dict
  sample:
    at: "2026-11-21T15:02:11Z"
    bytes: 434789371
    bytes_done: 182452224
    eta: 2
    percent: 42.0
    phase: copying
    rate: 121634816
    retries: 0
    seconds: 1.9
"""

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import (
    basebackup_options,
    follow_options,
    login_options,
    target_options,
    upstream_options,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.basebackup_facts import (
    UpstreamSource,
    upstream_files,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.begin import clone_detached
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.external_fill import fill, preview_fill
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.result import values_of
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.pg_basebackup import BaseBackup
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.pg_basebackup_options import (
    checked_options,
    require_rate,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish, job_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import identify
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.login import login_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.upstream_facts import files


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    job, how = wanted(params)
    waited = params["attach_timeout"], params["attach_run"]
    outcome = preview_fill(how, job) if check_mode else clone_detached(job, partial(fill, how), *waited)
    return values_of(job, outcome, f"a copy of {job.backup.server} by pg_basebackup")


def wanted(params: dict[str, Any]) -> tuple[Job, BaseBackup]:
    """What is copied, which only the upstream can tell. Raises StandbyError."""
    require_rate(params["bwlimit"])
    slot_name = params["slot_name"] or None
    options = checked_options(params["pg_basebackup_options"], slot_name)
    keywords = login_of(params, params["application_name"]).keywords
    source = UpstreamSource(partial(job_of, params, "pg_basebackup"), options, tuple(params["tablespace_mapping"]))
    job = upstream_files(identify(keywords), files(keywords), source).job
    return job, BaseBackup(keywords, slot_name, options)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **target_options(),
            **upstream_options(),
            **login_options(),
            **basebackup_options(),
            **follow_options(),
            slot_name={"type": "str"},
            again={"type": "bool", "default": False},
            bwlimit={"type": "int"},
            verify={"type": "str", "choices": ["none", "size", "manifest"], "default": "manifest"},
        ),
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
