# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _verdict
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import backup as _backup
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import configuration as _configuration
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import space as _space
from ansible_collections.pgfleet.standby.plugins.module_utils._model import CheckItem
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import paths as _paths
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import SETTINGS, backup, upstream

GIB = 1 << 30


def codes(verdicts):
    """The errors by their codes; every error has one and tells the next step."""
    found = _verdict.errors(verdicts)
    assert all(verdict.error_code and "Next: " in verdict.msg for verdict in found)
    return [verdict.error_code for verdict in found]


@pytest.mark.parametrize(
    ("data_directory", "others", "expected"),
    [
        pytest.param("/srv/pg", {}, [], id="alone"),
        pytest.param("/srv/pg", {"tablespace 1": "/srv/fast", "waldir": "/srv/wal"}, [], id="apart"),
        pytest.param("/etc", {}, ["path_dangerous"], id="system"),
        pytest.param("/home/ann", {}, ["path_dangerous"], id="home"),
        pytest.param("/srv/pg", {"waldir": "wal"}, ["path_dangerous"], id="relative waldir"),
        pytest.param("/etc", {"tablespace 1": "/", "waldir": "wal"}, ["path_dangerous"] * 3, id="all of them"),
        pytest.param("/srv/pg", {"waldir": "/srv/pg/wal"}, ["path_overlap"], id="inside"),
        pytest.param("/srv/pg", {"tablespace 1": "/srv/t", "tablespace 2": "/srv/t/"}, ["path_overlap"], id="same"),
    ],
)
def test_paths(data_directory, others, expected):
    assert codes(_paths.paths(data_directory, others, ["/home/ann"])) == expected


def test_paths_name_the_option():
    [verdict] = _paths.paths("/srv/pg", {"waldir": "wal"}, [])
    assert verdict.msg.startswith("waldir='wal' cannot be used: it is not absolute.")


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)", []),
        ("postgres (PostgreSQL) 15.0", []),
        ("postgres (PostgreSQL) 15beta1", []),
        ("postgres (PostgreSQL) 15devel", []),
        ("postgres (PostgreSQL) 14.19", ["version_differs"]),
        ("postgres (PostgreSQL) 16rc1", ["version_differs"]),
        ("postgres (PostgreSQL) 1.5", ["version_differs"]),
        ("postgres", ["version_differs"]),
        ("", ["version_differs"]),
    ],
)
def test_version(printed, expected):
    assert codes(_backup.version(backup(), printed)) == expected


@pytest.mark.parametrize(
    ("of_backup", "of_upstream", "expected"),
    [
        pytest.param({}, {}, [], id="same"),
        pytest.param({"system_identifier": None}, {}, [], id="identifier not recorded"),
        pytest.param({}, {"system_identifier": "1"}, ["system_identifier_differs"], id="another cluster"),
        pytest.param({}, {"version": 160001}, ["upstream_version_differs"], id="upgraded"),
        pytest.param({}, {"version": 150001}, [], id="another minor version"),
        pytest.param({"timeline": None}, {"timeline": 2}, [], id="timeline not recorded"),
        pytest.param({}, {"timeline": 2, "history": ((1, 0x3000100),)}, [], id="promoted right after the backup"),
        pytest.param({}, {"timeline": 3, "history": ((1, 0x4000000), (2, 0x5000000))}, [], id="promoted twice"),
        pytest.param(
            {}, {"timeline": 2, "history": ((1, 0x30000FF),)}, ["timeline_not_ancestor"], id="promoted before its end"
        ),
        pytest.param({"timeline": 2}, {"timeline": 1}, ["timeline_not_ancestor"], id="upstream is behind"),
        pytest.param(
            {"timeline": 2}, {"timeline": 3, "history": ((1, 0x9000000),)}, ["timeline_not_ancestor"], id="sibling"
        ),
        pytest.param(
            {"end_lsn": None},
            {"timeline": 2, "history": ((1, 0x9000000),)},
            ["timeline_not_ancestor"],
            id="end unknown",
        ),
    ],
)
def test_upstream(of_backup, of_upstream, expected):
    assert codes(_backup.upstream(backup(**of_backup), upstream(**of_upstream))) == expected


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
    ("needed", "available", "backlog", "expected"),
    [
        pytest.param({"/a": 10}, {"/a": 10}, 0, [], id="exactly"),
        pytest.param({"/a": 11}, {"/a": 10}, 0, ["space_missing"], id="a byte short"),
        pytest.param({"/a": 10}, {"/a": 14}, 5, ["space_missing"], id="WAL does not fit"),
        pytest.param({"/a": 10}, {"/a": 15}, 5, [], id="WAL fits"),
        pytest.param({"/a": 10}, {"/a": 10 + GIB}, 1 << 50, [], id="WAL reserve is bounded"),
        pytest.param({"/a": 10}, {"/a": 10}, -5, [], id="upstream behind the backup"),
        pytest.param({"/a": 10, "/b": 10}, {"/a": 15, "/b": 10}, 5, [], id="WAL goes to the first"),
        pytest.param({"/a": 2, "/b": 2}, {"/a": 1, "/b": 1}, 0, ["space_missing"] * 2, id="both full"),
    ],
)
def test_space(needed, available, backlog, expected):
    assert codes(_space.space(needed, available, backlog)) == expected


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


def test_barmans_own_verdicts():
    fine = CheckItem("ssh", True, "", True)
    assert [verdict.severity for verdict in _backup.barman([fine])] == ["ok"]
    found = _backup.barman(
        [fine, CheckItem("directories", False, "no such", True), CheckItem("postgresql", False, "", False)]
    )
    assert [(verdict.severity, verdict.error_code) for verdict in found] == [
        ("error", "barman_check_failed"),
        ("warning", None),
    ]
    assert "directories (no such)" in found[0].msg


def test_the_backup_is_described():
    [found] = _backup.backup(backup(size=1000, end_time="2026-11-21 11:48:30+00:00", end_timestamp=1000), now=8200)
    assert found.severity == "ok"
    assert found.msg.endswith("11:48:30+00:00, 2 h ago")
    assert "DONE, of type rsync, 1000 bytes, taken at 2026-11-21" in found.msg
