# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import inspect as _inspect


@pytest.fixture
def pgdata(tmp_path):
    return tmp_path / "pgdata"


@pytest.fixture
def inspect(host, pgdata):
    """Look at the directory of the test."""

    def run():
        return _inspect.inspect(str(pgdata))

    return run
