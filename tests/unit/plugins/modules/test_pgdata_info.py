# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml
from ansible_collections.pgfleet.standby.plugins.modules import pgdata_info
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL_TEXT, SYSTEM_IDENTIFIER

CLUSTER = {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT}


@pytest.fixture
def ask(host, run):
    def module(**changed):
        return run("pgdata_info", **{"data_directory": str(host.pgdata), "pg_bindir": str(host.programs), **changed})

    return module


@pytest.mark.parametrize(
    ("files", "state"),
    [({}, "absent"), ({"file": ""}, "foreign"), (CLUSTER, "cluster"), ({**CLUSTER, "standby.signal": ""}, "standby")],
)
def test_what_it_is(host, ask, files, state):
    write_tree(host.pgdata, files)
    result = ask()
    found = result["pgdata"]
    assert (result["changed"], found["state"], found["running"], found["ours"]) == (False, state, False, False)
    assert (found["control"] or {}).get("system_identifier") == (SYSTEM_IDENTIFIER if "PG_VERSION" in files else None)
    assert found["pg_bindir"] == (str(host.programs) if "PG_VERSION" in files else None)


@pytest.mark.parametrize(
    ("signal", "runs", "identifier", "kind"),
    [
        (True, False, None, "standby"),
        (True, False, SYSTEM_IDENTIFIER, "standby"),
        (True, True, "1", "other_standby"),
        (False, False, None, "cluster"),
        (False, False, SYSTEM_IDENTIFIER, "former_primary"),
        (False, True, SYSTEM_IDENTIFIER, "primary"),
        (False, False, "1", "other_cluster"),
        (False, True, "1", "other_primary"),
    ],
)
def test_whose_it_is(host, ask, signal, runs, identifier, kind):
    write_tree(host.pgdata, {**CLUSTER, **({"standby.signal": ""} if signal else {})})
    process = host.start("postgres", host.pgdata) if runs else None
    assert ask(system_identifier=identifier)["pgdata"]["kind"] == kind
    if process is not None:
        process.communicate()


def test_what_we_made_is_ours(host, ask):
    host.copy()
    found = ask()["pgdata"]
    assert (found["state"], found["ours"], found["clone"]["phase"]) == ("standby", True, "committed")
    (host.pgdata / "standby.signal").unlink()
    assert ask()["pgdata"]["ours"] is False


def test_a_damaged_cluster_is_told_from_what_is_not_postgresqls(host, ask):
    write_tree(host.pgdata, {**CLUSTER, "global/pg_control": "garbage"})
    found = ask()["pgdata"]
    assert (found["state"], found["version"], found["control"]) == ("foreign", "15", None)


def test_an_error_has_a_code(host, ask):
    write_tree(host.state, {"state.json": "{"})
    result = ask()
    assert (result["failed"], result["error_code"]) == (True, "state_unreadable")


def test_what_pg_control_tells_is_documented(host, ask):
    write_tree(host.pgdata, CLUSTER)
    documented = yaml.safe_load(pgdata_info.RETURN)["pgdata"]["contains"]["control"]["sample"]
    assert documented.keys() == ask()["pgdata"]["control"].keys()
