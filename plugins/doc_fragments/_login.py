# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  upstream_password:
    description:
      - The password of the role that streams, if C(~/.pgpass) of the database's OS user does not hold it yet.
    type: str
  passfile:
    description:
      - The password file to use instead of C(~/.pgpass) of the database's OS user. It has to be absolute.
    type: str
"""
