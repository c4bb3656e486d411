# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow the rewind that the module of the same name started on the host, as a copy is followed."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.action.standby_clone import ActionModule as Following


class ActionModule(Following):
    """Runs the module until its rewind is finished."""

    MODULE = "standby_rewind"
    SUBJECT = "The rewind"
    TO_LOOK = "attach to the rewind"
