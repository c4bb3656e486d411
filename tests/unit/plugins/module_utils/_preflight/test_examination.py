# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All verdicts at once, and the plan; the upstream is one that does not answer, or one that a test describes."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import basebackup_facts as _basebackup_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import space_facts as _space_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.wal_proof import WalProof
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import CheckItem, Tablespace
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import ClusterFiles, UpstreamFacts
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.without_upstream import NOT_CHECKED
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import examination as _examination
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import host_state as _host_state
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import wal as _wal
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.examination import Examination
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, errors, problem
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    TABLESPACE,
    read_tree,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    SYSTEM_IDENTIFIER,
    control_text,
    upstream,
)

# The server's parser, as far as these tests need it: the number after the name in the file, or the default.
POSTGRES = """\
#!/bin/sh
[ "$1" != --version ] || { echo 'postgres (PostgreSQL) 15.20'; exit; }
file=${4#config_file=}
value=$(sed -n "s/^$2 = //p" "$file")
[ -n "$value" ] || case $2 in
max_connections) value=100 ;; max_wal_senders) value=10 ;; max_worker_processes) value=8 ;;
max_locks_per_transaction) value=64 ;; max_prepared_transactions) value=0 ;;
esac
echo "$value"
"""


ALL_WAL = WalProof(
    (Verdict("wal", "ok", "all is there"),),
    "000000010000000000000003",
    2,
    20 << 20,
    in_archive="000000010000000000000003",
)
NO_WAL = WalProof((problem("wal", Refusal("wal_missing", "It is gone.", "clone")),), "0" * 24, 2, 20 << 20)


@pytest.fixture
def world(monkeypatch):
    """What other servers say, for the tests that are not about them: tests of their own are."""
    asked = {}
    said = {"upstream": upstream(), "wal": ALL_WAL, "fetched": Verdict("restore_command", "ok", "fetched")}

    def fetch(command, *segment):
        asked["restore_command"] = command
        return said["fetched"]

    def prove(begin, *rest):
        asked["begin"] = begin
        return said["wal"]

    monkeypatch.setattr(_examination, "identify", lambda keywords: said["upstream"])
    monkeypatch.setattr(_wal, "fetch_one", fetch)
    monkeypatch.setattr(_wal, "prove", prove)
    monkeypatch.setattr(_host_state, "prove", prove)
    monkeypatch.setattr(_examination._compatibility_facts, "of_upstream", lambda *asked: ([], UpstreamFacts()))
    said["asked"] = asked
    return said


@pytest.fixture
def examine(host, world):
    host.program("postgres", POSTGRES)
    host.program("barman-wal-restore", "#!/bin/sh\n")

    def run(job=None, **changed):
        job = changed.pop("without_job", False) or job or host.job()
        request = Request(
            **{
                "job": None if job is True else job,
                "data_directory": str(host.pgdata),
                "state_directory": str(host.state),
                "overwrite": "never" if job is True else job.overwrite,
                "keywords": {"host": "primary", "application_name": "n1"},
                "restore_command": "barman-wal-restore barman pg %f %p",
                "bindir": str(host.programs),
                **changed,
            }
        )
        examination = Examination(request)
        examination.run()
        return examination

    return run


@pytest.fixture
def diverged(world, monkeypatch):
    """The upstream has left the history of the clusters here, and pg_rewind cannot help."""
    world["upstream"] = upstream(timeline=2, history=((1, 0x1741000),))
    monkeypatch.setattr(_host_state, "reasons_impossible", lambda *asked, **more: ["no checksums"])
    monkeypatch.setattr(_examination._backup, "upstream", lambda *asked: [])


def codes(examination):
    return sorted(str(verdict.error_code) for verdict in errors(examination.verdicts))


