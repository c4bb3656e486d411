# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_user:
    description:
      - The role as whom the server of O(data_directory) is asked, if it runs. By default that of the OS user's name.
      - Its C(pg_hba.conf) has to let the database's OS user in as that role, by C(peer) with a map or by a password in
        C(~/.pgpass). The role has to be a superuser, or a member of C(pg_monitor).
    type: str
"""
