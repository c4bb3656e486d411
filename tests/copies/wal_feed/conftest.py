# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive of WAL on a Barman host, and a feed of it that real rsyncs fill."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed import feed as _feed
from ansible_collections.pgfleet.standby.tests.copies.wal_feed.feeding import Feeding


@pytest.fixture
def feeding(host, monkeypatch):
    monkeypatch.setattr(_feed, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(_feed, "_NICE", 0)
    made = Feeding(host)
    yield made
    host.hook("")
    made.end()
