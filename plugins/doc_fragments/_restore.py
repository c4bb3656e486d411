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
"""
