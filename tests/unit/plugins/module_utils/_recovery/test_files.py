# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import ClassVar

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import MASK
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.files import apply, compare
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree

WANTED = {"primary_conninfo": "host=primary user=replicator", "recovery_target_timeline": "latest"}
WRITTEN = "primary_conninfo = 'host=primary user=replicator'\nrecovery_target_timeline = 'latest'\n"


@pytest.fixture
def pgdata(tmp_path):
    write_tree(
        tmp_path, {"standby.signal": "", "postgresql.auto.conf": "work_mem = 1\n", "postgresql.conf": "port = 1\n"}
    )
    return tmp_path


def run(pgdata, own_configuration=True, major=15):
    change = compare(str(pgdata), WANTED, own_configuration, major)
    apply(str(pgdata), change)
    return change


def test_writes_the_settings_and_nothing_else(pgdata):
    assert run(pgdata).files == ["postgresql.auto.conf"]
    assert read_tree(pgdata) == {
        "standby.signal": "",
        "postgresql.auto.conf": f"work_mem = 1\n{WRITTEN}",
        "postgresql.conf": "port = 1\n",
    }


def test_a_second_run_changes_nothing(pgdata):
    run(pgdata)
    change = run(pgdata)
    assert (change.files, change.settings, change.before, change.after) == ([], [], {}, {})


def test_comparing_changes_nothing(pgdata):
    (pgdata / "standby.signal").unlink()
    before = read_tree(pgdata)
    compare(str(pgdata), WANTED, own_configuration=True, major=15)
    assert read_tree(pgdata) == before


def test_settings_of_the_source_go(pgdata):
    write_tree(pgdata, {"postgresql.auto.conf": "recovery_target_xid = '7'\nprimary_conninfo = 'host=old'\n"})
    change = run(pgdata)
    assert change.settings == ["primary_conninfo", "recovery_target_timeline", "recovery_target_xid"]
    assert change.before == {"primary_conninfo": "host=old", "recovery_target_xid": "7"}
    assert read_tree(pgdata)["postgresql.auto.conf"] == WRITTEN


def test_a_value_written_otherwise_is_no_change(pgdata):
    text = f"RECOVERY_TARGET_TIMELINE = latest\n{WRITTEN.splitlines()[0]} # mine\n"
    write_tree(pgdata, {"postgresql.auto.conf": text})
    assert run(pgdata).files == []


def test_a_missing_signal_is_made(pgdata):
    (pgdata / "standby.signal").unlink()
    assert run(pgdata).files == ["postgresql.auto.conf", "standby.signal"]
    assert (pgdata / "standby.signal").exists()


@pytest.mark.parametrize("name", ["recovery.signal", "recovery.conf"])
def test_what_would_make_it_a_primary_goes(pgdata, name):
    write_tree(pgdata, {name: ""})
    assert name in run(pgdata).files
    assert not (pgdata / name).exists()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_file_that_is_changed_keeps_its_mode(pgdata, mode):
    write_tree(pgdata, {"postgresql.conf": "include 'a.inc'\n", "a.inc": "hba_file = '/nowhere/hba'\n"})
    (pgdata / "a.inc").chmod(mode)
    (pgdata / "postgresql.auto.conf").chmod(mode)
    assert run(pgdata).files == ["a.inc", "postgresql.auto.conf"]
    assert (pgdata / "a.inc").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    ("directory", "before", "after"),
    [(0o700, 0o644, 0o600), (0o700, 0o640, 0o600), (0o750, 0o644, 0o640), (0o750, 0o600, 0o600)],
)
def test_what_may_tell_how_to_log_in_is_as_private_as_its_directory(pgdata, directory, before, after):
    pgdata.chmod(directory)
    (pgdata / "postgresql.auto.conf").chmod(before)
    run(pgdata)
    assert (pgdata / "postgresql.auto.conf").stat().st_mode & 0o777 == after


@pytest.mark.parametrize(("own", "files"), [(True, ["postgresql.conf"]), (False, [])], ids=["here", "elsewhere"])
def test_a_copied_configuration_is_made_one_of_this_host(pgdata, own, files):
    run(pgdata)
    text = "hba_file = '/etc/postgresql/15/nowhere/pg_hba.conf'\r\nport = 1\r\n"
    (pgdata / "postgresql.conf").write_bytes(text.encode())
    assert run(pgdata, own).files == files
    assert (pgdata / "postgresql.conf").read_bytes().decode() == ("#(other host) " if own else "") + text


def test_without_any_file_all_are_made(tmp_path):
    assert run(tmp_path).files == ["postgresql.auto.conf", "standby.signal"]
    assert read_tree(tmp_path)["postgresql.auto.conf"] == WRITTEN


def test_secrets_are_not_told(pgdata):
    write_tree(pgdata, {"postgresql.auto.conf": "primary_conninfo = 'host=old password=Geh3im'\n"})
    change = compare(str(pgdata), WANTED, own_configuration=True, major=15)
    assert f"password={MASK}" in change.before["primary_conninfo"]
    assert "Geh3im" not in f"{change.before}{change.after}{change.settings}"


class TestBefore12:
    """The settings are in recovery.conf, and the server's own stay where they are."""

    WANTED: ClassVar = {**WANTED, "hot_standby_feedback": "on"}

    @pytest.fixture
    def pgdata(self, tmp_path):
        write_tree(tmp_path, {"postgresql.auto.conf": "work_mem = 1\n"})
        return tmp_path

    def run(self, pgdata):
        change = compare(str(pgdata), self.WANTED, own_configuration=False, major=11)
        apply(str(pgdata), change)
        return change

    def test_the_two_files(self, pgdata):
        change = self.run(pgdata)
        assert change.files == ["postgresql.auto.conf", "recovery.conf"]
        assert read_tree(pgdata) == {
            "postgresql.auto.conf": "work_mem = 1\nhot_standby_feedback = 'on'\n",
            "recovery.conf": f"standby_mode = 'on'\n{WRITTEN}",
        }
        assert change.settings == [
            "hot_standby_feedback", "primary_conninfo", "recovery_target_timeline", "standby_mode"
        ]  # fmt: skip
        assert self.run(pgdata).files == []

    def test_what_the_source_left_there_goes(self, pgdata):
        write_tree(pgdata, {"recovery.conf": "# kept\nrecovery_target_time = 'x'\ntrigger_file = '/t'\n"})
        self.run(pgdata)
        assert read_tree(pgdata)["recovery.conf"] == f"# kept\nstandby_mode = 'on'\n{WRITTEN}"
