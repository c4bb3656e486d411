# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy as a whole, with the real rsync, on a small backup."""

from __future__ import annotations

import json
import os
import stat

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import clone, is_ours, judge, preview
from ansible_collections.pgfleet.standby.plugins.module_utils._clone_state import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._datadir import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    NOT_COPIED,
    TABLESPACE,
    read_tree,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import BACKUP_ID, CONTROL_TEXT

CONTROL = "global/pg_control"
COPIED = {name: text for name, text in DATA.items() if name not in NOT_COPIED}
SIZE = sum(len(text.encode()) for name, text in COPIED.items() if name != CONTROL)
SIZE_FAST = sum(len(text) for text in TABLESPACE.values())
# Fails the transfer of the file that comes last, after the others have arrived.
LOSE_A_FILE = "case $command in *--server*) rm -f {path} ;; esac"


def refused(job, run=clone):
    with pytest.raises(StandbyError) as error:
        run(job)
    return error.value


def found_in(host):
    return inspect(str(host.pgdata), str(host.programs), str(host.state))


def state_of(host):
    return json.loads((host.state / "state.json").read_text(encoding="utf-8"))


def change_state(host, **changed):
    (host.state / "state.json").write_text(json.dumps({**state_of(host), **changed}), encoding="utf-8")


def everything_below(top):
    """Names, texts and times; a lock's file is written by everybody who takes it."""
    texts = {name: text for name, text in read_tree(top).items() if not name.endswith("/lock")}
    return texts, {name: (top / name).lstat().st_mtime_ns for name in texts}


@pytest.fixture
def interrupted(host):
    """A copy that broke off because one file of the backup could not be read; the file is back."""
    lost = host.data / "pg_xact" / "0000"
    host.hook(LOSE_A_FILE.format(path=lost))
    assert refused(host.job()).code == "backup_files_missing"
    host.healthy()
    host.forget_calls()
    write_tree(host.data, {"pg_xact/0000": DATA["pg_xact/0000"]})
    return host


class TestWholeCopy:
    def test_brings_every_file_and_says_so(self, host):
        outcome = clone(host.job())
        assert (outcome.action, outcome.files) == ("clone", len(COPIED) + len(TABLESPACE))
        assert (outcome.bytes, outcome.sent, outcome.retries) == (SIZE + SIZE_FAST, SIZE + SIZE_FAST, 0)
        here = read_tree(host.pgdata)
        assert here.pop("standby.signal")
        assert here.pop("pg_tblspc/16388") == f"-> {host.fast}"
        assert here.pop("postgresql.auto.conf") == "work_mem = '8MB'\n"
        assert here == {name: text for name, text in COPIED.items() if name != "postgresql.auto.conf"}
        assert read_tree(host.fast) == TABLESPACE

    def test_makes_a_standby_that_is_ours(self, host):
        clone(host.job())
        found = found_in(host)
        assert (found.state, is_ours(found), found.version) == ("standby", True, "15")

    def test_makes_the_directories_that_were_empty(self, host):
        clone(host.job())
        for name in ("base/empty", "pg_notify", "pg_wal/archive_status", "pg_replslot"):
            assert (host.pgdata / name).is_dir()

    def test_is_private_and_keeps_times(self, host):
        clone(host.job())
        for top in (host.pgdata, host.fast, host.state):
            for path in [top, *top.rglob("*")]:
                if not path.is_symlink():
                    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert (host.pgdata / "base/1/1259").stat().st_mtime_ns == 1_700_000_000_123_456_789

    def test_goes_into_an_empty_mount_point(self, host):
        (host.pgdata / "lost+found").mkdir(parents=True)
        (host.fast / "lost+found").mkdir(parents=True)
        assert clone(host.job()).action == "clone"
        assert (host.pgdata / "lost+found").is_dir()

    def test_puts_the_wal_elsewhere(self, host):
        wal = host.root / "standby" / "wal"
        clone(host.job(waldir=str(wal)))
        assert (host.pgdata / "pg_wal").readlink() == wal
        assert (wal / "archive_status").is_dir()
        assert stat.S_IMODE(wal.stat().st_mode) == 0o700

    @pytest.mark.parametrize("jobs", [1, 5])
    def test_takes_any_number_of_workers(self, host, jobs):
        assert clone(host.job(jobs=jobs)).files == len(COPIED) + len(TABLESPACE)
        assert (host.pgdata / CONTROL).exists()

    def test_of_a_backup_without_tablespaces(self, host):
        assert clone(host.job(backup=host.backup(tablespaces=()))).files == len(COPIED)
        assert not host.fast.exists()

    def test_verifies_host_keys_on_every_connection(self, host):
        clone(host.job())
        connections = [call for call in host.calls() if call[0] != "-G"]
        assert len(connections) >= 4
        for call in connections:
            assert call[:6] == ["-T", "-x", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]


