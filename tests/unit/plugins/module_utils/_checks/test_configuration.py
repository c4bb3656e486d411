# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.configuration import (
    configuration,
    hot_standby,
    settings_to_raise,
    starter,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._checks.verdicts import found


@pytest.mark.parametrize(
    ("service", "path", "expected"),
    [
        (None, "/srv/pg", []),
        (None, "/srv/two words", []),
        *((None, f"/srv/a{character}b", [("error", "path_unfit_for_pg_ctl")]) for character in '"$`\\\n'),
        ("postgresql@15-main", "/srv/a$b", []),
    ],
)
def test_pg_ctl_passes_paths_through_a_shell(service, path, expected):
    assert found(starter(service, ["/srv/state", path])) == expected


@pytest.mark.parametrize(
    ("needed", "expected"),
    [
        ([{"max_connections": 100}], {}),
        ([{"max_connections": 200}], {"max_connections": 200}),
        ([{"max_connections": 200}, {"max_connections": 300}], {"max_connections": 300}),
        ([{"max_connections": 200, "max_unknown": 1}], {"max_connections": 200}),
    ],
    ids=["equal", "higher", "the highest counts", "one that is not asked for here"],
)
def test_settings_to_raise(needed, expected):
    assert settings_to_raise({"max_connections": 100}, *needed) == expected


@pytest.mark.parametrize(
    ("to_raise", "policy", "expected"),
    [
        ({}, "refuse", [("ok", None)]),
        ({"max_connections": 200}, "raise", [("warning", None)]),
        ({"max_connections": 200}, "refuse", [("error", "hot_standby_settings")]),
    ],
)
def test_a_hot_standby(to_raise, policy, expected):
    verdicts = hot_standby({"max_connections": 100}, to_raise, policy)
    assert [(verdict.severity, verdict.error_code) for verdict in verdicts] == expected
    assert all("max_connections 100 (needs 200)" in verdict.msg for verdict in verdicts if to_raise)


@pytest.mark.parametrize(
    ("exists", "names", "expected"),
    [
        (True, None, []),
        (True, "/srv/pg/", []),
        (True, "/srv/other", [("error", "configuration_other_directory")]),
        (False, None, [("error", "configuration_missing")]),
    ],
)
def test_the_configuration_file(exists, names, expected):
    assert found(configuration("/etc/postgresql.conf", exists, names, "/srv/pg")) == expected
