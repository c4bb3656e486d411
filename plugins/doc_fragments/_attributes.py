# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell the truth about what would change, without changing it.
  diff_mode:
    description: Returns what would change or has changed, in words that mean something, in C(diff) mode.
  idempotent:
    description: A second run with the same options on the same state reports no change.
  platform:
    description: The hosts that the module works on.
    platforms: posix
    support: full
"""

    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - It never changes anything.
  diff_mode:
    support: N/A
    details:
      - It never changes anything.
  idempotent:
    support: full
"""