class TestSecondRun:
    def test_changes_nothing_and_copies_nothing(self, host):
        clone(host.job())
        before = everything_below(host.pgdata.parent)
        host.forget_calls()
        outcome = clone(host.job())
        assert (outcome.action, outcome.files, outcome.sent) == ("none", 0, 0)
        assert host.calls() == []
        assert everything_below(host.pgdata.parent) == before

    def test_of_another_backup_is_refused(self, host):
        clone(host.job())
        before = everything_below(host.pgdata.parent)
        assert refused(host.job(backup=host.second_backup())).code == "data_directory_cluster"
        assert everything_below(host.pgdata.parent) == before

    def test_records_a_commit_whose_record_was_lost(self, host):
        clone(host.job())
        change_state(host, phase="committing")
        assert clone(host.job()).action == "none"
        assert state_of(host)["phase"] == "committed"

    def test_while_another_one_runs_is_refused(self, host):
        host.state.mkdir()
        with Lock(str(host.state), 0):
            assert refused(host.job()).code == "clone_running"
        assert not host.pgdata.exists()


class TestPreview:
    def test_tells_the_truth_and_changes_nothing(self, host):
        told = preview(host.job(), found_in(host))
        assert not host.pgdata.exists()
        assert not host.state.exists()
        done = clone(host.job())
        assert (told.action, told.files, told.bytes) == (done.action, done.files, done.bytes)

    def test_of_a_finished_copy_is_nothing(self, host):
        clone(host.job())
        assert preview(host.job(), found_in(host)).action == "none"

    def test_of_an_interrupted_copy_is_to_resume(self, interrupted):
        assert preview(interrupted.job(), found_in(interrupted)).action == "resume"

    def test_refuses_what_the_copy_would_refuse(self, host):
        write_tree(host.fast, {"mine": "precious"})
        assert refused(host.job(), lambda job: preview(job, found_in(host))).code == "target_not_empty"


