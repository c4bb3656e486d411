# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict


@pytest.fixture
def clone(host, run):
    def module(check_mode=False, **changed):
        return run(
            "standby_clone",
            check_mode,
            **{
                "barman_host": "barman@backup",
                "backup": json.loads(json.dumps(as_dict(host.backup()))),
                "data_directory": str(host.pgdata),
                "pg_bindir": str(host.programs),
                "tablespace_mapping": {"/srv/tablespaces/fast": str(host.fast)},
                **changed,
            },
        )

    return module


def test_check_mode_tells_what_a_run_does(host, clone):
    told = clone(check_mode=True)
    assert not host.pgdata.exists()
    done = clone()
    same = ("changed", "action", "backup_id", "files", "bytes", "bytes_sent", "diff")
    assert {name: told[name] for name in same} == {name: done[name] for name in same}
    assert (done["changed"], done["action"]) == (True, "clone")
    assert done["diff"]["before"] == "absent: absent\n"


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_second_run_changes_nothing_and_says_so(clone, check_mode):
    clone()
    result = clone(check_mode)
    assert (result["changed"], result["action"], result["bytes_sent"]) == (False, "none", 0)
    assert result["diff"]["before"] == result["diff"]["after"]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"backup": {}}, "backup_invalid"),
        ({"data_directory": "pgdata"}, "path_dangerous"),
        ({"tablespace_mapping": {"/typo": "/x"}}, "tablespace_unknown"),
        ({"barman_host": "-oProxyCommand=id"}, "barman_host_invalid"),
        ({"pg_bindir": "/nowhere"}, "postgresql_not_installed"),
    ],
)
def test_refusals(host, clone, check_mode, changed, code):
    result = clone(check_mode, **changed)
    assert (result["failed"], result["error_code"]) == (True, code)
    assert not host.pgdata.exists()
