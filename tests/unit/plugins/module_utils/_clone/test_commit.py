# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.remote_files import fetch
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import commit as _commit
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.commit import commit, empty_staging, finish
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    NOT_COPIED,
    PULLS,
    read_tree,
    text_of,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL_TEXT

CONTROL = "global/pg_control"
MODES = pytest.mark.parametrize(("file_mode", "directory_mode"), [(0o600, 0o700), (0o640, 0o750)])


@pytest.fixture(autouse=True)
def copied(host, tmp_path, monkeypatch):
    """All of the backup's files are here but pg_control."""
    files = {name: text for name, text in DATA.items() if name not in {*NOT_COPIED, CONTROL}}
    write_tree(host.pgdata, files)
    (host.pgdata / "pg_tblspc").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def finished(job):
    finish(job.target, job.backup.major, job.settings)


def commit_fetched(host, job, contents, record):
    """As a copy of a plain backup does it."""
    staging = empty_staging()
    fetch(host.source, str(host.data), [CONTROL], staging)
    commit(job.backup, job.target.data_directory, staging, contents, record)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


class TestFinish:
    def test_makes_links_to_the_tablespaces(self, host):
        finished(host.job())
        assert (host.pgdata / "pg_tblspc/16388").readlink() == host.fast

    def test_makes_a_standby_without_the_recovery_of_the_source(self, host):
        finished(host.job())
        assert "standby" in (host.pgdata / "standby.signal").read_text(encoding="utf-8")
        assert (host.pgdata / "postgresql.auto.conf").read_text(encoding="utf-8") == "work_mem = '8MB'\n"

    def test_what_the_backups_configuration_would_do_is_overruled_before_any_start(self, host):
        target = "recovery_target_time = '2020-01-01'\nrecovery_target_action = promote\n"
        write_tree(host.pgdata, {"postgresql.conf": "include_dir = 'more'\nport = 1\n", "more/a.conf": target})
        finished(host.job())
        text = (host.pgdata / "postgresql.auto.conf").read_text(encoding="utf-8")
        assert text == "work_mem = '8MB'\nrecovery_target_time = ''\n"

    def test_makes_settings_where_the_backup_has_none(self, host):
        (host.pgdata / "postgresql.auto.conf").unlink()
        finished(host.job())
        assert (host.pgdata / "postgresql.auto.conf").read_text(encoding="utf-8") == ""

    def test_leaves_the_wal_in_its_place_unless_another_is_wanted(self, host):
        before = read_tree(host.pgdata).keys()
        finished(host.job())
        assert read_tree(host.pgdata).keys() - before == {"pg_tblspc/16388", "standby.signal"}

    @pytest.mark.parametrize("exists", [False, True])
    def test_puts_the_wal_elsewhere(self, host, exists):
        wal = host.root / "standby" / "wal"
        if exists:
            (wal / "archive_status").mkdir(parents=True)
        finished(host.job(waldir=str(wal)))
        assert (host.pgdata / "pg_wal").readlink() == wal
        assert [path.name for path in wal.iterdir()] == ["archive_status"]

    @MODES
    def test_gives_the_group_the_access_that_it_has_already(self, host, file_mode, directory_mode):
        wal = host.root / "standby" / "wal"
        host.pgdata.chmod(directory_mode)
        (host.pgdata / "PG_VERSION").chmod(file_mode)
        finished(host.job(waldir=str(wal)))
        assert {mode_of(host.pgdata / name) for name in ("standby.signal", "postgresql.auto.conf")} == {file_mode}
        assert {mode_of(path) for path in (wal, wal / "archive_status")} == {directory_mode}


class TestCommit:
    @staticmethod
    def refused(host, contents=None, **changed):
        """Nothing is recorded, and there is no pg_control."""
        recorded = []
        with pytest.raises(StandbyError) as error:
            commit_fetched(host, host.job(**changed), contents, recorded.append)
        assert recorded == []
        assert not (host.pgdata / "global/pg_control").exists()
        return error.value

    @MODES
    def test_lets_a_complete_pg_control_appear_between_its_two_records(self, host, file_mode, directory_mode):
        (host.pgdata / "PG_VERSION").chmod(file_mode)
        moments = []

        def record(phase):
            found = {path.name: (text_of(path), mode_of(path)) for path in (host.pgdata / "global").glob("pg_control*")}
            moments.append((phase, found))

        commit_fetched(host, host.job(), None, record)
        complete = (CONTROL_TEXT, file_mode)
        assert moments == [("committing", {"pg_control.new": complete}), ("committed", {"pg_control": complete})]

    def test_makes_it_durable_before_it_appears_and_its_name_before_it_is_recorded(self, host, monkeypatch):
        events = []
        real = os.rename
        monkeypatch.setattr(os, "fsync", lambda handle: events.append(os.readlink(f"/proc/self/fd/{handle}")))
        monkeypatch.setattr(_commit.os, "rename", lambda *paths: events.append("rename") or real(*paths))
        commit_fetched(host, host.job(), None, events.append)
        top = f"{host.pgdata}/global"
        assert events == [f"{top}/pg_control.new", "committing", "rename", top, str(host.pgdata), "committed"]

    @pytest.mark.parametrize("there", [{}, {"control/global/pg_control": "of an earlier run", "control/more": "x"}])
    def test_leaves_no_staging_behind(self, host, tmp_path, there):
        write_tree(tmp_path / "work", there)
        commit_fetched(host, host.job(), None, lambda phase: None)
        assert read_tree(tmp_path / "work") == {}
        assert text_of(host.pgdata / CONTROL) == CONTROL_TEXT

    @pytest.mark.parametrize(
        ("changed", "said"),
        [({"system_identifier": "1"}, "system identifier"), ({"begin_lsn": "0/1"}, "begins at 0/3000028")],
    )
    def test_refuses_files_that_are_not_of_the_backup_in_the_catalogue(self, host, changed, said):
        error = self.refused(host, backup=host.backup(**changed))
        assert error.code == "backup_inconsistent"
        assert said in error.msg

    def test_takes_the_files_where_the_catalogue_says_nothing(self, host):
        commit_fetched(
            host, host.job(backup=host.backup(system_identifier=None, begin_lsn=None)), None, lambda phase: None
        )
        assert (host.pgdata / CONTROL).exists()

    def test_refuses_a_pg_control_that_cannot_be_read(self, host):
        write_tree(host.data, {CONTROL: "damaged"})
        assert self.refused(host).code == "control_data_unreadable"

    def test_refuses_a_pg_control_that_is_not_as_promised(self, host, tmp_path):
        class Contents:
            def require_control(self, staging):
                assert text_of(tmp_path / "work" / staging / CONTROL) == CONTROL_TEXT
                raise StandbyError(Refusal("manifest_mismatch", "not as promised", "run again"))

        assert self.refused(host, Contents()).code == "manifest_mismatch"

    def test_refuses_when_it_cannot_be_fetched(self, host):
        host.hook(f"case $command in {PULLS} echo 'Permission denied (publickey).' >&2; exit 255 ;; esac")
        assert self.refused(host).code == "ssh_auth"
