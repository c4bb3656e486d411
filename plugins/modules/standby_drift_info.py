#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_drift_info
short_description: Tell whether a standby is as it is wanted, so that nothing has to be done
version_added: 0.1.0
description:
  - Looks at a standby as M(pgfleet.standby.standby_info) does with O(pgfleet.standby.standby_info#module:wait=replay),
    and, if it is ready and of this collection's making, asks what M(pgfleet.standby.standby_recovery) and
    M(pgfleet.standby.standby_server) would change with the same options. It does so by the same functions, in one call.
  - What cannot be known counts as drift, so that those modules are run and say why.
  - Run it on the standby as the database's OS user, who may connect through the server's socket.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._attributes.info_module
  - pgfleet.standby._upstream
  - pgfleet.standby._login
  - pgfleet.standby._local_login
  - pgfleet.standby._look
  - pgfleet.standby._restore
  - pgfleet.standby._recovery
options:
  data_directory:
    description: The data directory of the standby.
    type: str
    required: true
  state_directory:
    description:
      - Where the record of a clone is kept.
      - By default a hidden directory beside O(data_directory), C(.NAME.standby).
    type: str
  pg_bindir:
    description:
      - The directory of the server programs.
      - By default it is looked for in the places of Debian's and the PGDG's packages.
    type: str
  service:
    description: The systemd unit of the server, such as C(postgresql@15-main).
    type: str
  enabled:
    description: Whether O(service) is wanted to start at boot. By default that may be as it is.
    type: bool
  timeout:
    description:
      - How many seconds to wait without progress for a standby that only lacks WAL, or a server that only starts,
        replays or stops.
    type: int
    default: 10
requirements:
  - psycopg2
seealso:
  - module: pgfleet.standby.standby_info
  - module: pgfleet.standby.standby_recovery
  - module: pgfleet.standby.standby_server
"""

EXAMPLES = r"""
- name: Know whether anybody has changed what the play has set
  pgfleet.standby.standby_drift_info:
    data_directory: /var/lib/postgresql/15/main
    config_directory: /etc/postgresql/15/main
    service: postgresql@15-main
    upstream_conninfo:
      host: primary
      user: replicator
    application_name: n1
    barman_host: barman@barman
    barman_server: pg
  become: true
  become_user: postgres
  register: look
  failed_when: look.drift | length > 0
"""

RETURN = r"""
settled:
  description: Whether the standby is ready and nothing of it would be changed.
  returned: success
  type: bool
  sample: true
drift:
  description:
    - What would be changed, or why that is not known, each as a sentence.
    - Empty for a standby that is not ready, or that something else made; RV(standby) says what it lacks.
  returned: success
  type: list
  elements: str
  sample:
    - The recovery settings would change in restore_command.
wal_feed:
  description:
    - The directory of a WAL feed, if there is one although the standby streams.
      O(pgfleet.standby.standby_wal_feed#module:state=absent) removes it.
    - Null if there is none, and for a standby that is not ready, or that something else made.
  returned: success
  type: str
  sample: null
former_slots:
  description:
    - The slots that were made for this standby and are not the one that it is wanted to use, as
      RV(pgfleet.standby.standby_slot_record#module:slots). Their servers keep WAL for them until they are dropped.
    - A record that cannot be read is a warning.
  returned: success
  type: list
  elements: dict
  sample: []
rewinds:
  description: Whether a M(pgfleet.standby.standby_rewind) is at work there, that an earlier play has begun.
  returned: success
  type: bool
  sample: false
after_reboot:
  description:
    - What a reboot will do to the server of O(service), as RV(pgfleet.standby.standby_server#module:after_reboot).
    - Null without O(service), or for a standby that is not ready.
  returned: success
  type: dict
  sample:
    starts: true
    step: ""
    why: /etc/postgresql/15/main/start.conf says auto
standby:
  description: What was seen, as M(pgfleet.standby.standby_info) returns it.
  returned: success
  type: dict
  sample:
    catching_up: false
    lag_bytes: 0
    ready: true
    reasons: []
    running: true
    state: streaming
error_code:
  description: That of RV(standby).
  returned: if it is not ready
  type: str
  sample: standby_catching_up
msg:
  description: That of RV(standby).
  returned: if it is not ready
  type: str
  sample: >-
    The standby on /var/lib/postgresql/15/main is not ready: its replay is paused. Next: if nobody needs the pause, run
    SELECT pg_wal_replay_resume() on the standby, then run again.
"""

import os
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import (
    local_login_options,
    login_options,
    look_options,
    recovery_options,
    restore_options,
    upstream_options,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import (
    default_state_directory,
    feed_of,
    runner_of,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import keywords_of
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.noted_slots import former, noted_slots
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.reconcile import reconcile
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.request import request_of
from ansible_collections.pgfleet.standby.plugins.module_utils._server.boot import decided_by_packaging, is_as_wanted
from ansible_collections.pgfleet.standby.plugins.module_utils._server.prove import prove
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.boot_facts import reboot_of


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    asked = {"wait": "replay", "min_replay_lsn": None, "slot_name": params["primary_slot_name"]}
    standby = prove({**params, **asked})
    # Its warnings are ours now: one result has one list.
    warnings = list(standby.pop("warnings_to_show", ()))
    told: dict[str, Any] = {name: standby[name] for name in ("error_code", "msg") if name in standby}
    drift: list[str] = []
    left = None
    state_directory = params["state_directory"] or default_state_directory(params["data_directory"])
    ready = bool(standby["ready"])
    if ready and standby["pgdata"]["ours"]:
        left = left_feed(state_directory)
        drift, more = drift_of(params)
        drift += [f"What a WAL feed has left in {left} would be removed."] if left else []
        warnings += [] if drift else more
    slots, unread = former_slots(params, state_directory)
    warnings += unread
    return {
        **told,
        "changed": False,
        "settled": ready and not drift,
        "drift": drift,
        "wal_feed": left,
        "former_slots": slots,
        "rewinds": "rewound_to" in (Lock.holder(runner_of(state_directory)) or {}),
        "after_reboot": asdict(reboot_of(params["service"])) if ready and params["service"] else None,
        "standby": standby,
        "warnings_to_show": warnings,
    }


def left_feed(state_directory: str) -> str | None:
    """What a feed of WAL has made there, and the server that streams does not need; None if there is nothing."""
    place = feed_of(state_directory)
    return place if os.path.lexists(place) else None


def former_slots(params: dict[str, Any], state_directory: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The slots of this standby that it does not use any more, and why that is not known."""
    try:
        keywords = keywords_of(params["upstream_conninfo"])
        found = former(noted_slots(state_directory), params["primary_slot_name"], keywords)
        return [slot.as_plan() for slot in found], []
    except StandbyError as error:
        return [], [error.msg]


def drift_of(params: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What the settings and the unit of a running standby differ in, and what the look at the settings warned of."""
    try:
        settings = reconcile(request_of(params), only_look=True)
        found = [*settings_differ(settings), *unit_differs(params)]
    except StandbyError as error:
        return [error.msg], []
    return found, list(settings["warnings_to_show"])


def settings_differ(settings: dict[str, Any]) -> list[str]:
    """What a result of standby_recovery in check mode says of what would change."""
    if not settings["changed"]:
        return []
    names = [*settings["changed_settings"], *settings["outdated_settings"], *settings["moved_aside"]]
    names += [settings["passfile"]] if settings["passfile"] else []
    what = ", ".join(sorted(set(names or settings["files"]))) or "what the server has loaded"
    return [f"The recovery settings would change in {what}."]


def unit_differs(params: dict[str, Any]) -> list[str]:
    """What standby_server would do with the unit of a server that runs. Raises StandbyError."""
    service, enabled = params["service"], params["enabled"]
    if not service or enabled is None or decided_by_packaging(service):
        return []
    wanted = is_as_wanted(service, enabled)
    if wanted is None:
        return [f"It is not known whether the unit {service} starts at boot: systemctl does not say it."]
    return [] if wanted else [f"The unit {service} would be {'enabled' if enabled else 'disabled'}."]


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **upstream_options(),
            **login_options(),
            **local_login_options(),
            **look_options(),
            **restore_options(),
            **recovery_options(),
            data_directory={"type": "str", "required": True},
            state_directory={"type": "str"},
            pg_bindir={"type": "str"},
            service={"type": "str"},
            enabled={"type": "bool"},
            timeout={"type": "int", "default": 10},
        ),
        required_if=[("restore_command", "auto", ("barman_host", "barman_server"))],
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
