# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # Where a backup is from.
    DOCUMENTATION = r"""
options:
  barman_server:
    description:
      - The server's name in Barman's configuration. By default that of O(backup).
    type: str
  barman_config:
    description:
      - Barman's configuration file, if it is not the default one.
    type: str
  barman_executable:
    description:
      - The C(barman) command at O(barman_host).
    type: str
    default: barman
"""
