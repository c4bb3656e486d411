# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The upstream itself is copied, by pg_basebackup; Barman is not asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.basebackup_facts import UpstreamSource
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Tablespace
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import ClusterFiles
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._preflight.examining import (
    NO_WAL,
    codes,
    interrupt,
    of_check,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree


@pytest.fixture(autouse=True)
def _told(host, answers):
    host.program("pg_basebackup", "#!/bin/sh\necho --checkpoint\n")
    answers.files = ClusterFiles((Tablespace("fast", 16388, str(host.fast)),), 3 << 20, {16388: 1 << 20})


@pytest.fixture
def source(host):
    def job_of(backup):
        targets = {one.oid: one.location for one in backup.tablespaces}
        return host.job(backup=backup, tablespaces=targets, method="pg_basebackup")

    return UpstreamSource(job_of)


def test_an_empty_host(examine, source):
    examined = examine(without_job=True, basebackup=source, slot_name="n1", restore_command=None)
    assert codes(examined) == []
    assert (examined.plan["action"], examined.plan["method"]) == ("clone", "pg_basebackup")
    assert (examined.plan["bytes"], examined.plan["bytes_to_copy"]) == (3 << 20, 3 << 20)
    assert [item["bytes"] for item in examined.plan["tablespaces"]] == [1 << 20]
    assert "WAL in Barman's archive" in examined.plan["not_checked"]


def test_a_second_wal_sender_is_needed(examine, answers, source):
    examine(without_job=True, basebackup=source)
    assert answers.asked["standby"].walsenders == 2
    examine()
    assert answers.asked["standby"].walsenders == 1


def test_what_differs_cannot_be_sent_alone(host, examine, answers, source):
    host.copy()
    answers.wal_of_cluster = NO_WAL
    examined = examine(without_job=True, basebackup=source, overwrite="same_cluster")
    assert (codes(examined), examined.plan["action"]) == ([], "replace")


def test_an_unfinished_copy_cannot_be_gone_on_with(host, examine, source):
    interrupt(host)
    examined = examine(without_job=True, basebackup=source)
    assert (codes(examined), examined.plan["action"]) == ([], "replace")


def test_all_that_is_wrong_is_told_at_once(host, examine, source):
    (host.programs / "pg_basebackup").unlink()
    (host.programs / "postgres").unlink()
    write_tree(host.fast, {"mine": ""})
    assert codes(examine(without_job=True, basebackup=source)) == [
        "basebackup_missing",
        "postgresql_not_installed",
        "target_not_empty",
    ]


def test_an_option_that_this_release_does_not_know(examine, source):
    examined = examine(without_job=True, basebackup=replace(source, options=("--no-manifest",)))
    assert codes(examined) == ["basebackup_option_refused"]


def test_without_sql_tablespaces_and_room_are_unknown(examine, answers, source):
    answers.files = "no pg_hba.conf entry"
    examined = examine(without_job=True, basebackup=source)
    warned = {verdict.error_code for verdict in examined.verdicts if verdict.severity == "warning"}
    assert codes(examined) == []
    assert {"upstream_sql_denied", "space_unknown"} <= warned


def test_the_room_for_a_copy_that_does_not_fit(host, examine, answers, source):
    answers.files = replace(answers.files, bytes=1 << 60)
    examined = examine(without_job=True, basebackup=source)
    assert codes(examined) == ["space_missing"]
    assert all(free < 0 for free in examined.plan["free_after"].values())


def test_the_configuration_may_come_with_the_copy(host, examine, source):
    [verdict] = of_check(examine(without_job=True, basebackup=source), "configuration")
    assert "comes with the copy" in verdict.msg
    write_tree(host.root / "etc", {"postgresql.conf": "max_connections = 20\n"})
    examined = examine(without_job=True, basebackup=source, config_directory=str(host.root / "etc"))
    assert examined.plan["settings"] == {"max_connections": "100"}


THERE = {"config_file": "/srv/up/postgresql.conf", "data_directory": "/srv/up"}


class TestConfiguration:
    """It comes with the copy. Before, only the upstream can tell of it."""

    def test_what_the_upstream_tells_of_it_is_rehearsed(self, host, examine, answers, source):
        answers.files = replace(answers.files, settings={"shared_buffers": "16384"}, **THERE)
        answers.upstream = replace(answers.upstream, wal_segment_size=64 << 20)
        examined = examine(without_job=True, basebackup=source)
        standby = answers.asked["rehearse"]
        target = host.root / "target"
        target.mkdir()
        standby.bring(str(target))
        assert "shared_buffers = '16384'\n" in (target / "postgresql.conf").read_text()
        assert standby.segment_size == 64 << 20
        assert any("neither pg_hba.conf nor certificates" in reason for reason in examined.plan["not_checked"])

    def test_of_one_that_tells_nothing_that_is_said(self, examine, answers, source):
        examined = examine(without_job=True, basebackup=source)
        assert "rehearse" not in answers.asked
        assert any(reason.endswith("which comes with the copy") for reason in examined.plan["not_checked"])

    def test_one_outside_of_the_upstreams_data_directory_does_not_come(self, host, examine, answers, source):
        elsewhere = {**THERE, "config_file": "/etc/up/postgresql.conf"}
        answers.files = replace(answers.files, settings={"work_mem": "4096"}, **elsewhere)
        examined = examine(without_job=True, basebackup=source)
        assert codes(examined) == ["configuration_missing"]
        [verdict] = of_check(examined, "configuration")
        assert "/etc/up/postgresql.conf, which pg_basebackup does not copy" in verdict.msg

    @pytest.mark.parametrize("from_backup", [False, True])
    def test_then_that_of_the_host_is_read(self, host, examine, answers, source, from_backup):
        answers.files = replace(answers.files, **{**THERE, "config_file": "/etc/up/postgresql.conf"})
        write_tree(host.root / "etc", {"postgresql.conf": "max_connections = 20\n"})
        given = {"config_directory": str(host.root / "etc"), "config_from_backup": from_backup}
        assert examine(without_job=True, basebackup=source, **given).plan["settings"] == {"max_connections": "100"}


def test_an_upstream_that_is_down_is_one_problem(examine, answers, source):
    answers.upstream = StandbyError(Refusal("upstream_unreachable", "It is down.", "start it"))
    assert codes(examine(without_job=True, basebackup=source)) == ["upstream_unreachable"]
