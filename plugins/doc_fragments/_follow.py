# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # What all copies have that run by themselves.
    DOCUMENTATION = r"""
options:
  lock_timeout:
    description:
      - How many seconds to wait for the last programs of a run that was killed. They end by themselves.
    type: int
    default: 3600
  settings:
    description:
      - Settings for C(postgresql.auto.conf) that a server on this host needs to start, such as those that
        M(pgfleet.standby.standby_preflight) found too low for a hot standby, C(plan.settings) of its result.
    type: dict
    default: {}
  progress_interval:
    description:
      - Seconds between two lines of progress. With V(0) no line is printed.
      - By default the first line comes after 5 seconds, and the longer the copy takes, the rarer the lines become.
    type: int
  attach_timeout:
    description:
      - Return after so many seconds although the copy still runs; RV(finished) is false then.
      - By default the module returns when the copy has ended.
    type: int
  attach_run:
    description:
      - The RV(run) of a copy that an earlier call saw running. What became of that one is returned, also after its end.
      - If that copy was killed and left no result, another copy begins, and goes on with what is there if it can.
    type: str
"""
