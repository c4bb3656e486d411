# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  pg_basebackup_options:
    description:
      - Further words for C(pg_basebackup), one list element for each option and each value, names written out.
      - Allowed are C(--checkpoint=spread) instead of the fast checkpoint, C(--compress=server-lz4) and its like for the
        wire, C(--label), C(--status-interval), C(--manifest-checksums), C(--manifest-force-encode), C(--no-manifest),
        C(--no-verify-checksums), C(--no-estimate-size) and C(--no-slot).
      - A word is refused if another option decides it, such as C(--waldir), C(--tablespace-mapping), C(--max-rate),
        C(--slot) and C(--dbname). The message names that option. Every C(--wal-method) but C(stream) is refused, too.
    type: list
    elements: str
    default: []
"""
