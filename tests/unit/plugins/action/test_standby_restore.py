# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.action import standby_clone, standby_restore


def test_follows_its_own_module_as_a_copy_is_followed():
    assert issubclass(standby_restore.ActionModule, standby_clone.ActionModule)
    assert standby_restore.ActionModule.MODULE == "standby_restore"
    assert standby_clone.line("n1", {"phase": "syncing"}, "standby_restore") == "n1: standby_restore syncing"
