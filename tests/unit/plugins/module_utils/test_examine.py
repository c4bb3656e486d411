# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All verdicts at once, and the plan; the upstream is one that does not answer, or one that a test describes."""

from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _examine
from ansible_collections.pgfleet.standby.plugins.module_utils._examine import Examination, Wish
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import errors
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    TABLESPACE,
    read_tree,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    CONTROL_TEXT,
    SYSTEM_IDENTIFIER,
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


@pytest.fixture
def examine(host, monkeypatch):
    host.program("postgres", POSTGRES)
    host.program("barman-wal-restore", "#!/bin/sh\n")
    monkeypatch.setattr(_examine, "identify", lambda keywords: upstream())

    def run(job=None, **changed):
        wish = Wish(
            **{
                "job": job or host.job(),
                "keywords": {"host": "primary"},
                "config_directory": None,
                "config_created": False,
                "hot_standby_settings": "raise",
                "restore_command": "auto",
                **changed,
            }
        )
        examination = Examination(wish)
        examination.run()
        return examination

    return run


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


def test_nothing_is_changed(host, examine):
    before = read_tree(host.root / "standby")
    examine()
    assert read_tree(host.root / "standby") == before
    assert not host.pgdata.exists()


def test_a_finished_copy_needs_no_action(host, examine):
    host.copy()
    assert examine().plan["action"] == "none"


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

            with monkeypatch.context() as patched:
                patched.setattr(_examine.os, "statvfs", lambda _path: Status)
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

    def test_over_a_cluster_is_what_has_grown(self, host, needed):
        host.copy()
        write_tree(host.pgdata, {"base/1/1259": "r" * 8000, "base/1/2619": "s" * 90000})
        (host.pgdata / "pg_xact/0000").unlink()
        job = host.job(overwrite="same_cluster", backup=host.second_backup())
        changed = len(DATA["postgresql.auto.conf"]) - (host.pgdata / "postgresql.auto.conf").stat().st_size
        size, found = needed(job)
        assert (found.plan["action"], codes(found)) == ("delta", [])
        assert size == changed + 192 + 8192
        assert found.plan["bytes_to_copy"] == found.plan["bytes"]

    def test_that_is_missing_is_a_problem(self, host, needed):
        _size, found = needed(free=1000)
        assert codes(found) == ["space_missing"]
        host.copy()
        assert codes(needed(host.job(overwrite="same_cluster", backup=host.second_backup()), free=1 << 30)[1]) == []


class TestExistingCluster:
    @pytest.mark.parametrize(
        ("overwrite", "action", "expected"),
        [("never", "refuse", ["data_directory_cluster"]), ("same_cluster", "delta", [])],
    )
    def test_of_the_same_system_may_be_overwritten_if_that_is_wanted(self, host, examine, overwrite, action, expected):
        host.copy()
        found = examine(host.job(overwrite=overwrite, backup=host.second_backup()))
        assert (found.plan["action"], codes(found)) == (action, expected)

    def test_of_another_system_may_not(self, host, examine):
        host.copy()
        text = CONTROL_TEXT.replace(SYSTEM_IDENTIFIER, "1")
        write_tree(host.pgdata, {"global/pg_control": text})
        found = examine(host.job(overwrite="same_cluster"))
        assert (found.plan["action"], codes(found)) == ("refuse", ["data_directory_cluster"])

    def test_that_runs_may_not(self, host, examine):
        host.copy()
        process = host.start("postgres", host.pgdata)
        try:
            found = examine(host.job(overwrite="same_cluster", backup=host.second_backup()))
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
            lambda host: (host.programs / "barman-wal-restore").unlink(), ["barman_cli_missing"], id="no barman-cli"
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


def test_all_problems_are_told_at_once(host, examine, monkeypatch):
    monkeypatch.setattr(_examine, "identify", lambda keywords: upstream(system_identifier="1"))
    write_tree(host.pgdata, {"mine": ""})
    write_tree(host.fast, {"mine": ""})
    (host.programs / "barman-wal-restore").unlink()
    (host.data / "postgresql.conf").unlink()
    assert codes(examine(host.job(waldir=str(host.pgdata / "wal")))) == [
        "barman_cli_missing",
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


def test_an_upstream_that_does_not_answer(host, examine, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("PATH", f"{host.programs}:/usr/bin:/bin")
    found = examine(keywords={"host": "/nowhere"})
    assert codes(found) == ["upstream_unreachable"]
    assert "upstream" not in found.plan