def test_an_empty_host_can_become_a_standby(host, examine):
    found = examine()
    assert codes(found) == []
    assert found.plan["action"] == "clone"
    assert found.plan["settings"] == {}
    assert found.plan["wal_to_replay"] == 0x5000000 - 0x3000028
    assert found.plan["upstream"]["system_identifier"] == SYSTEM_IDENTIFIER
    assert [item["location"] for item in found.plan["tablespaces"]] == [str(host.fast)]
    assert found.plan["bytes_to_copy"] == found.plan["bytes"] > 0


@pytest.mark.parametrize(("size", "found"), [(1 << 20, []), (1 << 60, ["space_missing"])], ids=["fits", "does not fit"])
@pytest.mark.parametrize("kind", [{"type": "incremental"}, {"encryption": "gpg"}], ids=["incremental", "encrypted"])
def test_what_has_to_be_staged_is_planned_without_its_files(host, examine, kind, size, found):
    shutil.rmtree(host.data)
    examined = examine(host.job(backup=host.backup(size=size, **kind)))
    assert codes(examined) == found
    assert examined.plan["staged"] is True
    assert examined.plan["bytes_to_copy"] == size
    assert [item["location"] for item in examined.plan["tablespaces"]] == [str(host.fast)]


def test_nothing_is_changed(host, examine):
    before = read_tree(host.root / "standby")
    examine()
    assert read_tree(host.root / "standby") == before
    assert not host.pgdata.exists()


def test_of_a_packed_backup_room_and_plan_are_those_of_its_files(host, examine):
    plain = examine().plan
    host.pack()
    found = examine()
    assert codes(found) == []
    assert found.plan["wal_to_replay"] == plain["wal_to_replay"]
    assert [found.plan[name] for name in ("files", "bytes")] == [plain[name] for name in ("files", "bytes")]
    [said] = [verdict.msg for verdict in found.verdicts if verdict.check == "configuration"]
    assert "postgresql.conf comes out of" in said
    elsewhere = host.root / "etc"
    write_tree(elsewhere, {"postgresql.conf": "port = 5432\n"})
    assert examine(config_directory=str(elsewhere)).plan["settings"] == {}


class TestFinishedCopy:
    """Ours, stopped, and on the upstream's timeline behind the upstream."""

    @pytest.fixture(autouse=True)
    def _finished(self, host):
        host.copy()

    def test_only_has_to_be_started(self, examine, world):
        found = examine()
        assert (codes(found), found.plan["action"]) == ([], "start")
        assert found.plan["wal_to_replay"] == 20 << 20
        assert world["asked"]["begin"] == (1, 0x3000028)  # what its label says: no server has been started on it yet

    def test_needs_no_backup_and_no_barman_for_that(self, examine):
        found = examine(without_job=True, no_backup=Refusal("ssh_refused", "Barman is down.", "start it"))
        assert (codes(found), found.plan["action"]) == ([], "start")

    def test_is_refused_when_the_wal_that_it_needs_is_gone(self, examine, world):
        world["wal"] = NO_WAL
        assert "wal_missing" in codes(examine())

    def test_is_brought_to_the_backup_with_consent(self, host, examine, world):
        world["wal"] = NO_WAL
        found = examine(host.job(overwrite="same_cluster", backup=host.second_backup()))
        assert found.decision.action == "delta"

    def test_of_a_history_that_the_upstream_left_is_refused(self, examine, world):
        world["upstream"] = upstream(timeline=2, history=((1, 0x1000000),))
        found = examine()
        assert "cluster_diverged" in codes(found)
        assert "overwrite=same_cluster" in " ".join(verdict.msg for verdict in errors(found.verdicts))

    def test_has_its_settings_raised_where_the_upstreams_are_higher(self, examine, world):
        world["upstream"] = upstream(settings={"max_connections": 500})
        assert examine().plan["settings"] == {"max_connections": "500"}


class TestWithoutBackup:
    def test_an_empty_host_is_told_why_there_is_none(self, examine):
        found = examine(without_job=True, no_backup=Refusal("ssh_refused", "Barman is down.", "start it"))
        assert (codes(found), found.plan["action"]) == (["ssh_refused"], "refuse")
        assert codes(examine(without_job=True)) == ["backup_missing"]

    def test_a_refusal_is_the_only_problem(self, host, examine):
        write_tree(host.pgdata, {"mine": ""})
        assert codes(examine(without_job=True)) == ["data_directory_foreign"]


