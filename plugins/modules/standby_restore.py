#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_restore
short_description: Have Barman restore a backup into a data directory
version_added: 0.1.0
description:
  - Runs C(barman restore) on the Barman host, which pushes the files of one backup to this host by rsyncs of its own,
    and makes a standby's data directory of them. Before Barman 3.12 the command is C(barman recover).
  - Barman fills a directory C(.pgfleet) in O(data_directory), and one in each tablespace, where no server looks.
    The files are renamed into their places, verified and made durable, and C(global/pg_control) appears last of all.
    Until then no server starts on the directory, whatever interrupts it.
  - What Barman changes is undone. C(archive_command) is that of the backup, the files C(*.origin) and
    C(.barman-recover.info) are gone, C(backup_manifest) has its name, and Barman's recovery settings are not there.
  - The restore ends with whoever started it. When this host, the connection or the process that waits for it breaks
    down, Barman's command is ended within a minute, and the next run begins anew. If Barman had finished, the next run
    goes on from there.
  - The restore is a process of its own on the standby. A lost connection to the controller or a killed control node
    does not end it, and the next run attaches to it.
  - M(pgfleet.standby.standby_clone) does the same by pulling, needs no way from the Barman host to the standby, and
    sends no finished file again. This module is for what only Barman can unpack, and for hosts that may only be pushed
    to.
  - Run it on the standby as the database's OS user.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._clone
  - pgfleet.standby._target
  - pgfleet.standby._fill
  - pgfleet.standby._follow
  - pgfleet.standby._server
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
  remote_ssh_command:
    description:
      - The ssh command by which Barman's user at O(barman_host) reaches the user that runs the module here, such as
        C(ssh postgres@standby).
      - It must not ask for anything, and host keys are verified. Before anything changes, the module tries it
        and checks that it leads to this very host.
      - It holds words without quotes. What needs more belongs into the C(ssh_config) of Barman's user.
    type: str
    required: true
  network_compression:
    description:
      - Whether Barman's rsyncs compress what they send.
    type: bool
    default: false
  restore_options:
    description:
      - Further options for C(barman restore), one list element for each option and each value.
      - C(--staging-path), C(--staging-location) and C(--combine-mode), before Barman 3.15 C(--recovery-staging-path)
        and C(--local-staging-path), say where it unpacks, decrypts and combines backups; C(--retry-times),
        C(--retry-sleep), C(--no-retry), C(--jobs-start-batch-size) and C(--jobs-start-batch-period) how it copies.
      - If none of them says where, compressed backups are unpacked here, inside of O(data_directory), and incremental
        and encrypted ones on the Barman host, in C(pgfleet-staging) below the server's C(backup_directory).
    type: list
    elements: str
    default: []
  verify:
    description:
      - How the result is compared with the backup. V(manifest) computes the checksums of the files if the backup has a
        C(backup_manifest). RV(verified) says what it was.
      - Names and sizes of a plain backup always are compared, so V(none) and V(size) are one. What Barman had to
        unpack can only be compared with a manifest, its names and sizes with V(size). Without a manifest RV(verified)
        is V(none).
    type: str
    choices: [none, size, manifest]
    default: manifest
requirements:
  - rsync and an ssh client
  - C(setsid) and C(timeout) at O(barman_host), which every Debian and Red Hat system has
  - C(lz4) or C(zstd) for backups that are compressed by it
  - Barman 3.11 or later for incremental backups, with pg_combinebackup of the backup's major version at O(barman_host)
  - Barman 3.14 or later for encrypted backups, with its C(encryption_passphrase_command)
  - C(pg_verifybackup) of PostgreSQL for backups whose manifest has CRC32C checksums
seealso:
  - module: pgfleet.standby.standby_clone
  - module: pgfleet.standby.standby_recovery
"""

EXAMPLES = r"""
- name: Have Barman restore the backup that was chosen before
  pgfleet.standby.standby_restore:
    barman_host: barman@barman
    backup: "{{ backup.selected }}"
    data_directory: /var/lib/postgresql/15/main
    remote_ssh_command: ssh postgres@n1
    jobs: 4
  become: true
  become_user: postgres

- name: Restore a compressed backup, unpacked in another place of the standby
  pgfleet.standby.standby_restore:
    barman_host: barman@barman
    backup: "{{ backup.selected }}"
    data_directory: /var/lib/postgresql/15/main
    remote_ssh_command: ssh postgres@n1
    restore_options: [--staging-path, /srv/staging, --staging-location, remote]
  become: true
  become_user: postgres
"""

RETURN = r"""
action:
  description:
    - V(clone), V(resume) of a restore that Barman had finished before it was interrupted, V(replace) of a cluster or an
      unfinished copy that was removed, or V(none) when the directory holds this clone already. With O(keep_old) an
      existing cluster is moved and the action is V(clone).
  returned: success, when finished
  type: str
  sample: clone
method:
  description: What brought the files, here always V(barman).
  returned: success
  type: str
  sample: barman
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
  description: The bytes of them that Barman had to send; 0 when it had finished before.
  returned: success, when finished
  type: int
  sample: 434789371
seconds:
  description: How long it took.
  returned: success, when finished
  type: float
  sample: 3.4
verified:
  description:
    - How the result was compared with the backup, V(size), V(manifest) or V(none), see O(verify).
    - It is V(size) as well if the manifest does not know all files. A warning names their places.
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
barman_said:
  description:
    - What Barman warned of. Among it are warnings that Barman changed C(archive_command) and wrote a
      C(restore_command). Both have been undone.
  returned: success, when finished
  type: list
  elements: str
  sample: ["IMPORTANT! Some settings have been modified to prevent data losses. See 'changes' key."]
finished:
  description: Whether the restore has ended.
  returned: success
  type: bool
  sample: true
run:
  description: The name of the restore that still runs, for O(attach_run).
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
      description: V(preparing), V(waiting), V(copying), V(verifying), V(syncing) or V(committing).
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
      description: Since the restore began.
      type: float
    retries:
      description: Always 0; Barman does not tell of its own.
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

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import (
    clone_options,
    fill_options,
    follow_options,
    server_options,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.begin import clone_detached
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.external_fill import fill, preview_fill
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Result
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.result import result_of
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.barman import restore_of
from ansible_collections.pgfleet.standby.plugins.module_utils._module import barman_of, finish, job_of


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    job = job_of(params, "barman")
    restore = restore_of(params, job, barman_of(params, job.backup.server))
    waited = params["attach_timeout"], params["attach_run"]
    outcome = preview_fill(restore, job) if check_mode else clone_detached(job, partial(fill, restore), *waited)
    result = result_of(job, outcome)
    if isinstance(outcome, Result):
        result["barman_said"] = list(outcome.said)
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **clone_options(),
            **fill_options(),
            **follow_options(),
            **server_options(),
            remote_ssh_command={"type": "str", "required": True},
            network_compression={"type": "bool", "default": False},
            restore_options={"type": "list", "elements": "str", "default": []},
            verify={"type": "str", "choices": ["none", "size", "manifest"], "default": "manifest"},
        ),
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
