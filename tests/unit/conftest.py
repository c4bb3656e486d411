# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every unit test: no state outside the test's own directory, and the same examples on a loaded machine."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Examples start real programs: how long one takes says nothing. The database would be a directory in the checkout.
settings.register_profile(
    "pgfleet",
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("pgfleet")
