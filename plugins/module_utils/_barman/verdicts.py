# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Barman's own verdicts as a module tells them. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._model import CheckItem, as_dict

__all__ = ["verdicts"]


def verdicts(server: str, checks: Iterable[CheckItem]) -> dict[str, Any]:
    """What ``barman check`` said of a server, as keys of a module's result."""
    checks = tuple(checks)
    failed = [item for item in checks if not item.ok]
    return {
        "checks": [as_dict(item) for item in checks],
        "failed_checks": [item.name for item in failed],
        "warnings_to_show": [
            f"barman check {server}: {item.name} failed{f' ({item.hint})' if item.hint else ''}." for item in failed
        ],
    }
