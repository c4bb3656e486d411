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
  - Pulls the files of one backup by parallel rsyncs over ssh into a data directory and its tablespaces,
    verifies them, makes everything durable, and lets C(global/pg_control) appear last of all.
  - A backup with a C(backup_compression) is in tars. Each is streamed over ssh and unpacked straight into place, by
    what its C(backup_manifest) names; nothing else in a tar is written, and a tar that holds anything else is refused.
    It is decompressed on this host, or on the Barman host if this one lacks the program. A copy is not resumed within a
    tar. If files of a tar are missing, all of it is sent again.
  - Until then no server starts on the directory, whatever interrupts the copy. Another run resumes it and
    sends no finished file again.
  - The copy is a process of its own on the standby. A lost connection or a killed control node does not end it,
    and the next run attaches to it. To end it, C(kill) the process that the file C(runner) in
    O(state_directory) names.
  - While it runs, its progress is printed, and is the file C(progress.json) in O(state_directory).
  - The finished directory holds C(standby.signal) and no recovery settings of the source, so that a server
    started on it waits for an upstream and never becomes a primary by itself.
  - Run it on the standby as the database's OS user.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._clone
  - pgfleet.standby._target
  - pgfleet.standby._fill
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
  compress:
    description:
      - How data is compressed on the wire.
      - V(auto) tries what both rsyncs have on small parts of this backup and goes on with the fastest.
      - For tars this option does not matter. They travel as they are, or decompressed if the Barman host has to do
        that.
    type: str
    choices: [auto, none, lz4, zstd]
    default: auto
  verify:
    description:
      - How the finished copy is compared with the backup. Names and sizes always are, so V(none) and V(size) are one.
      - V(manifest) also computes the checksums of the files while others are being copied, if the backup has a
        C(backup_manifest); if it has none, V(manifest) is V(size). RV(verified) says which it was.
      - V(checksum) has both ends read all files again and compares their checksums, which is a load on the Barman host.
        For a backup in tars it is V(manifest); such a backup always has a manifest.
      - Files whose contents differ are sent once more before the copy fails.
    type: str
    choices: [none, size, manifest, checksum]
    default: manifest
  io_timeout:
    description: After how many seconds of silence a connection counts as broken and its part of the copy starts anew.
    type: int
    default: 300
requirements:
  - rsync and an ssh client
  - C(gzip), C(lz4) or C(zstd) for backups that are compressed so, here or on the Barman host
  - C(pg_verifybackup) of PostgreSQL for backups whose manifest has CRC32C checksums
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

- name: Replace whatever cluster is there, and keep it beside the new one
  pgfleet.standby.standby_clone:
    barman_host: barman@barman
    backup: "{{ backup.selected }}"
    data_directory: /var/lib/postgresql/15/main
    overwrite: always
    keep_old: true
  become: true
  become_user: postgres
"""

RETURN = r"""
action:
  description:
    - V(clone), V(resume) of an interrupted copy, V(delta) over an existing cluster, V(replace) of one that was
      removed, or V(none) when the directory holds this clone already. With O(keep_old) an existing cluster is moved
      and the action is V(clone).
  returned: success, when finished
  type: str
  sample: clone
method:
  description: What brought the files, here always V(rsync).
  returned: success
  type: str
  sample: rsync
backup_id:
  description: The backup.
  returned: success
  type: str
  sample: 20261121T114827
files:
  description: How many files the backup has.
  returned: success, when finished
  type: int
  sample: 1587
bytes:
  description: Their bytes.
  returned: success, when finished
  type: int
  sample: 434789371
bytes_sent:
  description: The bytes of them that had to be sent; less than RV(bytes) after an interruption or over a cluster.
  returned: success, when finished
  type: int
  sample: 434789371
bytes_received:
  description: The bytes that arrived on the wire, compressed.
  returned: success, when finished
  type: int
  sample: 52417302
seconds:
  description: How long it took.
  returned: success, when finished
  type: float
  sample: 3.4
compress:
  description: The compression that was chosen, or that of the backup in tars; null when nothing had to be sent.
  returned: success, when finished
  type: str
  sample: lz4
retries:
  description: How often a part of the copy was tried again because a connection broke.
  returned: success, when finished
  type: int
  sample: 0
verified:
  description:
    - How the copy was compared with the backup, V(size), V(manifest) or V(checksum).
    - It is V(size) as well if the manifest does not know all files. One that Barman has made itself knows no
      tablespace. A warning names the places; the files that the manifest knows were compared with it.
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
    - Directories of tablespaces or of the WAL that the cluster used before and this backup does not.
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
  description: How far it has come.
  returned: success, when not finished
  type: dict
  contains:
    phase:
      description: V(preparing), V(waiting), V(comparing), V(copying), V(verifying), V(syncing) or V(committing).
      type: str
    percent:
      description: Of the bytes of this phase, or null.
      type: float
    bytes:
      description: The bytes of this phase.
      type: int
    bytes_done:
      description: How many of them are done.
      type: int
    rate:
      description: Bytes per second, or null while it is not known.
      type: int
    eta:
      description: Seconds until the end of this phase, or null.
      type: int
    seconds:
      description: Since the copy began.
      type: float
    retries:
      description: How often a part was tried again.
      type: int
    at:
      description: When this was.
      type: str
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

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import (
    clone_options,
    fill_options,
    follow_options,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.begin import clone_detached
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Result
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import preview
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.result import result_of
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.rsync import copy
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish, job_of


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    job = job_of(params)
    outcome = preview(job) if check_mode else clone_detached(job, copy, params["attach_timeout"], params["attach_run"])
    result = result_of(job, outcome)
    if isinstance(outcome, Result):
        result.update(bytes_received=outcome.received, retries=outcome.retries, compress=outcome.compress)
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **clone_options(),
            **fill_options(),
            **follow_options(),
            compress={"type": "str", "choices": ["auto", "none", "lz4", "zstd"], "default": "auto"},
            verify={"type": "str", "choices": ["none", "size", "manifest", "checksum"], "default": "manifest"},
            io_timeout={"type": "int", "default": 300},
        ),
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
