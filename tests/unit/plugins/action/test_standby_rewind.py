# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.action import standby_clone, standby_rewind


def test_follows_its_own_module_as_a_copy_is_followed():
    assert issubclass(standby_rewind.ActionModule, standby_clone.ActionModule)
    assert standby_rewind.ActionModule.MODULE == "standby_rewind"
    progress = {"phase": "rewinding", "percent": 20.0, "bytes": 52428800, "rate": 10485760}
    assert (
        standby_clone.line("n1", progress, "standby_rewind")
        == "n1: standby_rewind rewinding 20 % of 50.0 MB, 10.0 MB/s"
    )