class TestInterruptedCopy:
    def test_cannot_be_started(self, interrupted):
        assert not (interrupted.pgdata / CONTROL).exists()
        assert found_in(interrupted).state == "incomplete"

    def test_resumes_and_sends_only_what_is_missing(self, interrupted):
        outcome = clone(interrupted.job())
        assert (outcome.action, outcome.sent) == ("resume", len(DATA["pg_xact/0000"]))
        assert (outcome.files, outcome.bytes) == (len(COPIED) + len(TABLESPACE), SIZE + SIZE_FAST)
        assert is_ours(found_in(interrupted))
        assert read_tree(interrupted.fast) == TABLESPACE

    def test_sends_a_file_of_another_size_or_time_again(self, interrupted):
        (interrupted.pgdata / "base/1/1259").write_text("short", encoding="utf-8")
        os.utime(interrupted.pgdata / "base/1/2619", ns=(1, 1))
        sent = sum(len(DATA[name]) for name in ("pg_xact/0000", "base/1/1259", "base/1/2619"))
        assert clone(interrupted.job()).sent == sent
        assert (interrupted.pgdata / "base/1/1259").read_text(encoding="utf-8") == DATA["base/1/1259"]

    def test_loses_what_is_no_part_of_the_backup(self, interrupted):
        elsewhere = interrupted.root / "elsewhere"
        write_tree(elsewhere, {"file": "precious"})
        planted = interrupted.pgdata / "base"
        write_tree(
            interrupted.pgdata, {"base/extra/file": "x", ".rsync.tmp": "x", "pg_wal/000000010000000000000009": "x"}
        )
        write_tree(interrupted.fast, {"extra": "x"})
        (planted / "link").symlink_to(elsewhere)
        os.mkfifo(planted / "fifo")
        clone(interrupted.job())
        names = read_tree(interrupted.pgdata).keys()
        assert names == COPIED.keys() | {"standby.signal", "pg_tblspc/16388"}
        assert read_tree(interrupted.fast) == TABLESPACE
        assert read_tree(elsewhere) == {"file": "precious"}

    @pytest.mark.parametrize("name", ["pg_xact", "base/1", "base"])
    def test_does_not_write_through_a_planted_directory_link(self, interrupted, name):
        elsewhere = interrupted.root / "elsewhere"
        (interrupted.pgdata / name).rename(elsewhere)
        before = read_tree(elsewhere)
        (interrupted.pgdata / name).symlink_to(elsewhere)
        clone(interrupted.job())
        assert read_tree(elsewhere) == before
        assert not (interrupted.pgdata / name).is_symlink()

    @pytest.mark.parametrize("link", ["hardlink_to", "symlink_to"])
    def test_does_not_write_through_a_planted_file_link(self, interrupted, link):
        precious = interrupted.root / "precious"
        precious.write_text("precious", encoding="utf-8")
        planted = interrupted.pgdata / "base/1/1259"
        planted.unlink()
        getattr(planted, link)(precious)
        clone(interrupted.job())
        assert precious.read_text(encoding="utf-8") == "precious"
        assert planted.read_text(encoding="utf-8") == DATA["base/1/1259"]

    def test_of_an_earlier_boot_is_compared_by_contents(self, interrupted):
        torn = interrupted.pgdata / "base/1/2619"
        torn.write_bytes(b"\0" * len(DATA["base/1/2619"]))
        os.utime(torn, ns=(1, 1_700_000_000_123_456_789))
        change_state(interrupted, boot_id="another")
        outcome = clone(interrupted.job())
        assert torn.read_text(encoding="utf-8") == DATA["base/1/2619"]
        assert outcome.action == "resume"

    def test_of_another_backup_starts_again(self, interrupted):
        other = interrupted.second_backup()
        outcome = clone(interrupted.job(backup=other))
        assert (outcome.action, outcome.sent) == ("clone", SIZE + SIZE_FAST)
        assert found_in(interrupted).clone["backup_id"] == other.backup_id

    def test_of_a_backup_that_has_changed_starts_again(self, interrupted):
        write_tree(interrupted.data, {"base/1/new": "new"})
        assert clone(interrupted.job()).action == "clone"

    def test_with_another_place_for_a_tablespace_starts_again(self, interrupted):
        other = interrupted.root / "standby" / "other"
        assert clone(interrupted.job(targets={16388: str(other)})).action == "clone"
        assert read_tree(other) == TABLESPACE

    def test_after_the_last_file_resumes_too(self, host):
        host.program("pg_controldata", "#!/bin/sh\nexit 1\n")
        assert refused(host.job()).code == "control_data_unreadable"
        assert (host.pgdata / "standby.signal").exists()
        assert not (host.pgdata / CONTROL).exists()
        host.program("pg_controldata", '#!/bin/sh\ncat "$2/global/pg_control"\n')
        outcome = clone(host.job())
        # What a standby has instead of the backup's own settings is not the backup's: it is sent once more.
        assert (outcome.action, outcome.sent) == ("resume", len(DATA["postgresql.auto.conf"]))
        assert is_ours(found_in(host))


