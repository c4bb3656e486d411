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
      - Barman is run there by ssh, as the user that runs the module and without any prompt.
        The host's key has to be in C(known_hosts).
      - Without it, Barman is run on the host where the module runs.
    type: str
  ssh_options:
    description:
      - Further arguments for C(ssh), one list element for each.
      - Host keys are verified whatever is given here.
    type: list
    elements: str
    default: []
  barman_server:
    description:
      - The server's name in Barman's configuration.
    type: str
    required: true
  barman_config:
    description:
      - Barman's configuration file, if it is not the default one.
    type: path
  barman_executable:
    description:
      - The C(barman) command, or its path if it is not on the C(PATH) of a non-interactive login.
    type: str
    default: barman
"""
