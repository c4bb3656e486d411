# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every unit test: nothing is left in the checkout, and a loaded machine is no failure."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import HealthCheck, configuration, settings

configuration.set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), f"hypothesis-{os.getuid()}"))
# Examples start real programs: how long one takes says nothing. They are chosen anew each time.
settings.register_profile(
    "pgfleet",
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("pgfleet")


def pytest_configure(config: pytest.Config) -> None:
    """ansible-test forks for each test, which takes longer than all of the tests do.

    So a test has to leave its process as it was: what it changes there it changes through monkeypatch.
    """
    config.pluginmanager.unregister(name="ansible_forked")