def test_barmans_verdicts_are_told_apart(examine):
    found = examine(barman_checks=(CheckItem("postgresql", False, "", False), CheckItem("ssh", True, "", True)))
    assert codes(found) == []
    assert [verdict.severity for verdict in found.verdicts if verdict.check == "barman"] == ["warning"]
    assert codes(examine(barman_checks=(CheckItem("directories", False, "no such", True),))) == ["barman_check_failed"]


def test_wal_that_is_gone_is_a_problem(examine, world):
    world["wal"] = NO_WAL
    assert codes(examine()) == ["wal_missing"]


def test_the_restore_command_is_tried(examine, world):
    world["fetched"] = problem("restore_command", Refusal("restore_command_fails", "It fails.", "mend it"))
    assert codes(examine()) == ["restore_command_fails"]
    assert world["asked"]["restore_command"] == "barman-wal-restore barman pg %f %p"
    assert codes(examine(restore_command=None)) == []


def test_an_estimate_comes_with_the_rate_that_was_measured(host, examine, monkeypatch):
    assert examine().plan["seconds"] is None  # too little to measure by
    monkeypatch.setattr(_space_facts, "rate", lambda source, roots: 1000.0)
    plan = examine().plan
    assert plan["seconds"] == round(plan["bytes_to_copy"] / 1000, 1)


def test_both_rsyncs_are_asked_what_they_can_do(examine):
    [found] = [verdict for verdict in examine().verdicts if verdict.check == "rsync"]
    assert (found.severity, "none" in found.msg) == ("ok", True)


def test_what_a_copy_would_remove_is_named(host, examine):
    host.copy()
    write_tree(host.pgdata, {"base/9/stranger": "s"})
    assert examine().plan["removed"] == 0  # it is only started
    write_tree(host.pgdata, {"global/pg_control": control_text(system_identifier=1)})
    plan = examine(host.job(overwrite="always")).plan
    assert plan["action"] == "replace"
    assert plan["removed"] > len(plan["removed_names"]) == 20
    assert f"{host.pgdata}/base" in plan["removed_names"]


def test_what_would_be_overwritten_is_kept_on_request(host, examine):
    host.copy()
    write_tree(host.pgdata, {"global/pg_control": control_text(system_identifier=1)})
    found = examine(host.job(overwrite="always", keep_old=True))
    assert (codes(found), found.plan["action"]) == ([], "clone")
    assert found.plan["kept_old"] == [f"{host.pgdata}.old", f"{host.fast}.old"]
    assert (found.plan["removed"], found.plan["bytes_to_copy"]) == (0, found.plan["bytes"])
    (host.root / "standby" / "pgdata.old").mkdir()
    assert codes(examine(host.job(overwrite="always", keep_old=True))) == ["keep_old_exists"]


def interrupt(host):
    """What a copy leaves that was killed before its end: all but pg_control, which a server would need."""
    host.copy()
    (host.pgdata / "global/pg_control").unlink()
    host.change_record(phase="copying")


class TestResumedCopy:
    @pytest.fixture(autouse=True)
    def _interrupted(self, host):
        interrupt(host)

    def test_needs_nothing_of_what_is_finished(self, examine):
        found = examine()
        assert found.plan["action"] == "resume"
        # The copy has changed this one itself, at its end.
        assert found.plan["bytes_to_copy"] == len(DATA["postgresql.auto.conf"])

    @pytest.mark.parametrize(
        ("change", "needed"),
        [
            pytest.param(lambda host: (host.pgdata / "pg_xact/0000").unlink(), 8192, id="a file is missing"),
            pytest.param(lambda host: write_tree(host.pgdata, {"pg_xact/0000": "x" * 8000}), 8192, id="cut off"),
            pytest.param(lambda host: os.utime(host.pgdata / "pg_xact/0000"), 8192, id="not finished"),
            pytest.param(lambda host: (host.fast / next(iter(TABLESPACE))).unlink(), 50000, id="of a tablespace"),
            pytest.param(lambda host: write_tree(host.pgdata, {"stranger": "s" * 9999}), 0, id="a stranger"),
        ],
    )
    def test_needs_what_is_not_finished(self, host, examine, change, needed):
        before = examine().plan["bytes_to_copy"]
        change(host)
        assert examine().plan["bytes_to_copy"] - before == needed


