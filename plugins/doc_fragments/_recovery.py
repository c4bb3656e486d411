# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # What a standby's recovery settings depend on besides its upstream.
    DOCUMENTATION = r"""
options:
  config_directory:
    description: The directory of C(postgresql.conf), if that is not the data directory.
    type: str
  config_files:
    description:
      - Which configuration the server gets if a backup brought C(postgresql.conf), C(pg_hba.conf) and
        C(pg_ident.conf) of a primary that keeps them elsewhere, as Debian's does.
      - V(keep_local), the default with O(config_directory), leaves those of O(config_directory) as they are and moves
        what came along to C(from_backup) in the state directory.
      - V(from_backup), the default without, takes what came along. With O(config_directory) it replaces the files
        there, except for the settings that say where things are on this host. The files that were there are then in
        the state directory.
    type: str
    choices: [keep_local, from_backup]
  use_primary_conninfo_password:
    description:
      - Where O(upstream_password) is kept. By default in the password file, as one line for each host of the upstream
        before every line that would hide it; the other lines stay as they are.
      - With V(true) in C(primary_conninfo), where every role that may read all settings sees it.
    type: bool
    default: false
  primary_slot_name:
    description: The replication slot on the upstream, which has to exist.
    type: str
  barman_host:
    description: The Barman host as an ssh destination, for O(restore_command=auto).
    type: str
  barman_server:
    description: The server's name in Barman's configuration, for O(restore_command=auto).
    type: str
  barman_config:
    description: Barman's configuration file, if it is not the default one, for O(restore_command=auto).
    type: str
  ssh_options:
    description:
      - Options for every ssh connection to O(barman_host), for O(restore_command=auto).
      - A port alone is passed on to C(barman-wal-restore), which takes no others.
    type: list
    elements: str
    default: []
  barman_executable:
    description: The C(barman) command at O(barman_host), for C(barman get-wal).
    type: str
    default: barman
"""
