#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_info
short_description: Tell what a running standby is, how far behind, and whether it is ready
version_added: 0.1.0
description:
  - Finds the server of a data directory, asks it and its upstream by SQL, and says whether it is the standby that was
    asked for, or every reason why not.
  - A server that does not run or does not let the module in is a result, not an error.
  - While it waits, the play shows how far the standby is, in a line now and then. A connection that breaks meanwhile is
    made again, and the wait goes on.
  - Run it on the standby as the database's OS user, who may connect through the server's socket.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._attributes.info_module
  - pgfleet.standby._login
  - pgfleet.standby._look
  - pgfleet.standby._local_login
attributes:
  action:
    support: partial
    details: The action plugin prints the progress of a wait; the module does everything else.
    description: Indicates this has a corresponding action plugin.
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
      - The directory of the server programs, returned as C(pg_bindir) in RV(pgdata).
      - By default it is looked for in the places of Debian's and the PGDG's packages.
    type: str
  upstream_conninfo:
    description:
      - The upstream that it has to stream from, as a dictionary of libpq's keywords, a conninfo string or a URI.
      - It is asked by the replication protocol for its identity and its position in the WAL. If it cannot be asked, a
        standby that streams from it by its own WAL receiver is ready, with a warning, and has to have replayed what
        it has received.
    type: raw
  replication_user:
    description: The role that streams; it wins over C(user) in O(upstream_conninfo).
    type: str
  slot_name:
    description: The slot that it has to use.
    type: str
  min_replay_lsn:
    description: The WAL position that it has to have replayed, such as V(0/3000028).
    type: str
  wait:
    description:
      - For what to look again and again. V(none) looks once.
      - A standby whose replay is paused is not waited for.
      - V(replay) waits for a standby that streams as it should until it has replayed O(min_replay_lsn), or, without
        one, what the upstream had written at the first look; and for a server that only starts, replays or stops.
        V(ready) waits for all that RV(reasons) may name, while
        the server runs as a standby or cannot be asked yet.
      - A standby with a C(recovery_min_apply_delay) has to have received it.
    type: str
    choices: [none, replay, ready]
    default: none
  timeout:
    description:
      - With O(wait), how many seconds to wait without progress, that is, while the standby neither receives nor replays
        anything that it lacks. There is no other limit. A receiver that begins anew, or a search for WAL that does not
        come, is no progress. Seconds for which the controller had no connection count as all others, and so does what
        the standby has received or replayed in them.
    type: int
    default: 300
  progress_interval:
    description:
      - With O(wait), seconds between two lines of progress. With V(0) no line is printed.
      - By default the first line comes after 5 seconds, and the longer the wait takes, the rarer the lines become.
    type: int
  attach_timeout:
    description:
      - With O(wait), return after so many seconds although the wait is not over; RV(finished) is false then.
      - By default the module returns when the wait is over.
    type: int
  waited:
    description:
      - The RV(waited) of an earlier call that ended by O(attach_timeout). The wait goes on from there, to the same
        position, and with the time that had passed without progress.
    type: dict
requirements:
  - psycopg2
seealso:
  - module: pgfleet.standby.pgdata_info
  - module: pgfleet.standby.standby_drift_info
"""

EXAMPLES = r"""
- name: Wait until the standby streams from the primary and has replayed what was written before
  pgfleet.standby.standby_info:
    data_directory: /var/lib/postgresql/15/main
    upstream_conninfo:
      host: primary
      user: replicator
    wait: ready
  become: true
  become_user: postgres
  register: standby
  failed_when: not standby.ready
"""

RETURN = r"""
ready:
  description: Whether the standby is all that was asked for.
  returned: success
  type: bool
  sample: true
state:
  description:
    - V(streaming), V(waiting_for_upstream) for a standby that is ready but does not stream, or V(not_ready).
    - Without O(upstream_conninfo) and with O(upstream_connection=none) it is what the standby itself says.
  returned: success
  type: str
  sample: streaming
reasons:
  description: Every reason why it is not ready.
  returned: success
  type: list
  elements: str
  sample: []
error_code:
  description:
    - V(replay_paused) if it streams as it should and its replay is paused, other than by a limit that is below the
      upstream's. V(standby_catching_up) if all that it lacks is WAL. V(standby_not_ready) for everything else.
  returned: if it is not ready
  type: str
  sample: standby_catching_up
msg:
  description: The reasons, and what to do next.
  returned: if it is not ready
  type: str
  sample: >-
    The standby on /var/lib/postgresql/15/main is not ready: its replay is paused. Next: if nobody needs the pause, run
    SELECT pg_wal_replay_resume() on the standby, then run again.
