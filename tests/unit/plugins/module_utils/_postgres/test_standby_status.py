# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of an instance that is not there; what is said of one that is, is tested with real servers."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.standby_status import standby_status
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL_TEXT

STANDBY = {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT, "standby.signal": ""}


@pytest.fixture
def ask(host):
    def run(**changed):
        names = (
            "upstream_conninfo",
            "replication_user",
            "min_replay_lsn",
            "state_directory",
            "slot_name",
            "max_lag_bytes",
            "login_user",
        )
        params = {"data_directory": str(host.pgdata), "pg_bindir": str(host.programs), "login_db": "postgres"}
        return standby_status({**dict.fromkeys(names), **params, **changed})

    return run


@pytest.mark.parametrize(("files", "state"), [({}, "absent"), ({"file": ""}, "foreign"), (STANDBY, "standby")])
def test_that_nothing_runs(host, ask, files, state):
    write_tree(host.pgdata, files)
    said = ask()
    assert said.pop("pgdata")["state"] == state
    assert f"not ready: no server runs on {host.pgdata}, which is {state}. Next: " in said.pop("msg")
    assert said == {
        "error_code": "standby_not_ready",
        "ready": False,
        "state": "not_ready",
        "reasons": [f"no server runs on {host.pgdata}, which is {state}"],
        "catching_up": False,
        "running": False,
        "instance": None,
        "upstream": None,
        "lag_bytes": None,
    }


def test_that_the_upstream_does_not_answer_either(ask):
    reasons = ask(upstream_conninfo={"host": "/nowhere"})["reasons"]
    assert [reason.split()[0] for reason in reasons] == ["Cannot", "no"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"min_replay_lsn": "yesterday"}, "lsn_invalid"),
        ({"upstream_conninfo": "password=x"}, "conninfo_password"),
        ({"upstream_conninfo": {"hostname": "x"}}, "conninfo_invalid"),
        ({"pg_bindir": "/nowhere"}, "postgresql_not_installed"),
    ],
)
def test_that_the_options_are_wrong(host, ask, options, code):
    write_tree(host.pgdata, STANDBY)
    with pytest.raises(StandbyError) as refused:
        ask(**options)
    assert refused.value.code == code
