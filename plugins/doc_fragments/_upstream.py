# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  upstream_conninfo:
    description:
      - The connection to the upstream, as a dictionary of libpq's keywords, a conninfo string or a URI.
      - It must not hold a password, which belongs into C(~/.pgpass) of the database's OS user, with the
        database name C(replication), or into O(upstream_password).
    type: raw
    required: true
  replication_user:
    description:
      - The role that streams; it wins over C(user) in O(upstream_conninfo).
    type: str
  application_name:
    description:
      - The name by which the upstream knows this standby.
    type: str
    required: true
"""