server_log:
  description:
    - What the server itself has said since its last start of why it does not run or does not stream, a line for each
      thing, out of its log. Empty if it has said nothing, or if its log cannot be read.
  returned: if it was waited for in vain, and does not stream
  type: list
  elements: str
  sample:
    - 'FATAL:  could not start WAL streaming: ERROR:  replication slot "n1" does not exist'
cause:
  description:
    - What RV(server_log) means, as a name for machines; null if it is not known, such as in a language other than
      English. The names are listed in docs/troubleshooting.md.
  returned: if it was waited for in vain, and does not stream
  type: str
  sample: slot_missing
finished:
  description: Whether the wait is over. True without O(wait).
  returned: success
  type: bool
  sample: true
progress:
  description:
    - How far it is on its way to the position that is waited for. C(phase) is V(starting), V(stopping), V(connecting),
      V(receiving), V(replaying) or V(catching up), or the C(kind) of RV(unasked).
    - C(behind) in bytes, C(rate) in bytes a second since the call before, C(eta) and C(still), for how long it has come
      no further, in seconds. C(consistent_since), when it began to take connections, in seconds since 1970. What is not
      known is null.
  returned: when not finished
  type: dict
  sample:
    behind: 13314398617
    consistent_since: 1796116320.4
    eta: 133.7
    phase: replaying
    rate: 99614720.0
    still: 0.0
waited:
  description: What the next call is to be given as O(waited).
  returned: when not finished
  type: dict
  sample:
    boot: 6c5a3f4e-9d3c-4f1a-8a52-1f0f8f6f2a11
    furthest:
      received: 5033165184
      replayed: 4294967296
    minimum: 4/2C000000
    moved_at: 8123.4
    pid: 4711
    position: 4294967296
    seen_at: 8123.4
catching_up:
  description: Whether it streams as it should, and all that it lacks is WAL that it has yet to receive or to replay.
  returned: success
  type: bool
  sample: false
pgdata:
  description: The data directory, as M(pgfleet.standby.pgdata_info) returns it.
  returned: success
  type: dict
  sample:
    ours: true
    path: /var/lib/postgresql/15/main
    pg_bindir: /usr/lib/postgresql/15/bin
    running: true
    state: standby
    version: "15"
running:
  description: Whether a server runs on the data directory.
  returned: success
  type: bool
  sample: true
unasked:
  description:
    - Why a server that runs could not be asked, or null. C(kind) is V(starting) or V(stopping), which C(passes) by
      itself, V(no_hot_standby), V(hidden) if it is not known where it listens, or V(refused).
    - C(startup) and C(receiver) are what the titles of its processes tell of its replay and its WAL receiver.
  returned: success
  type: dict
  sample:
    error_code: server_starting
    kind: starting
    passes: true
    receiver: null
    startup: recovering 000000010000000000000005
instance:
  description: What the server says of itself, or null when it does not run or does not answer.
  returned: success
  type: dict
  sample:
    delayed: false
    in_recovery: true
    paused: false
    receive_lsn: 0/B0001B0
    receiver:
      sender_host: primary
      sender_port: 5432
      slot_name: ""
      status: streaming
      timeline: 1
    replay_lsn: 0/B0001B0
    settings:
      max_connections: 120
      max_locks_per_transaction: 64
      max_prepared_transactions: 0
      max_wal_senders: 20
      max_worker_processes: 8
    system_identifier: "7710590273953624155"
    timeline: 1
    version: 150020
upstream:
  description: What the upstream says of itself, or null when it was not asked or does not answer.
  returned: success
  type: dict
  sample:
    host: primary
    lsn: 0/B0001B0
    port: "5432"
    system_identifier: "7710590273953624155"
    timeline: 1
    version: 150020
lag_bytes:
  description: How many bytes of WAL it is behind the upstream, or null when that is not known.
  returned: success
  type: int
  sample: 0
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import (
    local_login_options,
    login_options,
    look_options,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._server.prove import prove


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    return dict(prove(params), changed=False)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "data_directory": {"type": "str", "required": True},
            "state_directory": {"type": "str"},
            "pg_bindir": {"type": "str"},
            "upstream_conninfo": {"type": "raw", "no_log": True},
            "replication_user": {"type": "str"},
            **login_options(),
            **look_options(),
            "slot_name": {"type": "str"},
            "min_replay_lsn": {"type": "str"},
            "wait": {"type": "str", "choices": ["none", "replay", "ready"], "default": "none"},
            "timeout": {"type": "int", "default": 300},
            "progress_interval": {"type": "int"},
            "attach_timeout": {"type": "int"},
            "waited": {"type": "dict"},
            **local_login_options(),
        },
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