class TestSpace:
    """What is written in place of something takes no space of its own."""

    @pytest.fixture
    def needed(self, examine, monkeypatch):
        """The bytes that a clone needs, of a file system with so many."""

        def ask(job=None, free=1 << 40):
            class Status:
                f_bavail, f_frsize = free, 1
                f_files = f_favail = 1 << 20
                f_flag = 0

            with monkeypatch.context() as patched:
                patched.setattr(_space_facts.os, "statvfs", lambda _path: Status)
                found = examine(job)
            [free_after] = found.plan["free_after"].values()
            return free - free_after, found

        return ask

    def test_for_a_new_clone_is_all_of_it(self, needed):
        size, found = needed()
        assert size == found.plan["bytes"] == found.plan["bytes_to_copy"]

    def test_to_resume_is_what_is_not_here(self, host, needed):
        interrupt(host)
        changed = len(DATA["postgresql.auto.conf"]) - (host.pgdata / "postgresql.auto.conf").stat().st_size
        assert needed()[0] == changed
        write_tree(host.pgdata, {"pg_xact/0000": "x" * 8000})
        assert needed()[0] == changed + 192

    def test_over_a_cluster_is_what_has_grown(self, host, needed, diverged):
        host.copy()
        write_tree(host.pgdata, {"base/1/1259": "r" * 8000, "base/1/2619": "s" * 90000})
        (host.pgdata / "pg_xact/0000").unlink()
        job = host.job(overwrite="same_cluster", backup=host.second_backup())
        changed = len(DATA["postgresql.auto.conf"]) - (host.pgdata / "postgresql.auto.conf").stat().st_size
        size, found = needed(job)
        assert (found.plan["action"], codes(found)) == ("delta", [])
        assert size == changed + 192 + 8192
        assert found.plan["bytes_to_copy"] == found.plan["bytes"]

    def test_that_is_missing_is_a_problem(self, host, needed, diverged):
        _size, found = needed(free=1000)
        assert codes(found) == ["space_missing"]
        host.copy()
        assert codes(needed(host.job(overwrite="same_cluster", backup=host.second_backup()), free=1 << 30)[1]) == []


