#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_wal_feed
short_description: Fetch WAL from Barman ahead of a standby that catches up
version_added: 0.2.0
description:
  - A standby that is made of a backup has to replay all WAL since that backup. It asks its C(restore_command) for one
    segment after the other, and each takes a login at the Barman host and a start of Barman there. The WAL feed brings
    many segments in one rsync over one ssh connection into a spool, from which the server takes them by a rename.
  - Segments come in order, from the first that the backup needs, along the timelines to the newest one that Barman's
    archive has. When the archive has no more, whole segments come that Barman has not archived yet.
  - Each segment is looked at before it appears in the spool under its name, that is, its size, and in its header the
    version, the position, the timeline, the system identifier and the segment size. What Barman has compressed by gzip,
    bzip2, xz, zstd or lz4 is unpacked on this host. What is not the segment that its name says does not appear; it is
    in RV(refused), and the server gets that segment by its ordinary command.
  - The feed is a process of its own on the standby, of low priority. It ends by itself when the server streams from its
    upstream, when the server has been promoted, and when for half an hour neither a server nor a copy is there. It is
    ended by O(state=absent). When it is killed, what is in the spool is whole, and the next call starts a feed that
    goes on.
  - The server uses the spool if M(pgfleet.standby.standby_recovery) was told
    O(pgfleet.standby.standby_recovery#module:wal_feed=true). Its C(restore_command) then looks into the spool, and does
    what it does without a feed if the segment is not there. So it serves before, during and after the feed.
  - Run it on the standby as the database's OS user.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._server
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  barman_host:
    description: The Barman host as an ssh destination. Needed with O(state=present).
    type: str
  ssh_options:
    description: Options for every ssh connection to O(barman_host).
    type: list
    elements: str
    default: []
  backup:
    description:
      - The backup that is being copied, C(selected) as M(pgfleet.standby.barman_backup_info) returns it. WAL is fetched
        from the beginning of this backup on.
      - Leave it out for a standby that is there already and only catches up. Its data directory tells where replay goes
        on, and O(barman_server) has to be given.
    type: dict
  data_directory:
    description: The data directory of the standby. It has to be absolute, and need not be there yet.
    type: str
    required: true
  state_directory:
    description:
      - The directory in which the feed has its own, C(wal_feed), with the spool in it.
      - By default a hidden directory beside O(data_directory), C(.NAME.standby). If that is on the file system of the
        WAL, the server takes a segment by a rename; else it is copied.
    type: str
  state:
    description:
      - V(present) starts a feed unless one runs, or the server streams already. One that runs for another backup is
        ended before.
      - V(absent) ends it and removes what it has made, the spool with it.
    type: str
    choices: [present, absent]
    default: present
  spool_bytes:
    description:
      - The most that the feed has on the disk. When the spool is full it waits until the server has taken some.
      - By default a twentieth of what is free on the file system, but no more than 64 segments. There is always room
        for two segments.
    type: int
  bwlimit:
    description: The most that the feed receives, in KiB per second. By default there is no limit.
    type: int
requirements:
  - rsync 3.1 or later and an ssh client
  - C(zstd) or C(lz4) if Barman compresses WAL by that
notes:
  - If the server has C(update_process_title=off), the feed does not see that it streams. End it by O(state=absent).
seealso:
  - module: pgfleet.standby.standby_clone
  - module: pgfleet.standby.standby_recovery
"""

EXAMPLES = r"""
- name: Fetch WAL ahead
  pgfleet.standby.standby_wal_feed:
    barman_host: barman@barman
    backup: "{{ chosen.selected }}"
    data_directory: /var/lib/postgresql/15/main
    bwlimit: 50000
  become: true
  become_user: postgres
  register: feed

- name: Have the server use it
  pgfleet.standby.standby_recovery:
    data_directory: /var/lib/postgresql/15/main
    upstream_conninfo: {host: primary}
    replication_user: repmgr
    application_name: "{{ inventory_hostname }}"
    barman_host: barman@barman
    barman_server: "{{ chosen.selected.server }}"
    wal_feed: "{{ feed.running }}"
  become: true
  become_user: postgres

- name: End it and remove what it has made
  pgfleet.standby.standby_wal_feed:
    data_directory: /var/lib/postgresql/15/main
    state: absent
  become: true
  become_user: postgres
"""

RETURN = r"""
action:
  description: What was done, V(started), V(ended) or V(none). In check mode, what would be.
  returned: success
  type: str
  sample: started
running:
  description: Whether a feed runs now.
  returned: success
  type: bool
  sample: true
segments:
  description: How many segments the feed has brought so far, or the last one had.
  returned: success
  type: int
  sample: 640
last:
  description: The segment that it has brought last, or null.
  returned: success
  type: str
  sample: "000000010000000000000A7F"
timeline:
  description: The timeline to which it leads, or null while that is not known.
  returned: success
  type: int
  sample: 1
refused:
  description: Segments of the archive that are not what their names say, and the reasons.
  returned: success
  type: dict
  sample: {"000000010000000000000A11": "it has 4096 bytes, not 16777216"}
waits_for:
  description: V(server) if the spool is full, V(archive) if Barman has no more or could not be reached, or null.
  returned: success
  type: str
  sample: server
ended:
  description: Why the last feed has ended, V(streaming), V(promoted), V(unused) or V(stopped), or null.
  returned: success
  type: str
  sample: null
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import server_options
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._module import backup_of, barman_of, finish
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.process import ended, kept_running, result_of
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.request import FeedRequest, order_of


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    state_directory = params["state_directory"] or default_state_directory(params["data_directory"])
    made = removed if params["state"] == "absent" else fed
    action = made(params, state_directory, check_mode)
    return {"changed": action != "none", "action": action, **result_of(state_directory)}


def removed(_params: dict[str, Any], state_directory: str, check_mode: bool) -> str:
    """End the feed, whatever it brings. Raises StandbyError."""
    return ended(state_directory, check_mode)


def fed(params: dict[str, Any], state_directory: str, check_mode: bool) -> str:
    """Have a feed run. Raises StandbyError."""
    backup = backup_of(params["backup"]) if params["backup"] else None
    server = params["barman_server"] or (backup.server if backup is not None else "")
    request = FeedRequest(
        server,
        BarmanHost.from_params(params),
        params["data_directory"],
        state_directory,
        backup,
        params["bwlimit"],
        params["spool_bytes"],
    )
    return kept_running(order_of(request, barman_of(params, server).wal_directories()), request.identity, check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **server_options(),
            barman_host={"type": "str"},
            ssh_options={"type": "list", "elements": "str", "default": []},
            backup={"type": "dict"},
            data_directory={"type": "str", "required": True},
            state_directory={"type": "str"},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            spool_bytes={"type": "int"},
            bwlimit={"type": "int"},
        ),
        required_if=[
            ("state", "present", ("barman_host",)),
            ("state", "present", ("backup", "barman_server"), True),
        ],
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
