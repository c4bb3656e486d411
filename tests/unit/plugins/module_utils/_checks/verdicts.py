# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of the checks ask of verdicts."""

from __future__ import annotations


def found(verdicts):
    """(severity, code) of all that is not well; each of it says what to do next."""
    problems = [verdict for verdict in verdicts if verdict.severity != "ok"]
    assert all(" Next: " in verdict.msg and verdict.msg.endswith(".") for verdict in problems)
    assert ".." not in "".join(verdict.msg for verdict in problems)
    return [(verdict.severity, verdict.error_code) for verdict in problems]
