# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module tells of Barman's own verdicts."""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.verdicts import verdicts
from ansible_collections.pgfleet.standby.plugins.module_utils._model import CheckItem


def test_only_failed_verdicts_are_warnings():
    checks = [CheckItem("postgresql", False, "down", False), CheckItem("directories", True, "", True)]
    told = verdicts("pg", checks)
    assert [item["name"] for item in told["checks"]] == ["postgresql", "directories"]
    assert told["failed_checks"] == ["postgresql"]
    assert told["warnings_to_show"] == ["barman check pg: postgresql failed (down)."]
