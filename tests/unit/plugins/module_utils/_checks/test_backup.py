# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _verdict
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import backup as _backup
from ansible_collections.pgfleet.standby.plugins.module_utils._model import CheckItem
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import backup, upstream


def codes(verdicts):
    """The errors by their codes; every error has one and tells the next step."""
    found = _verdict.errors(verdicts)
    assert all(verdict.error_code and "Next: " in verdict.msg for verdict in found)
    return [verdict.error_code for verdict in found]


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
        pytest.param({}, {"lsn": 0x3000100}, [], id="stopped right after the backup"),
        pytest.param({}, {"lsn": 0x30000FF}, ["upstream_behind_backup"], id="rolled back, or lags"),
        pytest.param({"end_lsn": None}, {"lsn": 0x1000000}, [], id="end unknown, on the same timeline"),
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
