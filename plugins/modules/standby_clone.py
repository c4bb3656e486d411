#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_clone
short_description: Bring a Barman backup's files into a data directory
version_added: 0.1.0
description:
  - Pulls the files of one backup by parallel rsyncs over ssh into an empty data directory and its tablespaces,
    verifies names and sizes, makes everything durable, and lets C(global/pg_control) appear last of all.
  - Until then no server starts on the directory, whatever interrupts the copy. Another run resumes it and
    sends no finished file again.
  - The finished directory holds C(standby.signal) and no recovery settings of the source, so that a server
    started on it waits for an upstream and never becomes a primary by itself.
  - Run it on the standby as the database's OS user.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._clone
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  jobs:
    description: How many rsyncs run at a time, each with an ssh connection of its own.
    type: int
    default: 2
  bwlimit:
    description: The most that all rsyncs of this host together may receive, in KiB per second.
    type: int
  compress:
    description:
      - How data is compressed on the wire.
      - V(auto) tries what both rsyncs have on parts of this backup, and goes on with the fastest.
    type: str
    choices: [auto, none, lz4, zstd]
    default: auto
  lock_timeout:
    description:
      - How many seconds to wait for another copy into the same directory to end, such as one that
        went on after its play was killed.
    type: int
    default: 3600
requirements:
  - rsync and an ssh client
seealso:
  - module: pgfleet.standby.standby_preflight
  - module: pgfleet.standby.standby_recovery
"""

EXAMPLES = r"""
- name: Clone the backup that was chosen before
  pgfleet.standby.standby_clone:
    barman_host: barman@barman
    backup: "{{ backup.selected }}"
    data_directory: /var/lib/postgresql/15/main
    jobs: 4
  become: true
  become_user: postgres
"""

RETURN = r"""
action:
  description: V(clone), V(resume), or V(none) when the directory holds this clone already.
  returned: success
  type: str
  sample: clone
backup_id:
  description: The backup.
  returned: success
  type: str
  sample: 20261121T114827
files:
  description: How many files the backup has.
  returned: success
  type: int
  sample: 1587
bytes:
  description: Their bytes.
  returned: success
  type: int
  sample: 434789371
bytes_sent:
  description: The bytes of the files that had to be sent; less than RV(bytes) after an interruption.
  returned: success
  type: int
  sample: 434789371
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 3.4
compress:
  description: The compression that was used most, or null when nothing was sent.
  returned: success
  type: str
  sample: lz4
retries:
  description: How often a part of the copy was tried again because a connection broke.
  returned: success
  type: int
  sample: 0
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import clone_options, finish, job_of
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import Job, Outcome, clone, describe, preview
from ansible_collections.pgfleet.standby.plugins.module_utils._datadir import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    job = job_of(params)
    before = inspect(job.data_directory, job.bindir, job.state_directory)
    outcome = preview(job, before) if check_mode else clone(job)
    return {
        "changed": outcome.action != "none",
        "action": outcome.action,
        "backup_id": job.backup.backup_id,
        "files": outcome.files,
        "bytes": outcome.bytes,
        "bytes_sent": outcome.sent,
        "seconds": round(outcome.seconds, 2),
        "retries": outcome.retries,
        "compress": outcome.compress,
        "diff": difference(job, before, outcome),
    }


def difference(job: Job, before: DataDir, outcome: Outcome) -> dict[str, str]:
    """Before and after in words."""
    text = f"{before.state}: {describe(before)}\n"
    after = (
        f"standby: clone of backup {job.backup.backup_id} of {job.backup.server}, {outcome.files} files,"
        f" {outcome.bytes} bytes, system identifier {job.backup.system_identifier}\n"
    )
    return {
        "before_header": job.data_directory,
        "after_header": job.data_directory,
        "before": text,
        "after": text if outcome.action == "none" else after,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **clone_options(),
            jobs={"type": "int", "default": 2},
            bwlimit={"type": "int"},
            compress={"type": "str", "choices": ["auto", "none", "lz4", "zstd"], "default": "auto"},
            lock_timeout={"type": "int", "default": 3600},
        ),
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
