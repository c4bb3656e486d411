#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_preflight
short_description: Check everything that could stop a clone, and plan it
version_added: 0.1.0
description:
  - Runs every check, changes nothing, and tells all problems at once.
  - Run it on the standby as the database's OS user, because the copy and the replication login
    will be that user's as well.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._attributes.info_module
  - pgfleet.standby._clone
  - pgfleet.standby._upstream
options:
  config_directory:
    description:
      - The directory of C(postgresql.conf), if that is not the data directory.
    type: str
  config_created:
    description:
      - Whether a missing O(config_directory) will be made with the packaging's defaults.
    type: bool
    default: false
  service:
    description:
      - The service that will start the server. Without one C(pg_ctl) will, which limits what paths may hold.
    type: str
  hot_standby_settings:
    description:
      - What to do when C(max_connections), C(max_worker_processes), C(max_wal_senders),
        C(max_prepared_transactions) or C(max_locks_per_transaction) would be lower than on the primary,
        with which no standby starts.
      - V(raise) plans the values that are needed, V(refuse) is a problem.
    type: str
    choices: [raise, refuse]
    default: raise
  restore_command:
    description:
      - V(auto) checks that C(barman-wal-restore) is installed.
    type: str
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
  description: What would be done. On failure its action is V(refuse).
  returned: always, when the options make sense
  type: dict
  sample:
    action: clone
    backup_id: 20261121T114827
    bytes: 434789371
    bytes_to_copy: 434789371
    data_directory: /var/lib/postgresql/15/main
    files: 1586
    free_after:
      /var/lib/postgresql/15: 79946929157
    server: pg
    settings:
      max_wal_senders: "20"
    tablespaces:
      - bytes: 19873792
        location: /srv/tablespaces/fast
        name: fast
        oid: 16388
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

import socket
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import (
    clone_options,
    finish,
    job_of,
    upstream_options,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._conninfo import standby_keywords
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._examine import Examination, Wish
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import errors, message
from ansible_collections.pgfleet.standby.plugins.module_utils._server import keywords_of


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    wish = Wish(
        job=job_of(params),
        keywords=standby_keywords(
            keywords_of(params["upstream_conninfo"]), params["replication_user"], params["application_name"]
        ),
        config_directory=params["config_directory"] or None,
        config_created=params["config_created"],
        hot_standby_settings=params["hot_standby_settings"],
        restore_command=params["restore_command"],
        service=params["service"] or None,
    )
    examination = Examination(wish)
    examination.run()
    result = {
        "changed": False,
        "plan": examination.plan,
        "verdicts": [as_dict(verdict) for verdict in examination.verdicts],
    }
    problems = errors(examination.verdicts)
    if problems:
        codes = [str(problem.error_code) for problem in problems]
        code = codes[0] if len(codes) == 1 else "preflight_failed"
        text = message(socket.gethostname(), wish.job.data_directory, problems)
        raise StandbyError(text, code, error_codes=codes, **result)
    result["warnings_to_show"] = [verdict.msg for verdict in examination.verdicts if verdict.severity == "warning"]
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **clone_options(),
            **upstream_options(),
            config_directory={"type": "str"},
            config_created={"type": "bool", "default": False},
            service={"type": "str"},
            hot_standby_settings={"type": "str", "choices": ["raise", "refuse"], "default": "raise"},
            restore_command={"type": "str"},
        ),
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
