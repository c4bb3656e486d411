# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conninfo as libpq itself reads it; what needs a server is tested on real ones."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import connect as _connect


@pytest.fixture
def nobody_listens():
    """A port that was free just now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return str(taken.getsockname()[1])


def test_an_upstream_that_cannot_be_reached(nobody_listens):
    with pytest.raises(StandbyError, match="refused") as failed:
        _connect.identify({"host": "127.0.0.1", "port": nobody_listens, "sslpassword": "Geh3im"})
    assert failed.value.code == "upstream_unreachable"
    assert "upstream_connection=none" in failed.value.msg, "the way on while it is down"
    assert "Geh3im" not in failed.value.msg


def test_an_instance_that_cannot_be_reached(tmp_path):
    with pytest.raises(StandbyError, match=f"port 5432 in {tmp_path}") as failed:
        _connect.local_instance(_connect.LocalServer(str(tmp_path), 5432))
    assert failed.value.code == "instance_unreachable"
