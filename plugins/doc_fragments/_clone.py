# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  barman_host:
    description:
      - The Barman host as an ssh destination, C([user@]host), or a C(Host) alias of C(ssh_config).
      - The files are pulled from there by rsync over ssh, as the user that runs the module.
    type: str
    required: true
  ssh_options:
    description:
      - Further arguments for C(ssh), one list element for each.
      - Host keys are verified whatever is given here.
    type: list
    elements: str
    default: []
  backup:
    description:
      - The backup to clone, RV(pgfleet.standby.barman_backup_info#module:selected) of
        M(pgfleet.standby.barman_backup_info).
    type: dict
    required: true
  data_directory:
    description:
      - The data directory of the standby. It has to be absolute.
    type: str
    required: true
  state_directory:
    description:
      - Where the record of the copy and its lock are kept, outside of the data directory.
      - By default a hidden directory beside O(data_directory), C(.NAME.standby).
    type: str
  pg_bindir:
    description:
      - The directory of the server programs, such as C(postgres) and C(pg_controldata).
      - By default it is looked for in the places of Debian's and the PGDG's packages.
    type: str
  waldir:
    description:
      - Where the WAL goes, if not below O(data_directory), which then gets a symbolic link.
    type: str
  tablespace_mapping:
    description:
      - Where tablespaces go on the standby, by their location on the primary.
      - A tablespace that is not named here keeps its location.
    type: dict
    default: {}
  overwrite:
    description:
      - What in O(data_directory) may be overwritten. A running server never is.
      - With V(same_cluster) a cluster of the backup's system identifier is brought to the backup's state, with
        its tablespaces. Only what differs is sent; what the backup does not hold is removed, the WAL included.
    type: str
    choices: [never, same_cluster]
    default: never
"""
