# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow the copy that the module of the same name started on the host, as that of standby_clone is followed."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.action.standby_clone import ActionModule as Following


class ActionModule(Following):
    """Runs the module until its copy is finished."""

    MODULE = "standby_basebackup"
