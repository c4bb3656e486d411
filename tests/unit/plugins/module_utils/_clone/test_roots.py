# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._clone.roots import count_files, plan
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import DATA, NOT_COPIED, TABLESPACE


def planned(job):
    return plan(job.barman_host, job.backup, job.target)


class TestPlan:
    def test_is_all_of_the_backup(self, host):
        roots = planned(host.job())
        assert [(root.oid, root.target) for root in roots] == [(None, str(host.pgdata)), (16388, str(host.fast))]
        assert count_files(roots) == len(DATA) - len(NOT_COPIED) + len(TABLESPACE)
        assert "pg_wal/archive_status" in roots[0].directories

    def test_has_no_directory_for_a_wal_that_is_elsewhere(self, host):
        data, _fast = planned(host.job(waldir="/srv/wal"))
        assert [path for path in data.directories if path.startswith("pg_wal")] == []
        assert "pg_tblspc" in data.directories
