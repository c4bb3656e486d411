# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree


@pytest.fixture
def examine(host, run):
    def module(**changed):
        return run(
            "standby_preflight",
            **{
                "barman_host": "barman@backup",
                "backup": json.loads(json.dumps(as_dict(host.backup()))),
                "data_directory": str(host.pgdata),
                "pg_bindir": str(host.programs),
                "tablespace_mapping": {"/srv/tablespaces/fast": str(host.fast)},
                "upstream_conninfo": "host=/nowhere",
                "application_name": "n1",
                "restore_command": "none",
                **changed,
            },
        )

    host.program("postgres", "#!/bin/sh\n[ $1 = --version ] && echo 'postgres (PostgreSQL) 15.20' || echo 100\n")
    return module


def test_one_problem_has_its_own_code(examine):
    result = examine()
    assert (result["failed"], result["changed"]) == (True, False)
    assert (result["error_code"], result["error_codes"]) == ("upstream_unreachable", ["upstream_unreachable"])
    assert result["plan"]["action"] == "refuse"


def test_many_problems_are_told_together(host, examine):
    write_tree(host.pgdata, {"mine": ""})
    write_tree(host.fast, {"mine": ""})
    result = examine()
    assert result["error_code"] == "preflight_failed"
    assert sorted(result["error_codes"]) == ["data_directory_foreign", "target_not_empty", "upstream_unreachable"]
    assert "3 problems: (1) " in result["msg"]


def test_every_verdict_comes_along(examine):
    verdicts = {verdict["check"]: verdict["severity"] for verdict in examine()["verdicts"]}
    assert verdicts == {
        "paths": "ok",
        "backup": "ok",
        "inodes": "ok",
        "ownership": "ok",
        "rsync": "ok",
        "selinux": "ok",
        "data_directory": "ok",
        "version": "ok",
        "service": "ok",
        "upstream": "error",
        "space": "ok",
        "configuration": "ok",
        "hot_standby_settings": "ok",
        "rehearsal": "warning",  # there is no initdb
    }


def test_an_option_that_makes_no_sense_ends_it(examine):
    assert examine(backup={})["error_code"] == "backup_invalid"