class TestRefusals:
    """Whatever is refused: nothing was changed."""

    @pytest.fixture
    def untouched(self, host):
        write_tree(host.root / "standby", {"beside": "x"})
        yield
        assert not (host.pgdata / CONTROL).exists()

    @pytest.mark.parametrize(
        "files",
        [
            pytest.param({"notes.txt": "precious"}, id="somebody's files"),
            pytest.param({"PG_VERSION": "15\n", "base/1/1": "x"}, id="cluster without pg_control"),
            pytest.param({".hidden": "x"}, id="hidden file"),
        ],
    )
    def test_a_foreign_directory(self, host, untouched, files):
        write_tree(host.pgdata, files)
        assert refused(host.job()).code == "data_directory_foreign"
        assert read_tree(host.pgdata) == files

    def test_a_cluster(self, host):
        files = {"PG_VERSION": "15\n", CONTROL: CONTROL_TEXT}
        write_tree(host.pgdata, files)
        assert refused(host.job()).code == "data_directory_cluster"
        assert read_tree(host.pgdata) == files

    def test_a_standby_of_somebody_else(self, host):
        files = {"PG_VERSION": "15\n", CONTROL: CONTROL_TEXT, "standby.signal": ""}
        write_tree(host.pgdata, files)
        assert refused(host.job()).code == "data_directory_cluster"
        assert read_tree(host.pgdata) == files

    def test_a_cluster_beside_the_record_of_a_copy(self, interrupted):
        write_tree(interrupted.pgdata, {CONTROL: CONTROL_TEXT})
        before = read_tree(interrupted.pgdata)
        assert refused(interrupted.job()).code == "data_directory_cluster"
        assert read_tree(interrupted.pgdata) == before

    def test_the_record_of_a_copy_into_another_directory(self, interrupted):
        change_state(interrupted, data_directory="/elsewhere")
        before = read_tree(interrupted.pgdata)
        assert refused(interrupted.job()).code == "data_directory_foreign"
        assert read_tree(interrupted.pgdata) == before

    def test_a_tablespace_that_is_not_empty(self, host, untouched):
        write_tree(host.fast, {"mine": "precious"})
        assert refused(host.job()).code == "target_not_empty"
        assert read_tree(host.fast) == {"mine": "precious"}
        assert not host.pgdata.exists()
        assert not host.state.exists()

    def test_a_directory_for_the_wal_that_is_not_empty(self, host, untouched, tmp_path):
        write_tree(tmp_path / "wal", {"000000010000000000000009": "of another cluster"})
        assert refused(host.job(waldir=str(tmp_path / "wal"))).code == "target_not_empty"
        assert not host.pgdata.exists()

    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            pytest.param(lambda host: {"targets": {16388: f"{host.pgdata}/fast"}}, "path_overlap", id="one inside"),
            pytest.param(lambda host: {"waldir": f"{host.fast}/wal"}, "path_overlap", id="WAL in a tablespace"),
            pytest.param(lambda host: {"state_directory": f"{host.pgdata}/state"}, "path_overlap", id="record inside"),
            pytest.param(lambda host: {"data_directory": "/etc"}, "path_dangerous", id="a place of the system"),
        ],
    )
    def test_directories_that_are_in_each_others_way(self, host, untouched, changed, code):
        assert refused(host.job(**changed(host))).code == code
        assert not host.pgdata.exists()

    def test_a_link_to_a_place_of_the_system(self, host, untouched, tmp_path):
        (tmp_path / "link").symlink_to("/usr/lib")
        assert refused(host.job(data_directory=f"{tmp_path}/link/pg")).code == "path_dangerous"

    def test_a_host_without_rsync(self, host, untouched, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert refused(host.job()).code == "rsync_missing_local"
        assert not host.pgdata.exists()

    def test_a_backup_that_cannot_be_listed(self, host, untouched):
        assert refused(host.job(backup=host.backup(directory="/nowhere"))).code == "backup_files_missing"
        assert not host.pgdata.exists()

    def test_a_barman_host_that_cannot_be_reached(self, host, untouched):
        host.hook("echo 'Host key verification failed.' >&2; exit 255")
        assert refused(host.job()).code == "ssh_host_key"
        assert not host.pgdata.exists()

    def test_a_place_where_nothing_can_be_made(self, host):
        (host.root / "standby" / "fast").write_text("a file", encoding="utf-8")
        assert refused(host.job()).code == "directory_unreadable"
        assert not host.pgdata.exists()


class TestCommit:
    def test_comes_after_everything_else(self, host):
        """What there is when pg_control is looked at, which is right before it may appear."""
        seen = host.root / "seen"
        host.program(
            "pg_controldata",
            f'#!/bin/sh\ncp -a "{host.pgdata}" "{seen}"; cp -a "{host.state}" "{seen}"\ncat "$2/{CONTROL}"\n',
        )
        clone(host.job())
        assert read_tree(seen).keys() >= COPIED.keys() - {CONTROL} | {"standby.signal", "pg_tblspc/16388"}
        assert not (seen / CONTROL).exists()
        assert json.loads((seen / host.state.name / "state.json").read_text(encoding="utf-8"))["phase"] == "copying"

    def test_is_announced_before_the_first_file(self, host):
        host.hook(f'case $command in *--server*) [ -e "{host.state}/state.json" ] || exit 9 ;; esac')
        assert clone(host.job()).action == "clone"

    @pytest.mark.parametrize(
        ("changed", "said"),
        [({"system_identifier": "1"}, "system identifier"), ({"begin_lsn": "0/1"}, "begins at 0/3000028")],
    )
    def test_refuses_files_that_are_not_of_the_backup_in_the_catalogue(self, host, changed, said):
        error = refused(host.job(backup=host.backup(**changed)))
        assert error.code == "backup_inconsistent"
        assert said in error.msg
        assert not (host.pgdata / CONTROL).exists()

    def test_refuses_a_copy_that_differs(self, host):
        # The file arrives, but somebody writes into the directory while the copy runs.
        host.hook(f'case $command in *--server*) : >"{host.pgdata}/base/planted" ;; esac')
        error = refused(host.job())
        assert error.code == "verification_failed"
        assert error.result["differences"] == [f"{host.pgdata}/base/planted: not in the backup"]
        assert not (host.pgdata / CONTROL).exists()

    def test_leaves_no_staging_behind(self, host):
        clone(host.job())
        assert sorted(path.name for path in host.state.iterdir()) == ["lock", "state.json"]

    def test_records_what_was_copied(self, host):
        clone(host.job())
        state = state_of(host)
        assert (state["phase"], state["backup_id"], state["server"]) == ("committed", BACKUP_ID, "pg")
        assert (state["data_directory"], state["targets"]) == (str(host.pgdata), [str(host.fast)])


@pytest.mark.parametrize(
    ("found", "action"),
    [
        (DataDir("/srv/pg", "absent"), "copy"),
        (DataDir("/srv/pg", "empty"), "copy"),
        (DataDir("/srv/pg", "incomplete", clone={"backup_id": "x"}), "resume"),
    ],
    ids=lambda value: value.state if isinstance(value, DataDir) else "",
)
def test_what_a_directory_allows(host, found, action):
    assert judge(host.job(), found) == action


@pytest.mark.parametrize("state", ["cluster", "standby", "incomplete"])
def test_a_running_server_is_never_replaced(host, state):
    error = refused(host.job(), lambda job: judge(job, DataDir("/srv/pg", state, pid=4711)))
    assert error.code == "server_running"
    assert "4711" in error.msg
