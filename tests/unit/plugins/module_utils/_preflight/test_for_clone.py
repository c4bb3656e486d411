# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only matters if a backup is copied."""

from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import space_facts as _space_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._model import CheckItem
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import problem
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._preflight.examining import (
    LEFT,
    NO_WAL,
    codes,
    interrupt,
    of_check,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import DATA, TABLESPACE, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.mounts import in_own_mounts, mount_tmpfs
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import control_text, upstream


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
            lambda host: host.hook("echo 'ssh: connect to host backup-host port 22: Connection refused' >&2; exit 255"),
            ["ssh_refused"],
            id="no Barman host",
        ),
    ],
)
def test_a_problem_is_told(host, examine, break_it, expected):
    break_it(host)
    examined = examine()
    assert codes(examined) == expected
    assert examined.plan["action"] == "refuse"


def test_what_a_copy_refuses_is_told_before_a_cluster_is_replaced(host, examine):
    host.copy()
    write_tree(host.pgdata, {"global/pg_control": control_text(system_identifier=1)})
    write_tree(host.fast, {"mine": ""})
    assert codes(examine(host.job(overwrite="always"))) == ["target_not_empty"]


def test_barmans_verdicts_are_told_apart(examine):
    examined = examine(barman_checks=(CheckItem("postgresql", False, "", False), CheckItem("ssh", True, "", True)))
    assert codes(examined) == []
    assert [verdict.severity for verdict in of_check(examined, "barman")] == ["warning"]
    assert codes(examine(barman_checks=(CheckItem("directories", False, "no such", True),))) == ["barman_check_failed"]


def test_both_rsyncs_are_asked_what_they_can_do(examine):
    [verdict] = of_check(examine(), "rsync")
    assert (verdict.severity, "none" in verdict.msg) == ("ok", True)


class TestWal:
    def test_that_is_gone_is_a_problem(self, examine, answers):
        answers.wal = NO_WAL
        assert codes(examine()) == ["wal_missing"]
        assert answers.asked["begin"] == (1, 0x3000028)

    def test_is_fetched_by_the_restore_command(self, examine, answers):
        answers.fetched = problem("restore_command", Refusal("restore_command_fails", "It fails.", "mend it"))
        assert codes(examine()) == ["restore_command_fails"]
        assert answers.asked["restore_command"] == "barman-wal-restore barman pg %f %p"
        assert codes(examine(restore_command=None)) == []


class TestPlan:
    @pytest.mark.parametrize(
        ("size", "expected"), [(1 << 20, []), (1 << 60, ["space_missing"])], ids=["fits", "does not fit"]
    )
    @pytest.mark.parametrize("kind", [{"type": "incremental"}, {"encryption": "gpg"}], ids=["incremental", "encrypted"])
    def test_what_has_to_be_staged_is_planned_without_its_files(self, host, examine, kind, size, expected):
        shutil.rmtree(host.data)
        examined = examine(host.job(backup=host.backup(size=size, **kind)))
        assert codes(examined) == expected
        assert examined.plan["staged"] is True
        assert examined.plan["bytes_to_copy"] == size
        assert [item["location"] for item in examined.plan["tablespaces"]] == [str(host.fast)]

    def test_of_a_packed_backup_is_that_of_its_files(self, host, examine):
        plain = examine().plan
        host.pack()
        examined = examine()
        assert codes(examined) == []
        assert examined.plan["wal_to_replay"] == plain["wal_to_replay"]
        assert [examined.plan[name] for name in ("files", "bytes")] == [plain[name] for name in ("files", "bytes")]
        [verdict] = of_check(examined, "configuration")
        assert "postgresql.conf comes out of" in verdict.msg
        elsewhere = host.root / "etc"
        write_tree(elsewhere, {"postgresql.conf": "port = 5432\n"})
        assert examine(config_directory=str(elsewhere)).plan["settings"] == {}

    def test_estimates_by_the_rate_that_was_measured(self, host, examine, answers):
        assert examine().plan["seconds"] is None  # too little to measure by
        answers.rate = 1000.0
        plan = examine().plan
        assert plan["seconds"] == round(plan["bytes_to_copy"] / 1000, 1)

    def test_names_what_a_copy_would_remove(self, host, examine):
        host.copy()
        write_tree(host.pgdata, {"base/9/stranger": "s"})
        assert examine().plan["removed"] == 0  # it is only started
        write_tree(host.pgdata, {"global/pg_control": control_text(system_identifier=1)})
        plan = examine(host.job(overwrite="always")).plan
        assert plan["action"] == "replace"
        assert plan["removed"] > len(plan["removed_names"]) == 20
        assert f"{host.pgdata}/base" in plan["removed_names"]


class TestResumedCopy:
    @pytest.fixture(autouse=True)
    def _interrupted(self, host):
        interrupt(host)

    def test_needs_nothing_of_what_is_finished(self, examine):
        examined = examine()
        assert examined.plan["action"] == "resume"
        # The copy has changed this one itself, at its end.
        assert examined.plan["bytes_to_copy"] == len(DATA["postgresql.auto.conf"])

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


