#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_server
short_description: Start, stop, restart or reload the server of one data directory
version_added: 0.1.0
description:
  - Starts, stops, restarts or reloads the PostgreSQL server of O(data_directory) and of no other directory. Which
    process that is tells C(postmaster.pid) in the directory.
  - With O(service) systemd starts and stops the server. A unit is used only if its main process is the server of
    O(data_directory), or, if no server runs, if the unit's own configuration does not name another directory. A unit
    that turns out to have started the server of another directory is stopped again.
  - A server that was started without a unit is shut down by the signal that C(pg_ctl stop --mode=fast) sends.
  - It waits for as long as the server works, whatever that takes. A start has come to its end when the server takes
    connections or has begun to replay.
  - No server is started on a directory that holds no whole cluster, such as that of a clone that was interrupted.
  - Run it as root with O(service), and as the database's OS user without.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - O(state=reloaded) and O(state=restarted) change something each time.
options:
  data_directory:
    description: The data directory of the server. It has to be absolute.
    type: str
    required: true
  state_directory:
    description:
      - Where the record of a copy is kept and, without O(service), the server's C(server.log).
      - By default a hidden directory beside O(data_directory), C(.NAME.standby).
    type: str
  pg_bindir:
    description:
      - The directory of the server programs, of which C(pg_ctl) is used without O(service).
      - By default it is looked for in the places of Debian's and the PGDG's packages.
    type: str
  config_directory:
    description:
      - The directory of C(postgresql.conf), if that is not the data directory. C(pg_ctl) is given it; a unit knows its
        own. Without it a server that C(pg_ctl) starts again gets the configuration file that it had.
      - The data directory stays the one for which the files of the configuration are searched, so C(postgresql.conf)
        has to set C(hba_file) and C(ident_file) if those are not there.
    type: str
  service:
    description: The systemd unit of the server. Without one C(pg_ctl) starts the server.
    type: str
  state:
    description:
      - V(started) starts the server if it does not run. V(stopped) shuts it down, as C(pg_ctl stop --mode=fast) does.
      - V(reloaded) has it read its configuration again, V(restarted) starts it anew. Both start one that does not run.
      - If the server does not take up a file at a reload, it goes on with what it had, and the task fails with its own
        words. Settings that only a restart changes are a warning.
    type: str
    choices: [started, stopped, reloaded, restarted]
    default: started
  enabled:
    description:
      - Whether O(service) starts at boot. By default that stays as it is. A unit that cannot be enabled, for it has no
        C([Install]) section, stays as it is, too; RV(after_reboot) tells what comes of it.
      - For a unit such as C(postgresql@15-main) of Debian's packaging its C(start.conf) decides, which stays as it is.
        Without O(service) there is nothing to enable.
    type: bool
  unstartable:
    description:
      - What to do if the server is to be started on a directory that holds no whole cluster. V(refuse) fails, V(leave)
        leaves it as it is, which is of use for starting again what was stopped for a clone that then failed.
    type: str
    choices: [refuse, leave]
    default: refuse
  timeout:
    description:
      - How many seconds to wait for a server that makes no progress, that is, one whose processes do not compute, read
        or write and of which nothing else changes either.
    type: int
    default: 300
seealso:
  - module: pgfleet.standby.standby_recovery
  - module: pgfleet.standby.standby_info
"""

EXAMPLES = r"""
- name: Start the standby, now and at boot
  pgfleet.standby.standby_server:
    data_directory: /var/lib/postgresql/15/main
    service: postgresql@15-main
    enabled: true
  become: true

- name: Let the server take up changed settings, whoever has started it
  pgfleet.standby.standby_server:
    data_directory: /var/lib/postgresql/15/main
    state: reloaded
  become: true
  become_user: postgres
"""

RETURN = r"""
action:
  description: What was done, or would be in check mode.
  returned: success
  type: str
  choices: [none, start, stop, restart, reload]
  sample: start
running:
  description: Whether a server runs on the directory now.
  returned: success
  type: bool
  sample: true
pid:
  description: The process of the server, or null.
  returned: success
  type: int
  sample: 4711
enabled_changed:
  description: Whether it was changed that O(service) starts at boot, or would be in check mode.
  returned: success
  type: bool
  sample: false
