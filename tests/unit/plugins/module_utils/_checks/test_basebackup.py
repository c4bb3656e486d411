# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.basebackup import (
    backup_of_upstream,
    tablespaces,
    version,
    wal,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Tablespace
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import ClusterFiles
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import upstream


def test_the_upstream_is_the_backup():
    told = ClusterFiles((Tablespace("fast", 16388, "/srv/fast"),), 1, {})
    backup = backup_of_upstream(upstream(), told, ["/srv/unknown"])
    assert (backup.backup_id, backup.major) == ("pg_basebackup", 15)
    assert backup.system_identifier == upstream().system_identifier
    assert backup.tablespaces == told.tablespaces


def test_tablespaces_that_only_the_mapping_tells_have_no_oid_yet():
    found = backup_of_upstream(upstream(), None, ["/srv/b", "/srv/a"]).tablespaces
    assert [(one.location, one.oid) for one in found] == [("/srv/a", -1), ("/srv/b", -2)]


def test_a_location_that_cannot_be_told():
    with pytest.raises(StandbyError, match="backslash"):
        backup_of_upstream(upstream(), None, ["/srv/a\\"])


@pytest.mark.parametrize(("length", "code"), [(99, None), (100, "tablespace_path_too_long")])
def test_a_link_that_no_base_backup_holds_is_refused(length, code):
    location = "/" + "x" * (length - 1)
    if code is None:
        assert backup_of_upstream(upstream(), None, [location]).tablespaces[0].location == location
        return
    with pytest.raises(StandbyError) as refused:
        backup_of_upstream(upstream(), None, [location])
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ("postgres (PostgreSQL) 15.20", "ok"),
        ("postgres (PostgreSQL) 15beta1", "ok"),
        ("postgres (PostgreSQL) 14.9", "error"),
        ("postgres (PostgreSQL) 150.1", "error"),
    ],
)
def test_the_version_of_the_programs(said, severity):
    assert version(upstream(), said).severity == severity


@pytest.mark.parametrize(
    ("slot", "command", "code"), [("n1", None, None), (None, "cp", None), (None, None, "wal_not_kept")]
)
def test_who_keeps_the_wal(slot, command, code):
    assert wal(slot, command).error_code == code


def test_an_upstream_that_does_not_tell_its_tablespaces():
    assert tablespaces(upstream(), None) == []
    [found] = tablespaces(upstream(), "no pg_hba.conf entry")
    assert (found.severity, found.error_code) == ("warning", "upstream_sql_denied")
