# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a preflight: all verdicts at once, one decision, nothing changed."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.without_upstream import NOT_CHECKED
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.examination import run
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._preflight.examining import (
    LEFT,
    NO_WAL,
    codes,
    of_check,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    SYSTEM_IDENTIFIER,
    control_text,
    upstream,
)

DOWN = StandbyError(Refusal("upstream_unreachable", "It is down.", "start it"))


def test_an_empty_host_can_become_a_standby(host, examine):
    examined = examine()
    assert codes(examined) == []
    assert examined.plan["action"] == "clone"
    assert examined.plan["settings"] == {}
    assert examined.plan["wal_to_replay"] == 0x5000000 - 0x3000028
    assert examined.plan["upstream"]["system_identifier"] == SYSTEM_IDENTIFIER
    assert [item["location"] for item in examined.plan["tablespaces"]] == [str(host.fast)]
    assert examined.plan["bytes_to_copy"] == examined.plan["bytes"] > 0


@pytest.mark.parametrize("prepare", [lambda host: None, lambda host: host.copy()], ids=["empty", "with a copy"])
def test_nothing_is_changed(host, examine, prepare):
    prepare(host)
    before = read_tree(host.root / "standby")
    examine()
    assert read_tree(host.root / "standby") == before


def test_verdicts_come_in_the_order_in_which_a_person_reads_them(examine):
    checks = [verdict.check for verdict in examine().verdicts]
    assert list(dict.fromkeys(checks)) == [
        "paths",
        "service",
        "data_directory",
        "backup",
        "version",
        "timeline",
        "rsync",
        "space",
        "configuration",
        "hot_standby_settings",
        "rehearsal",
        "wal",
        "restore_command",
        "ownership",
        "selinux",
        "inodes",
    ]


def test_all_problems_are_told_at_once(host, examine, answers):
    answers.upstream = upstream(system_identifier="1")
    write_tree(host.pgdata, {"mine": ""})
    write_tree(host.fast, {"mine": ""})
    (host.data / "postgresql.conf").unlink()
    assert codes(examine(host.job(waldir=str(host.pgdata / "wal")))) == [
        "configuration_missing",
        "data_directory_foreign",
        "path_overlap",
        "system_identifier_differs",
        "target_not_empty",
    ]


class TestOfTheDataDirectory:
    """What it holds decides, and how much consent there is."""

    @pytest.mark.parametrize(
        ("overwrite", "action", "expected"),
        [("never", "refuse", ["cluster_diverged"]), ("same_cluster", "delta", [])],
    )
    def test_a_cluster_that_has_diverged(self, host, examine, answers, overwrite, action, expected):
        host.copy()
        answers.upstream = upstream(**LEFT)
        backup = host.second_backup(timeline=2)
        examined = examine(host.job(overwrite=overwrite, backup=backup))
        assert (examined.plan["action"], codes(examined)) == (action, expected)
        if action == "delta":
            assert "no pg_rewind: no checksums" in examined.plan["reason"]
        else:
            [refused] = of_check(examined, "data_directory")
            assert "Nothing was changed." in refused.msg
            assert "overwrite=same_cluster" in refused.msg

    @pytest.mark.parametrize(
        ("overwrite", "action", "expected"),
        [("same_cluster", "refuse", ["data_directory_cluster"]), ("always", "replace", [])],
    )
    def test_a_cluster_of_another_system(self, host, examine, overwrite, action, expected):
        host.copy()
        write_tree(host.pgdata, {"global/pg_control": control_text(system_identifier=1)})
        examined = examine(host.job(overwrite=overwrite))
        assert (examined.plan["action"], codes(examined)) == (action, expected)

    @pytest.mark.parametrize("overwrite", ["never", "same_cluster", "always"])
    def test_a_cluster_of_another_system_that_runs(self, host, examine, overwrite):
        host.copy()
        write_tree(host.pgdata, {"global/pg_control": control_text(system_identifier=1)})
        process = host.start("postgres", host.pgdata)
        try:
            examined = examine(host.job(overwrite=overwrite))
        finally:
            process.communicate()
        assert "server_running" in codes(examined)

    def test_what_cannot_be_read(self, host, examine, monkeypatch):
        host.pgdata.parent.rename(host.root / "moved")
        host.pgdata.parent.write_text("a file", encoding="utf-8")
        examined = examine()
        assert examined.plan["reason"] == "the data directory cannot be read"
        assert (examined.plan["action"], examined.plan["before"]) == ("refuse", "")


