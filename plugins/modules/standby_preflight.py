#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_preflight
short_description: Check everything, and plan the smallest change that makes the host a standby
version_added: 0.1.0
description:
  - Runs every check, changes nothing, and tells all problems at once.
  - The plan is the smallest change that will do. V(none) for a healthy standby; V(settings) for one that runs and only
    has to be told whom to follow; V(start) for one that is stopped, whose WAL can still be had; V(rewind) for a cluster
    whose history has left the upstream's, if C(pg_rewind) can help; V(delta) to bring such a cluster to the backup's
    state; V(replace) to remove another cluster; V(resume) for an unfinished copy; V(clone) for an empty directory.
  - Run it on the standby as the database's OS user, because the copy and the replication login
    will be that user's as well.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._attributes.info_module
  - pgfleet.standby._clone
  - pgfleet.standby._target
  - pgfleet.standby._upstream
  - pgfleet.standby._login
  - pgfleet.standby._local_login
  - pgfleet.standby._restore
  - pgfleet.standby._basebackup
  - pgfleet.standby._server
options:
  method:
    description:
      - What would bring the files, V(rsync) for M(pgfleet.standby.standby_clone), V(barman) for
        M(pgfleet.standby.standby_restore), both from Barman's O(backup), or V(pg_basebackup) for
        M(pgfleet.standby.standby_basebackup), from the upstream itself.
      - Only V(rsync) brings an existing cluster to the backup's state. With the others the plan is V(replace) instead
        of V(delta), under the same O(overwrite).
      - With V(pg_basebackup) Barman is not asked. C(not_checked) in RV(plan) names what only Barman could tell. Two WAL
        senders are needed. The upstream tells how much room is needed, if it lets the role that streams into the
        database C(postgres).
    type: str
    choices: [rsync, barman, pg_basebackup]
    default: rsync
  barman_host:
    description:
      - The Barman host as an ssh destination, C([user@]host), or a C(Host) alias of C(ssh_config).
      - Required unless O(method=pg_basebackup).
    type: str
    required: false
  upstream_connection:
    description:
      - V(required) asks the upstream for all that only it can prove. One that does not answer is a problem.
      - With V(none) the upstream is not asked, so that a standby can be made while it is down. What is not proven then
        is a warning, and in C(not_checked) of RV(plan).
    type: str
    choices: [required, none]
    default: required
  upstream_derived:
    description:
      - What O(upstream_conninfo) was derived from, RV(pgfleet.standby.barman_server_info#module:upstream) of
        M(pgfleet.standby.barman_server_info), for the plan to tell.
    type: dict
  backup:
    description:
      - The backup to clone, RV(pgfleet.standby.barman_backup_info#module:selected) of
        M(pgfleet.standby.barman_backup_info).
      - Without one, a plan that needs a backup is a problem, for the reason in O(no_backup).
    type: dict
    required: false
  no_backup:
    description:
      - Why there is no O(backup), with C(msg) and C(error_code), such as the result of a failed
        M(pgfleet.standby.barman_backup_info).
    type: dict
  barman_checks:
    description:
      - The verdicts of C(barman check), RV(pgfleet.standby.barman_server_info#module:checks).
    type: list
    elements: dict
  slot_name:
    description:
      - The slot at the upstream that the standby will use.
    type: str
  slot_created:
    description:
      - Whether a missing slot will be made before the standby is started. The role that streams has to be let into
        the database C(postgres) for that.
    type: bool
    default: false
  config_directory:
    description:
      - The directory of C(postgresql.conf), if that is not the data directory.
    type: str
  config_files:
    description:
      - As for M(pgfleet.standby.standby_recovery).
    type: str
    choices: [keep_local, from_backup]
  config_created:
    description:
      - Whether a missing O(config_directory) will be made with the packaging's defaults.
    type: bool
    default: false
  directories_created:
    description:
      - Whether the directories that are missing will be made as M(pgfleet.standby.standby_directories) makes them,
        before anything is copied. Those that exist stay as they are, and have to be of use to the database's OS user.
    type: bool
    default: false
  rewind_user:
    description:
      - The role that C(pg_rewind) would log in to the upstream as. By default the user that streams.
    type: str
  service:
    description:
      - The systemd unit that will start the server. It has to start that of O(data_directory), by O(config_directory).
      - Without one C(pg_ctl) will, which limits what paths may hold.
    type: str
  units:
    description:
      - What systemd has told root of O(service), and of Debian's C(postgresql.service), by their names. That is
        C(status) of M(ansible.builtin.systemd_service).
      - Without it systemd is asked as the user of the task, which takes D-Bus.
    type: dict
    default: {}
  hot_standby_settings:
    description:
      - What to do when C(max_connections), C(max_worker_processes), C(max_wal_senders),
        C(max_prepared_transactions) or C(max_locks_per_transaction) would be lower than on the primary.
        A standby does not start with lower ones. The same for C(hot_standby) that is off, with which a standby lets
        nobody in, so that it cannot be seen whether it streams.
      - V(raise) plans the values that are needed, V(refuse) is a problem.
    type: str
    choices: [raise, refuse]
    default: raise
  rehearse:
    description:
      - Whether the start of the server is rehearsed, if something is to be copied. The standby's own programs make a
        scratch cluster with the configuration that the standby will have, and start it. What the server refuses to
        start with is a problem, in the server's own words, before anything is copied. Nothing is left of it, in check
        mode as well.
      - V(auto) rehearses if it can be done. If not, that is a warning, and in C(not_checked) of RV(plan).
      - With V(always) a rehearsal that cannot be had is a problem. So is a configuration that only comes with the copy,
        such as that of O(method=pg_basebackup) or in a tar.
      - With V(never) nothing is started.
    type: str
    choices: [auto, always, never]
    default: auto
requirements:
  - psycopg2
  - rsync and an ssh client
seealso:
  - module: pgfleet.standby.standby_clone
"""

EXAMPLES = r"""
- name: Check the host and plan the clone
  pgfleet.standby.standby_preflight:
    barman_host: barman@barman
    backup: "{{ backup.selected }}"
    data_directory: /var/lib/postgresql/15/main
    upstream_conninfo:
      host: primary
      user: replicator
    application_name: n1
  become: true
  become_user: postgres
  register: preflight
"""

RETURN = r"""
plan:
  description:
    - What would be done. On failure its action is V(refuse).
    - C(copies) says whether files are to be brought. C(stop) says that a server runs there, and has to be stopped
      before. C(seconds) is an estimate, from the rate at
      which a part of the backup has come, without compression and by one stream. C(removed) counts what is there and
      is not in the backup; its first names are in C(removed_names). C(kept_old) is where O(keep_old) puts it instead.
    - C(slot) is the slot at the upstream, or null. C(create) says that it will be made, with a login like this;
      C(max_wal_bytes) is C(max_slot_wal_keep_size) there, V(-1) for no limit.
      No secret is in C(connect_params). If the login needs another one than O(upstream_password), such as
      C(sslpassword), C(create) is V(false), and the slot has to be there.
    - C(staged) says that the backup has to be staged by M(pgfleet.standby.barman_backup_stage) before. What the
      backup holds is not known until then. The next preflight, with the backup that was staged, looks at that.
  returned: always, when the options make sense
  type: dict
  sample:
    action: clone
    backup_id: 20261121T114827
    before: it is empty
    bytes: 434789371
    bytes_per_second: 398458880
    bytes_to_copy: 434789371
    copies: true
    data_directory: /var/lib/postgresql/15/main
    files: 1586
    not_checked: []
    free_after:
      /var/lib/postgresql/15: 79946929157
    method: rsync
    reason: the data directory is empty
    removed: 0
    removed_names: []
    restore_command: barman-wal-restore -U barman --spool-dir /var/lib/postgresql/15/.main.standby/spool barman pg %f %p
    seconds: 1.1
    server: pg
    settings:
      max_wal_senders: "20"
    slot:
      connect_params:
        application_name: n1
      create: true
      login_db: postgres
      login_host: primary
      login_port: 5432
      login_user: replicator
      max_wal_bytes: -1
      name: n1
    staged: false
    stop: false
    tablespaces:
      - bytes: 19873792
        location: /srv/tablespaces/fast
        name: fast
        oid: 16388
    upstream_derived: null
    upstream:
      host: primary
      lsn: 0/B0001B0
      port: "5432"
      system_identifier: "7710590273953624155"
      timeline: 1
    wal_to_replay: 134218120
verdicts:
  description: What every check found; C(severity) is V(ok), V(warning) or V(error).
  returned: always, when the options make sense
  type: list
  elements: dict
  sample:
    - check: version
      error_code: null
      msg: PostgreSQL 15.20 here, 15 in the backup
      severity: ok
error_codes:
  description: The codes of all problems.
  returned: failure
  type: list
  elements: str
  sample: [space_missing, version_differs]
error_code:
  description: The code of the only problem, or V(preflight_failed) when there are several.
  returned: failure
  type: str
  sample: version_differs
"""

import os
import socket
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import (
    basebackup_options,
    clone_options,
    local_login_options,
    login_options,
    restore_options,
    server_options,
    upstream_options,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.basebackup_facts import UpstreamSource
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.one_login import one_login
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.pg_basebackup_options import checked_options
from ansible_collections.pgfleet.standby.plugins.module_utils._model import CheckItem
from ansible_collections.pgfleet.standby.plugins.module_utils._module import barman_of, finish, job_of
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory, spool_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.login import login_of
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.examination import run
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.restore_command import (
    RestoreCommand,
    restore_command,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import all_in_one, refusals, shown

_SETTINGS = ("archive_cleanup_command", "recovery_min_apply_delay", "settings")


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    with one_login(params) as asked:
        examined = run(request_of(params, asked))
    plan = examined.plan
    result = {
        "changed": False,
        "plan": plan,
        "verdicts": [shown(verdict) for verdict in examined.verdicts],
    }
    problems = refusals(examined.verdicts)
    if problems:
        head = f"{socket.gethostname()} cannot become a standby in {params['data_directory']}; nothing was changed."
        refusal = all_in_one("preflight_failed", head, problems)
        raise StandbyError(refusal, error_codes=[problem.code for problem in problems], **result)
    result["diff"] = {
        "before_header": plan["data_directory"],
        "after_header": plan["data_directory"],
        "before": plan["before"] + "\n",
        "after": f"{plan['action']}: {plan['reason']}\n",
    }
    result["warnings_to_show"] = [verdict.msg for verdict in examined.verdicts if verdict.severity == "warning"]
    return result


def source_of(params: dict[str, Any]) -> UpstreamSource | None:
    """What pg_basebackup would copy; None for another method. Raises StandbyError."""
    if params["method"] != "pg_basebackup":
        return None
    options = checked_options(params["pg_basebackup_options"], params["slot_name"] or None)
    return UpstreamSource(partial(job_of, params, "pg_basebackup"), options, tuple(params["tablespace_mapping"]))


def request_of(params: dict[str, Any], asked: dict[str, Any]) -> Request:
    """What the options ask for, and those by which the Barman host is asked meanwhile. Raises StandbyError."""
    job = job_of(asked, params["method"]) if params["backup"] is not None else None
    state_directory = params["state_directory"] or default_state_directory(params["data_directory"])
    server = params["barman_server"] or (job.backup.server if job is not None else None)
    named = {**params, "barman_server": server}
    command = restore_command(named, spool_of(state_directory)) if server else RestoreCommand(None)
    return Request(
        data_directory=job.target.data_directory if job is not None else os.path.normpath(params["data_directory"]),
        state_directory=job.target.state_directory if job is not None else state_directory,
        job=job,
        overwrite=params["overwrite"],
        bindir=params["pg_bindir"],
        slot_name=params["slot_name"],
        keywords=login_of(params, params["application_name"]).keywords,
        config_directory=params["config_directory"] or None,
        config_created=params["config_created"],
        config_from_backup=params["config_files"] == "from_backup",
        hot_standby_settings=params["hot_standby_settings"],
        restore_command=command.text,
        restore_trial=command.trial,
        restore_note=command.note,
        settings={name: params[name] for name in _SETTINGS},
        barman=barman_of({**asked, "barman_server": server}) if server else None,
        barman_checks=tuple(CheckItem(**item) for item in params["barman_checks"] or ()) or None,
        no_backup=Refusal.of_result(params["no_backup"]) if params["no_backup"] else None,
        service=params["service"] or None,
        units=params["units"],
        directories_created=params["directories_created"],
        slot_created=params["slot_created"],
        rewind_user=params["rewind_user"] or None,
        login_user=params["login_user"] or None,
        basebackup=source_of(params),
        upstream_asked=params["upstream_connection"] == "required",
        upstream_derived=params["upstream_derived"] or None,
        rehearse=params["rehearse"],
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            clone_options(),
            **upstream_options(),
            **login_options(),
            **basebackup_options(),
            **server_options(),
            barman_host={"type": "str"},
            upstream_connection={"type": "str", "choices": ["required", "none"], "default": "required"},
            **{name: {"type": "dict"} for name in ("upstream_derived", "backup", "no_backup")},
            method={"type": "str", "choices": ["rsync", "barman", "pg_basebackup"], "default": "rsync"},
            barman_checks={"type": "list", "elements": "dict"},
            **{name: {"type": "str"} for name in ("slot_name", "config_directory", "rewind_user")},
            config_created={"type": "bool", "default": False},
            config_files={"type": "str", "choices": ["keep_local", "from_backup"]},
            directories_created={"type": "bool", "default": False},
            slot_created={"type": "bool", "default": False},
            **local_login_options(),
            service={"type": "str"},
            units={"type": "dict", "default": {}, "no_log": True},
            hot_standby_settings={"type": "str", "choices": ["raise", "refuse"], "default": "raise"},
            rehearse={"type": "str", "choices": ["auto", "always", "never"], "default": "auto"},
            **restore_options(),
        ),
        required_if=[("method", "rsync", ("barman_host",)), ("method", "barman", ("barman_host",))],
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
