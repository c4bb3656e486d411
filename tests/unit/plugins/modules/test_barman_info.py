# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""barman_server_info and barman_backup_info on what every recorded Barman printed."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import backup_of
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import BARMAN_VERSIONS


@pytest.fixture(params=BARMAN_VERSIONS)
def version(request, host):
    host.install_barman(request.param)
    return request.param


@pytest.fixture(params=[{}, {"barman_host": "barman@backup"}], ids=["here", "over ssh"])
def where(request):
    return request.param


def test_server_info(run, version, where):
    result = run("barman_server_info", barman_server="pg", **where)
    assert (result["changed"], result["barman_version"]) == (False, version)
    assert (result["server"]["active"], result["server"]["backup_method"]) == (True, "rsync")
    assert result["failed_checks"] == []
    assert len(result["checks"]) > 10
    assert "conninfo" not in str(result["server"])


def test_server_info_without_checks(run, version):
    assert "checks" not in run("barman_server_info", barman_server="pg", check=False)


def test_server_info_warns_of_failed_checks(run, version):
    result = run("barman_server_info", barman_server="pg_empty")
    [failed] = result["failed_checks"]
    assert f"barman check pg_empty: {failed} failed (" in str(result["warnings"])


def test_backup_info_lists(run, version, where):
    result = run("barman_backup_info", barman_server="pg", **where)
    [listed] = result["backups"]
    assert (listed["status"], listed["type"]) == ("DONE", "rsync")
    assert (result["changed"], result["selected"], result["passed_over"]) == (False, None, [])


@pytest.mark.parametrize(("server", "mode"), [("pg", "rsync-concurrent"), ("pg_postgres", "postgres")])
def test_backup_info_chooses_what_the_other_modules_take(run, version, where, server, mode):
    selected = run("barman_backup_info", barman_server=server, backup_id="latest", **where)["selected"]
    assert selected["mode"] == mode
    assert backup_of(selected).directory.endswith(f"/{server}/base/{selected['backup_id']}")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"barman_server": "pg_gzip", "backup_id": "latest"}, "no_usable_backup"),
        ({"barman_server": "pg_empty", "backup_id": "latest"}, "no_usable_backup"),
        ({"barman_server": "pg", "backup_id": "20000101T000000"}, "backup_unknown"),
        ({"barman_server": "nosuch"}, "barman_unknown_server"),
    ],
)
def test_backup_info_refuses(run, version, options, code):
    result = run("barman_backup_info", **options)
    assert (result["failed"], result["error_code"]) == (True, code)
