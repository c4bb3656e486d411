# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.filter.standby_input_problems import standby_input_problems

PARTS = ("provision", "look_and_plan", "settings_alone", "prove_alone")
ALL = {"host": "barman", "server": "pg", "upstream_conninfo": "host=primary", "method": "rsync", "settings": {}}
NO_SERVER = "missing required arguments: standby_from_barman_server. Next: "
NEITHER = "missing required arguments: standby_from_barman_host, standby_from_barman_server. Next: "
NO_UPSTREAM = "missing required arguments: standby_from_barman_upstream_conninfo. Next: "
LIMITS = "standby_from_barman_settings must not name max_connections, max_wal_senders: "


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        # What is said of each part.
        pytest.param({}, ["", "", "", ""], id="nothing is missing"),
        pytest.param({"upstream_conninfo": ""}, ["", "", "", ""], id="Barman tells whom to follow"),
        pytest.param({"server": ""}, [NO_SERVER, NO_SERVER, "", ""], id="no server"),
        pytest.param({"host": "", "server": None}, [NEITHER, NEITHER, "", ""], id="no Barman"),
        pytest.param(
            {"host": "", "server": "", "upstream_conninfo": {}},
            [NEITHER, NEITHER, NO_UPSTREAM, NO_UPSTREAM],
            id="no Barman and no upstream",
        ),
        pytest.param({"host": "", "method": "pg_basebackup"}, ["", "", "", ""], id="the upstream is copied"),
        pytest.param(
            {"host": "", "method": "pg_basebackup", "upstream_conninfo": ""},
            [NO_UPSTREAM] * 4,
            id="an upstream is copied that is not named",
        ),
        pytest.param(
            {"settings": {"work_mem": 1, "max_connections": 9, "max_wal_senders": 1}},
            [LIMITS, LIMITS, LIMITS, ""],
            id="settings that the primary decides",
        ),
    ],
)
def test_what_is_missing_for_each_part(changed, said):
    for part, text in zip(PARTS, said, strict=True):
        problems = standby_input_problems({**ALL, **changed}, part=part)
        assert len(problems) == bool(text)
        assert text in "".join(problems)


def test_all_problems_at_once():
    problems = standby_input_problems({"method": "rsync", "settings": {"max_worker_processes": 1}})
    assert len(problems) == 2
    assert all("Next: " in problem and problem.endswith(".") for problem in problems)
