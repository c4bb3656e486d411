# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  again:
    description:
      - Bring the directory to the backup's state even if a finished copy of this very backup is there, such as a
        standby that cannot go on. It needs O(overwrite=same_cluster).
    type: bool
    default: false
  jobs:
    description:
      - How many rsyncs, or tars of a packed backup, run at a time, each with an ssh connection of its own.
      - By default half of this host's processors, but at least 2 and at most 8.
    type: int
  bwlimit:
    description: The most that all connections of this host together may receive, in KiB per second.
    type: int
"""
