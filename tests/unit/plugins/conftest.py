# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup import deleted as _deleted
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import FakeBarmanHost


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(_deleted, "_PAUSE_SECONDS", 0)
    return FakeBarmanHost(tmp_path, monkeypatch)
