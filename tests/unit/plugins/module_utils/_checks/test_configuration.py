# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _verdict
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import configuration as _configuration
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import SETTINGS


def codes(verdicts):
    """The errors by their codes; every error has one and tells the next step."""
    found = _verdict.errors(verdicts)
    assert all(verdict.error_code and "Next: " in verdict.msg for verdict in found)
    return [verdict.error_code for verdict in found]


@pytest.mark.parametrize(
    ("effective", "needed", "to_raise"),
    [
        pytest.param(SETTINGS, [SETTINGS], {}, id="equal"),
        pytest.param({"max_connections": 200}, [{"max_connections": 100}], {}, id="above"),
        pytest.param({"max_connections": 50}, [{"max_connections": 100}], {"max_connections": 100}, id="below"),
        pytest.param(
            {"max_connections": 50},
            [{"max_connections": 100}, {"max_connections": 120}],
            {"max_connections": 120},
            id="the highest of backup and upstream",
        ),
        pytest.param({"max_connections": 50}, [{}], {}, id="not told"),
    ],
)
def test_settings_to_raise(effective, needed, to_raise):
    assert _configuration.settings_to_raise(effective, *needed) == to_raise


@pytest.mark.parametrize(
    ("to_raise", "policy", "severity"),
    [
        ({}, "refuse", "ok"),
        ({}, "raise", "ok"),
        ({"max_connections": 120}, "raise", "warning"),
        ({"max_connections": 120}, "refuse", "error"),
    ],
)
def test_hot_standby(to_raise, policy, severity):
    [verdict] = _configuration.hot_standby({"max_connections": 100}, to_raise, policy)
    assert verdict.severity == severity
    assert ("max_connections 100 (needs 120)" in verdict.msg) == bool(to_raise)
    assert codes([verdict]) == (["hot_standby_settings"] if severity == "error" else [])


@pytest.mark.parametrize(
    ("exists", "names_directory", "expected"),
    [
        (True, None, []),
        (True, "/srv/pg", []),
        (True, "/srv/pg/", []),
        (True, "/srv/other", ["configuration_other_directory"]),
        (False, None, ["configuration_missing"]),
    ],
)
def test_configuration(exists, names_directory, expected):
    assert (
        codes(_configuration.configuration("/etc/pg/postgresql.conf", exists, names_directory, "/srv/pg")) == expected
    )


@pytest.mark.parametrize(
    ("service", "path", "expected"),
    [
        pytest.param(None, "/srv/it's a dir", [], id="what a shell leaves alone between double quotes"),
        pytest.param("postgresql@15-main", '/srv/"$(id)"', [], id="a service needs no shell"),
        *(
            pytest.param(None, f"/srv/{name}", ["path_unfit_for_pg_ctl"], id=repr(name))
            for name in ('"', "$(id)", "`id`", "a\\b", "$HOME")
        ),
    ],
)
def test_starter(service, path, expected):
    assert codes(_configuration.starter(service, ["/srv/pg", path])) == expected
