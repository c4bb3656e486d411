# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # How a running standby is asked, and what is expected of it.
    DOCUMENTATION = r"""
options:
  upstream_connection:
    description:
      - V(required) asks the upstream. With V(none) the upstream is not asked, and the standby is ready when it is in
        recovery and consistent.
    type: str
    choices: [required, none]
    default: required
  max_lag_bytes:
    description: How many bytes of WAL it may be behind the upstream.
    type: int
  login_db:
    description: The database to connect to.
    type: str
    default: postgres
"""
