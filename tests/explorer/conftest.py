# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host for all states of a process, and the seed, which is told."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.tests.explorer.hosts import Host
from ansible_collections.pgfleet.standby.tests.explorer.walk import Kept

SEED = int(os.environ.get("EXPLORER_SEED") or 1)


def pytest_report_header() -> str:
    return f"EXPLORER_SEED={SEED}"


@pytest.fixture(scope="session")
def host():
    """Made with root's rights where they are there: then what cannot be mounted is a failure."""
    with pytest.MonkeyPatch.context() as patched:
        made = Host()
        patched.setenv("PATH", f"{made.programs}:{os.environ['PATH']}")
        yield made
        made.close()


@pytest.fixture(scope="session")
def kept():
    """Where states are kept in which a rule broke: beside what the gates make, and not in their copy."""
    own = Path(tempfile.gettempdir(), f"explorer-kept-{os.getuid()}")
    return Kept(Path(os.environ.get("EXPLORER_KEPT") or own))


@pytest.fixture(scope="session")
def with_seed():
    return SEED