waiting:
  description: The settings of which the server has said at the reload that they wait for a restart.
  returned: success
  type: list
  elements: str
  sample: [shared_buffers]
after_reboot:
  description:
    - What a reboot of the host will do to the server. In check mode it is told of what would be.
    - C(starts) is whether the server is started again, null if systemd tells that only root. C(why) is what decides it,
      C(step) what would have it started.
    - It is told of O(service) or, without one, of the unit whose main process the server is. A server without a unit
      stays down.
  returned: success
  type: dict
  sample:
    starts: true
    step: ""
    why: /etc/postgresql/15/main/start.conf says auto
server_log:
  description:
    - What the server has said since the beginning of the act that failed, a line for each thing, out of its log,
      without secrets. That is looked for in the journal of O(service), in the file that C(pg_ctl) or Debian's packaging
      writes, and in the files of the logging collector.
  returned: if the server does not start or end, or refuses a reload
  type: list
  elements: str
  sample:
    - 'FATAL:  could not access file "pg_stat_statements": No such file or directory'
cause:
  description:
    - What RV(server_log) means, as a name for machines; null if it is not known, such as in a language other than
      English. The names are listed in docs/troubleshooting.md.
  returned: if the server does not start or end, or refuses a reload
  type: str
  sample: library_missing
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._server.control import Server, ServerRequest
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.reboot import (
    NO_UNIT,
    UNKNOWN,
    AfterReboot,
    after_reboot,
    once_enabled,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit_facts import look


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    server = Server(request_of(params))
    starts = params["state"] != "stopped"
    left = starts and params["unstartable"] == "leave" and not server.startable
    action = "none" if left else server.action(params["state"])
    enables = params["enabled"] is not None and not server.is_enabled(params["enabled"])
    if not check_mode:
        if action != "none":
            server.carry_out(action)
        if enables:
            server.enable(params["enabled"])
    now, path = server.running, params["data_directory"]
    boot = boot_of(server, params["enabled"] if enables else None)
    return {
        "changed": action != "none" or enables,
        "action": action,
        "running": now is not None,
        "pid": now.pid if now is not None else None,
        "enabled_changed": enables,
        "waiting": list(server.waiting),
        "warnings_to_show": [waits(path, server.waiting)] if server.waiting else [],
        "after_reboot": asdict(boot),
        "diff": {"before": "", "after": difference(action, params["enabled"] if enables else None)},
    }


def boot_of(server: Server, enabled: bool | None) -> AfterReboot:
    """What a reboot will do to the server. ``enabled`` is what was changed, or would be in check mode; or None."""
    unit = server.started_by
    if unit is None:
        return NO_UNIT
    seen = look(unit, {})
    if seen is None:
        return UNKNOWN
    return after_reboot(seen if enabled is None else once_enabled(seen, enabled))


def request_of(params: dict[str, Any]) -> ServerRequest:
    """Which server. Raises StandbyError."""
    if params["timeout"] < 1:
        raise StandbyError(Refusal("option_out_of_range", f"timeout={params['timeout']} is less than 1.", "correct it"))
    path = params["data_directory"]
    return ServerRequest(
        path,
        params["state_directory"] or default_state_directory(path),
        params["service"] or None,
        params["pg_bindir"] or None,
        params["timeout"],
        params["config_directory"] or None,
    )


def waits(path: str, names: Sequence[str]) -> str:
    """What a person should know of a reload that has left something for a restart."""
    found = f"The server of {path} has reloaded its configuration, and says that a restart is needed for"
    return Refusal("restart_needed", f"{found} {', '.join(names)}.", "restart it when it suits you").msg


def difference(action: str, enabled: bool | None) -> str:
    """What is done, a line for each thing."""
    boot = {None: "", True: "start at boot\n", False: "do not start at boot\n"}[enabled]
    return (f"{action} the server\n" if action != "none" else "") + boot


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "data_directory": {"type": "str", "required": True},
            "state_directory": {"type": "str"},
            "pg_bindir": {"type": "str"},
            "config_directory": {"type": "str"},
            "service": {"type": "str"},
            "state": {
                "type": "str",
                "choices": ["started", "stopped", "reloaded", "restarted"],
                "default": "started",
            },
            "enabled": {"type": "bool"},
            "unstartable": {"type": "str", "choices": ["refuse", "leave"], "default": "refuse"},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
