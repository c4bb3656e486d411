# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only matters if the cluster that is there goes on."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._preflight.examining import LEFT, NO_WAL, codes
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import upstream


@pytest.fixture(autouse=True)
def _finished(host):
    """A copy of ours, stopped, and on the upstream's timeline behind the upstream."""
    host.copy()


class TestCopyOfOurs:
    def test_only_has_to_be_started(self, examine, answers):
        examined = examine()
        assert (codes(examined), examined.plan["action"]) == ([], "start")
        assert examined.plan["wal_to_replay"] == 20 << 20
        assert answers.asked["begin_of_cluster"] == (1, 0x3000028)  # what its label says: it has not been started yet

    def test_needs_no_backup_and_no_barman_for_that(self, examine):
        examined = examine(without_job=True, no_backup=Refusal("ssh_refused", "Barman is down.", "start it"))
        assert (codes(examined), examined.plan["action"]) == ([], "start")

    def test_is_asked_nothing_of_a_copy(self, examine):
        checks = {verdict.check for verdict in examine().verdicts}
        assert not checks & {"backup", "rsync", "space"}

    def test_is_refused_if_the_wal_that_it_needs_is_gone(self, examine, answers):
        answers.wal_of_cluster = NO_WAL
        assert codes(examine()) == ["wal_missing"]

    def test_is_brought_to_the_backup_with_consent(self, host, examine, answers):
        answers.wal_of_cluster = NO_WAL
        examined = examine(host.job(overwrite="same_cluster", backup=host.second_backup()))
        assert (codes(examined), examined.plan["action"]) == ([], "delta")

    def test_has_its_settings_raised_if_the_upstreams_are_higher(self, examine, answers):
        answers.upstream = upstream(settings={"max_connections": 500})
        assert examine().plan["settings"] == {"max_connections": "500"}

    def test_keeps_its_directory_as_it_is(self, host, examine):
        host.pgdata.chmod(0o777)
        assert codes(examine()) == ["data_directory_mode"]

    def test_needs_the_programs(self, examine):
        examined = examine(bindir="/nowhere")
        assert (examined.plan["action"], codes(examined)) == ("refuse", ["postgresql_not_installed"])


def test_a_cluster_that_has_diverged_is_rewound_if_that_is_possible(host, examine, answers):
    answers.upstream, answers.no_rewind = upstream(**LEFT), []
    write_tree(host.pgdata, {"postgresql.conf": "max_connections = 20\n"})
    examined = examine(host.job(overwrite="same_cluster"))
    assert (examined.plan["action"], codes(examined)) == ("rewind", [])
    assert examined.plan["settings"] == {"max_connections": "100"}