class TestExistingCluster:
    def test_that_can_go_on_needs_the_programs(self, host, examine):
        host.copy()
        assert examine(overwrite="never").plan["action"] == "start"
        found = examine(bindir="/nowhere")
        assert (found.plan["action"], codes(found)) == ("refuse", ["postgresql_not_installed"])

    @pytest.mark.parametrize(
        ("overwrite", "action", "expected"),
        [("never", "refuse", ["cluster_diverged"]), ("same_cluster", "delta", [])],
    )
    def test_that_cannot_go_on_may_be_overwritten_if_that_is_wanted(
        self, host, examine, diverged, overwrite, action, expected
    ):
        host.copy()
        found = examine(host.job(overwrite=overwrite, backup=host.second_backup()))
        assert (found.plan["action"], codes(found)) == (action, expected)
        if action == "delta":
            assert "no pg_rewind: no checksums" in found.plan["reason"]

    def test_is_rewound_where_that_is_possible(self, host, examine, diverged, monkeypatch):
        host.copy()
        monkeypatch.setattr(_host_state, "reasons_impossible", lambda *asked, **more: [])
        write_tree(host.pgdata, {"postgresql.conf": "max_connections = 20\n"})
        found = examine(host.job(overwrite="same_cluster"))
        assert (found.plan["action"], codes(found)) == ("rewind", [])
        assert found.plan["settings"] == {"max_connections": "100"}

    @pytest.mark.parametrize(
        ("overwrite", "action", "expected"),
        [("same_cluster", "refuse", ["data_directory_cluster"]), ("always", "replace", [])],
    )
    def test_of_another_system_needs_more_consent(self, host, examine, overwrite, action, expected):
        host.copy()
        text = control_text(system_identifier=1)
        write_tree(host.pgdata, {"global/pg_control": text})
        found = examine(host.job(overwrite=overwrite))
        assert (found.plan["action"], codes(found)) == (action, expected)

    @pytest.mark.parametrize("overwrite", ["never", "same_cluster", "always"])
    def test_of_another_system_that_runs_may_not_go(self, host, examine, overwrite):
        host.copy()
        write_tree(host.pgdata, {"global/pg_control": control_text(system_identifier=1)})
        process = host.start("postgres", host.pgdata)
        try:
            found = examine(host.job(overwrite=overwrite))
        finally:
            process.communicate()
        assert "server_running" in codes(found)


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        pytest.param(
            lambda host: write_tree(host.pgdata, {"mine": ""}), ["data_directory_foreign"], id="foreign directory"
        ),
        pytest.param(lambda host: write_tree(host.fast, {"mine": ""}), ["target_not_empty"], id="tablespace in use"),
        pytest.param(lambda host: shutil.rmtree(host.tablespace), ["backup_files_missing"], id="tablespace missing"),
        pytest.param(
            lambda host: (host.data / "postgresql.conf").unlink(), ["configuration_missing"], id="no configuration"
        ),
        pytest.param(
            lambda host: (host.programs / "postgres").unlink(),
            ["configuration_invalid", "postgresql_not_installed"],
            id="no server",
        ),
        pytest.param(
            lambda host: host.hook("echo 'Connection refused' >&2; exit 255"), ["ssh_refused"], id="no Barman host"
        ),
    ],
)
def test_a_problem_is_told(host, examine, monkeypatch, break_it, expected):
    break_it(host)
    found = examine()
    assert codes(found) == expected
    assert found.plan["action"] == "refuse"


def test_that_wal_will_come_by_get_wal_is_no_problem(examine):
    found = examine(restore_note="barman-wal-restore is not installed here")
    assert codes(found) == []
    told = [verdict for verdict in found.verdicts if verdict.error_code == "barman_cli_missing"]
    assert [verdict.severity for verdict in told] == ["warning"]


def test_all_problems_are_told_at_once(host, examine, monkeypatch):
    monkeypatch.setattr(_examination, "identify", lambda keywords: upstream(system_identifier="1"))
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


@pytest.mark.parametrize(
    ("policy", "expected"), [("raise", []), ("refuse", ["hot_standby_settings"])], ids=["raised", "refused"]
)
def test_settings_below_the_primarys(host, examine, policy, expected):
    write_tree(host.data, {"postgresql.conf": "max_connections = 20\n"})
    found = examine(hot_standby_settings=policy)
    assert codes(found) == expected
    assert found.plan["settings"] == {"max_connections": "100"}


@pytest.mark.parametrize(
    ("present", "created", "expected"),
    [(True, False, []), (False, True, []), (False, False, ["configuration_missing"])],
    ids=["present", "to be created", "missing"],
)
def test_a_configuration_elsewhere(host, examine, present, created, expected):
    elsewhere = host.root / "etc"
    if present:
        write_tree(elsewhere, {"postgresql.conf": f"data_directory = {host.pgdata}\nmax_connections = 200\n"})
    assert codes(examine(config_directory=str(elsewhere), config_created=created)) == expected


@pytest.mark.parametrize(
    ("sets", "expected"),
    [("/var/lib/pgfleet-15-main/initdb", []), ("/srv/pgfleet/initdb", ["configuration_other_directory"])],
    ids=["that the role is about to finish", "of another cluster"],
)
def test_a_configuration_of_another_directory(host, examine, sets, expected):
    elsewhere = host.root / "etc"
    write_tree(elsewhere, {"postgresql.conf": f"data_directory = {sets}\nmax_connections = 200\n"})
    assert codes(examine(config_directory=str(elsewhere), config_created=True)) == expected