def room_of(path):
    """What a file takes on its file system."""
    return path.stat().st_blocks * 512


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
                examined = examine(job)
            [free_after] = examined.plan["free_after"].values()
            return free - free_after, examined

        return ask

    @pytest.fixture
    def diverged(self, host, answers):
        """A job over a cluster whose history the upstream has left."""
        host.copy()
        answers.upstream = upstream(**LEFT)
        return host.job(overwrite="same_cluster", backup=host.second_backup(timeline=2))

    def test_for_a_new_clone_is_all_of_it(self, needed):
        size, examined = needed()
        assert size == examined.plan["bytes"] == examined.plan["bytes_to_copy"]

    def test_to_resume_is_what_is_not_here(self, host, needed):
        interrupt(host)
        changed = len(DATA["postgresql.auto.conf"]) - (host.pgdata / "postgresql.auto.conf").stat().st_size
        changed -= room_of(host.pgdata / "standby.signal")
        assert needed()[0] == changed
        write_tree(host.pgdata, {"pg_xact/0000": "x" * 8000})
        assert needed()[0] == changed + 192

    def test_over_a_cluster_is_what_has_grown(self, host, needed, diverged):
        write_tree(host.pgdata, {"base/1/1259": "r" * 8000, "base/1/2619": "s" * 90000})
        (host.pgdata / "pg_xact/0000").unlink()
        changed = len(DATA["postgresql.auto.conf"]) - (host.pgdata / "postgresql.auto.conf").stat().st_size
        changed -= room_of(host.pgdata / "standby.signal")
        size, examined = needed(diverged)
        assert (examined.plan["action"], codes(examined)) == ("delta", [])
        assert size == changed + 192 + 8192
        assert examined.plan["bytes_to_copy"] == examined.plan["bytes"]

    @pytest.mark.parametrize(
        ("name", "kind", "counts"),
        [
            pytest.param("base/1/99", "ext4", True, id="a file"),
            pytest.param("archive/daily/99", "xfs", True, id="a directory"),
            pytest.param("base/1/99", "zfs", False, id="a file that may stay in a snapshot"),
            pytest.param("base/1/99", "btrfs", False, id="a file that goes later"),
            pytest.param("twice", "ext4", False, id="a file with another name"),
        ],
    )
    def test_over_a_cluster_is_given_by_what_goes_if_that_is_sure(
        self, host, needed, diverged, monkeypatch, name, kind, counts
    ):
        monkeypatch.setattr(_space_facts, "file_system_of", lambda _path: "zfs")
        size, _examined = needed(diverged)
        write_tree(host.pgdata, {name: "x" * 1_000_000})
        if name == "twice":
            (host.root / "second name").hardlink_to(host.pgdata / name)
        monkeypatch.setattr(_space_facts, "file_system_of", lambda _path: kind)
        given = room_of(host.pgdata / name) + room_of(host.pgdata / "standby.signal")
        with_it, examined = needed(diverged)
        if name == "twice":
            given -= room_of(host.pgdata / name)
            counts = True
        assert with_it == (size - given if counts else size)
        assert codes(examined) == []

    def test_that_what_goes_gives_is_not_missing(self, host, needed, diverged):
        """One byte too few is free for the copy and for the WAL that replay brings."""
        size, examined = needed(diverged)
        free = size + min(examined.plan["wal_to_replay"], 1 << 30) - 1
        assert codes(needed(diverged, free=free)[1]) == ["space_missing"]
        write_tree(host.pgdata, {"base/1/99": "x" * 1_000_000})
        assert codes(needed(diverged, free=free)[1]) == []

    def test_that_is_missing_is_a_problem(self, needed):
        _size, examined = needed(free=1000)
        assert codes(examined) == ["space_missing"]

    def test_over_a_cluster_may_be_less_than_the_backup(self, needed, diverged):
        assert codes(needed(diverged, free=1 << 30)[1]) == []


class TestRemovals:
    """What a copy could not remove is told with all other problems, before anything changes."""

    @pytest.fixture
    def diverged(self, host, answers):
        host.copy()
        answers.upstream = upstream(**LEFT)
        return {"overwrite": "same_cluster", "backup": host.second_backup(timeline=2)}

    @pytest.mark.parametrize("method", ["rsync", "barman"])
    def test_across_the_border_of_a_file_system_are_a_problem(self, host, examine, diverged, method):
        def work():
            mount_tmpfs(host.pgdata / "dumps")
            return "mount_point_inside" in codes(examine(host.job(method=method, **diverged)))

        assert in_own_mounts(work)

    def test_of_what_is_on_the_wals_own_file_system_are_none(self, host, examine, diverged):
        def work():
            mount_tmpfs(host.pgdata / "pg_wal")
            return codes(examine(host.job(**diverged)))

        assert in_own_mounts(work) == []

    def test_of_a_link_to_the_wal_are_a_problem(self, host, examine, diverged):
        (host.pgdata / "pg_wal").rename(host.root / "wal")
        (host.pgdata / "pg_wal").symlink_to(host.root / "wal")
        assert codes(examine(host.job(**diverged))) == ["waldir_missing"]

    def test_are_none_where_everything_is_kept(self, host, examine, diverged):
        (host.pgdata / "pg_wal").rename(host.root / "wal")
        (host.pgdata / "pg_wal").symlink_to(host.root / "wal")
        assert codes(examine(host.job(keep_old=True, **diverged))) == []
