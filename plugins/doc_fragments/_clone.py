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
"""