def test_an_upstream_that_does_not_answer(host, examine, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("PATH", f"{host.programs}:/usr/bin:/bin")
    found = examine(keywords={"host": "/nowhere"})
    assert codes(found) == ["upstream_unreachable"]
    assert "upstream" not in found.plan


class TestPgBasebackup:
    """The upstream itself is copied; Barman is not asked."""

    @pytest.fixture(autouse=True)
    def _told(self, host, monkeypatch):
        host.program("pg_basebackup", "#!/bin/sh\necho --checkpoint\n")
        files = ClusterFiles((Tablespace("fast", 16388, str(host.fast)),), 3 << 20, {16388: 1 << 20})
        monkeypatch.setattr(_basebackup_facts, "files_of", lambda keywords: files)

    @pytest.fixture
    def source(self, host):
        def job_of(backup):
            targets = {one.oid: one.location for one in backup.tablespaces}
            return replace(host.job(), backup=backup, targets=targets)

        return _basebackup_facts.UpstreamSource(job_of)

    def test_an_empty_host(self, host, examine, source):
        found = examine(without_job=True, basebackup=source, slot_name="n1", restore_command=None)
        assert codes(found) == []
        assert (found.plan["action"], found.plan["method"]) == ("clone", "pg_basebackup")
        assert found.plan["bytes"] == 3 << 20
        assert [item["bytes"] for item in found.plan["tablespaces"]] == [1 << 20]
        assert "WAL in Barman's archive" in found.plan["not_checked"]

    def test_what_differs_cannot_be_sent_alone(self, host, examine, world, source):
        host.copy()
        world["wal"] = NO_WAL
        found = examine(without_job=True, basebackup=source, overwrite="same_cluster")
        assert found.decision.action == "replace"

    def test_an_option_that_this_release_does_not_know(self, examine, source):
        found = examine(without_job=True, basebackup=replace(source, options=("--no-manifest",)))
        assert codes(found) == ["basebackup_option_refused"]

    def test_without_sql_tablespaces_and_room_are_unknown(self, examine, source, monkeypatch):
        monkeypatch.setattr(_basebackup_facts, "files_of", lambda keywords: "no pg_hba.conf entry")
        found = examine(without_job=True, basebackup=source)
        warned = {verdict.error_code for verdict in found.verdicts if verdict.severity == "warning"}
        assert codes(found) == []
        assert {"upstream_sql_denied", "space_unknown"} <= warned

    def test_an_upstream_that_is_down_is_one_problem(self, examine, source, monkeypatch):
        def identify(keywords):
            raise StandbyError(Refusal("upstream_unreachable", "It is down.", "start it"))

        monkeypatch.setattr(_examination, "identify", identify)
        assert codes(examine(without_job=True, basebackup=source)) == ["upstream_unreachable"]


class TestUpstreamNotAsked:
    @pytest.fixture(autouse=True)
    def _silent(self, monkeypatch):
        monkeypatch.setattr(_examination, "identify", None)  # whoever calls it fails

    def test_an_empty_host_with_what_is_not_proven(self, examine):
        found = examine(upstream_asked=False)
        assert codes(found) == []
        assert (found.plan["action"], found.plan.get("upstream")) == ("clone", None)
        assert found.plan["not_checked"] == list(NOT_CHECKED)
        assert [verdict.error_code for verdict in found.verdicts if verdict.check == "upstream"] == [
            "upstream_not_asked"
        ]

    def test_wal_has_to_come_from_the_archive(self, examine):
        assert codes(examine(upstream_asked=False, restore_command=None)) == ["wal_unproven"]

    def test_our_own_copy_is_started(self, host, examine):
        host.copy()
        found = examine(upstream_asked=False, without_job=True)
        assert (codes(found), found.plan["action"]) == ([], "start")
