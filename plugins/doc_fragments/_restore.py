# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  restore_command:
    description:
      - How the standby fetches WAL from the archive.
      - V(auto) is a call of C(barman-wal-restore), or C(barman get-wal) over ssh if that script is not installed or
        cannot do what is asked, such as take ssh options other than a port.
      - V(none) is no command. Everything else is the command itself.
    type: str
    default: auto
  restore_jobs:
    description:
      - How many segments C(barman-wal-restore) fetches at a time, the one that is needed and those that come next.
    type: int
  restore_compression:
    description:
      - How C(barman-wal-restore) has WAL compressed on its way. V(keep) leaves it as it is in the archive, which
        the script can do from Barman 3.12 on.
    type: str
    choices: [none, gzip, bzip2, keep]
    default: none
  archive_cleanup_command:
    description: The setting of this name.
    type: str
  recovery_min_apply_delay:
    description:
      - The setting of this name, such as V(30min); V(24d) is the longest.
      - It does not delay C(DROP DATABASE), and the lock of an C(ALTER TABLE) is held on the standby for all that time.
    type: str
  settings:
    description:
      - Further settings to write along, such as C(hot_standby_feedback), or C(settings) in
        RV(pgfleet.standby.standby_preflight#module:plan). The server's own parser checks them before anything is
        written.
      - With C(sync_replication_slots) (PostgreSQL 17) a C(dbname) in O(upstream_conninfo) is kept.
      - A setting that is no longer given stays as it is.
    type: dict
    default: {}
"""
