# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks for a permit to copy, for the tests of `_clone/overwrite`."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import inspect_target, permit
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL_TEXT, SYSTEM_IDENTIFIER

CONTROL = "global/pg_control"
CLUSTER = {"PG_VERSION": "15\n", CONTROL: CONTROL_TEXT}
IDENTIFIER = f"system identifier {SYSTEM_IDENTIFIER}"
LEVELS = ("never", "pristine", "same_cluster", "always")


def refused(work, *given):
    with pytest.raises(StandbyError) as error:
        work(*given)
    return error.value


def permitted(job, directory=None):
    return permit(job.backup, job.target, job.consent, directory or inspect_target(job.target))
