# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  backup:
    description: The backup, as returned in C(selected) by M(pgfleet.standby.barman_backup_info).
    type: dict
    required: true
  owner:
    description:
      - Who claims the backup, such as the host and its data directory. Another run of the same play has to use the same
        word.
    type: str
    required: true
  expiry:
    description:
      - How long the claim counts. After that it counts as long as a program on the Barman host reads the files, as
        it does for a copy that takes longer.
      - A number with a unit, such as V(24h), V(7d) or V(90min). A number without a unit is seconds.
      - The clock is that of the Barman host.
    type: str
    default: 24h
  state:
    description: V(present) to claim the backup, V(absent) to give the claim up.
    type: str
    choices: [present, absent]
    default: present
"""