class TestMethod:
    """Only rsync compares what is there with the backup."""

    @pytest.mark.parametrize(("method", "action"), [("rsync", "delta"), ("barman", "replace")])
    def test_brings_what_differs_or_all(self, host, examine, answers, method, action):
        host.copy()
        answers.wal_of_cluster = NO_WAL
        job = host.job(overwrite="same_cluster", method=method, backup=host.second_backup())
        assert examine(job).plan["action"] == action


class TestKeepOld:
    """What would be overwritten is renamed, and the copy goes into an empty directory."""

    @pytest.fixture(autouse=True)
    def _other_cluster(self, host):
        host.copy()
        write_tree(host.pgdata, {"global/pg_control": control_text(system_identifier=1)})

    def test_is_planned(self, host, examine):
        examined = examine(host.job(overwrite="always", keep_old=True))
        assert (codes(examined), examined.plan["action"]) == ([], "clone")
        assert examined.plan["kept_old"] == [f"{host.pgdata}.old", f"{host.fast}.old"]
        assert (examined.plan["removed"], examined.plan["bytes_to_copy"]) == (0, examined.plan["bytes"])

    def test_is_refused_if_the_name_is_taken(self, host, examine):
        (host.root / "standby" / "pgdata.old").mkdir()
        examined = examine(host.job(overwrite="always", keep_old=True))
        assert codes(examined) == ["keep_old_exists"]
        assert examined.plan["kept_old"] == []


class TestWithoutBackup:
    def test_an_empty_host_is_told_why_there_is_none(self, examine):
        examined = examine(without_job=True, no_backup=Refusal("ssh_refused", "Barman is down.", "start it"))
        assert (codes(examined), examined.plan["action"]) == (["ssh_refused"], "refuse")
        assert codes(examine(without_job=True)) == ["backup_missing"]

    def test_a_refusal_is_the_only_problem(self, host, examine):
        write_tree(host.pgdata, {"mine": ""})
        assert codes(examine(without_job=True)) == ["data_directory_foreign"]


class TestUpstream:
    def test_that_does_not_answer_is_one_problem(self, examine, answers):
        answers.upstream = DOWN
        examined = examine()
        assert codes(examined) == ["upstream_unreachable"]
        assert not {"upstream", "wal_to_replay"} & set(examined.plan)

    def test_is_really_asked(self, request_of):
        examined = run(request_of(keywords={"host": "/nowhere"}))
        assert codes(examined) == ["upstream_unreachable"]


class TestUpstreamNotAsked:
    def test_an_empty_host_with_what_is_not_proven(self, examine, answers):
        examined = examine(upstream_asked=False)
        assert (codes(examined), "upstream" in answers.asked) == ([], False)
        assert (examined.plan["action"], examined.plan.get("upstream")) == ("clone", None)
        assert examined.plan["not_checked"] == list(NOT_CHECKED)
        assert [verdict.error_code for verdict in of_check(examined, "upstream")] == ["upstream_not_asked"]

    def test_wal_has_to_come_from_the_archive(self, examine):
        assert codes(examine(upstream_asked=False, restore_command=None)) == ["wal_unproven"]

    def test_our_own_copy_is_started(self, host, examine):
        host.copy()
        examined = examine(upstream_asked=False, without_job=True)
        assert (codes(examined), examined.plan["action"]) == ([], "start")


def test_that_wal_will_come_by_get_wal_is_no_problem(examine):
    examined = examine(restore_note="barman-wal-restore is not installed here")
    assert codes(examined) == []
    [note] = [verdict for verdict in examined.verdicts if verdict.error_code == "barman_cli_missing"]
    assert (note.check, note.severity) == ("restore_command", "warning")
