"""What every copy begins with. These tests start real programs, so they are a stage of their own: `make copies`."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup import deleted as _deleted
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import FakeBarmanHost


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A Barman host, and the host that copies from it."""
    monkeypatch.setattr(_deleted, "_PAUSE_SECONDS", 0)
    return FakeBarmanHost(tmp_path, monkeypatch)
