# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_control of a directory, which a server may write while it is read."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import inspect as _inspect
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL, CONTROL_TEXT

CLUSTER = {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT}


class TestControlData:
    def test_is_read_again_while_a_server_writes_it(self, pgdata, monkeypatch):
        write_tree(pgdata, CLUSTER)
        whole = (pgdata / "global/pg_control").read_bytes()
        torn = iter([bytes(8192), whole[:200].ljust(8192, b"x"), whole])
        monkeypatch.setattr(_inspect, "_control_bytes", lambda path: next(torn))
        assert _inspect.control_data(str(pgdata)) == CONTROL

    def test_is_not_waited_for_without_end(self, pgdata, monkeypatch):
        changing = (bytes([number]) * 8192 for number in range(100))
        monkeypatch.setattr(_inspect, "_control_bytes", lambda path: next(changing))
        monkeypatch.setattr(_inspect, "_CONTROL_PAUSE", 0)
        with pytest.raises(StandbyError, match="all the time") as refused:
            _inspect.control_data(str(pgdata))
        assert refused.value.code == "control_data_unreadable"

    @pytest.mark.parametrize(
        ("files", "said"),
        [
            ({}, "Cannot read .*/global/pg_control: No such file or directory. Next: "),
            ({"global/pg_control": "x"}, "^Backup B: pg_control has 1 bytes instead of 8192. Next: "),
            ({"global/pg_control": "x" * 8192}, "^Backup B: pg_control has version .* Next: "),
        ],
    )
    def test_that_cannot_be_had_is_told(self, pgdata, files, said):
        write_tree(pgdata, files)
        with pytest.raises(StandbyError, match=said) as refused:
            _inspect.control_data(str(pgdata), "Backup B")
        assert refused.value.code == "control_data_unreadable"
