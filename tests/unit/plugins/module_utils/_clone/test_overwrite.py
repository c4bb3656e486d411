# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a copy may touch what is there. Nothing here changes anything."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import overwrite as _overwrite
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import (
    inspect_target,
    preview,
    require_empty_targets,
    require_place,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import MARK, DataDir
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._clone.permits import (
    CLUSTER,
    CONTROL,
    LEVELS,
    permitted,
    refused,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    PULLS,
    TABLESPACE,
    read_tree,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    CONTROL_TEXT,
    RECORD,
    REWINDING,
    noted,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import data_directory as found


def replaced_by_a_copy(top):
    shutil.copytree(top, top.parent / "copy")
    top.rename(top.parent / "away")
    (top.parent / "copy").rename(top)


def require_empty(job, directory=None):
    require_empty_targets(job.backup, job.target, directory or inspect_target(job.target))


class TestTargets:
    """Where tablespaces and the WAL go has to be empty, or be what is replaced."""

    @pytest.fixture
    def wal(self, host):
        return host.root / "standby" / "wal"

    @pytest.fixture
    def job(self, host, wal):
        return host.job(waldir=str(wal), overwrite="same_cluster")

    @pytest.fixture
    def used(self, host, wal):
        """A cluster that uses both, as another program made it."""
        write_tree(host.pgdata, CLUSTER)
        write_tree(host.fast, TABLESPACE)
        write_tree(wal, {"000000010000000000000009": "x"})
        (host.pgdata / "pg_tblspc").mkdir()
        (host.pgdata / "pg_tblspc/4711").symlink_to(host.fast)
        (host.pgdata / "pg_wal").symlink_to(wal)

    @pytest.mark.parametrize("name", ["fast", "wal"])
    def test_that_hold_something_are_refused(self, host, job, name):
        write_tree(host.root / "standby" / name, {"mine": "precious"})
        error = refused(require_empty, job)
        assert error.code == "target_not_empty"
        assert str(host.root / "standby" / name) in error.msg

    def test_may_be_mount_points(self, host, job, wal):
        for top in (host.fast, wal):
            (top / "lost+found").mkdir(parents=True)
        require_empty(job)

    def test_of_the_cluster_that_is_replaced_may_be_used_again(self, job, used):
        require_empty(job)

    def test_are_known_by_any_name(self, host, used, tmp_path):
        (tmp_path / "alias").symlink_to(host.root / "standby")
        job = host.job(tablespaces={16388: str(tmp_path / "alias" / "fast")}, overwrite="same_cluster")
        require_empty(job)

    @pytest.mark.parametrize("files", [{"PG_14_202107181/5/1": "x"}, {"mine": "precious"}])
    def test_that_others_use_as_well_are_refused(self, host, job, used, files):
        """A cluster of another major version has a directory of its own in the same place."""
        write_tree(host.fast, files)
        assert refused(require_empty, job).code == "target_not_empty"

    @pytest.fixture
    def unfinished(self, host, wal):
        """A copy that ended before it had written anything into the data directory."""
        for top in (host.fast, wal):
            write_tree(top, {"x": "x"})
        write_tree(host.state, {"state.json": json.dumps({**RECORD, "phase": "copying"})})
        host.mark(host.fast, wal)
        return DataDir(str(host.pgdata), "incomplete", clone=host.record)

    def test_that_an_unfinished_copy_has_marked_as_its_own_may_hold_anything(self, job, unfinished):
        require_empty(job, unfinished)

    @pytest.mark.parametrize("name", ["fast", "wal"])
    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda top: (top / MARK).unlink(), id="without the mark"),
            pytest.param(lambda top: write_tree(top, {MARK: "another\n"}), id="with the mark of another run"),
            pytest.param(replaced_by_a_copy, id="another directory with the same files"),
        ],
    )
    def test_that_hold_something_else_than_the_unfinished_copy_are_refused(self, host, job, unfinished, change, name):
        change(host.root / "standby" / name)
        assert refused(require_empty, job, unfinished).code == "target_not_empty"

    def test_that_are_recorded_by_their_paths_alone_are_refused(self, host, job, unfinished, wal):
        record = {**unfinished.clone, "targets": [str(host.fast), str(wal)], "marked": None}
        assert refused(require_empty, job, dataclasses.replace(unfinished, clone=record)).code == "target_not_empty"

    def test_that_a_finished_copy_recorded_are_not_its_own_for_ever(self, host, job):
        """Its tablespace may be gone since, and the place be somebody else's."""
        write_tree(host.pgdata, CLUSTER)
        write_tree(host.fast, TABLESPACE)
        directory = dataclasses.replace(inspect_target(job.target), clone={**RECORD, "targets": [str(host.fast)]})
        assert refused(require_empty, job, directory).code == "target_not_empty"

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda host: (host.pgdata / CONTROL).unlink(), id="gone"),
            pytest.param(lambda host: (host.pgdata / CONTROL).write_text("x", encoding="utf-8"), id="unreadable"),
            pytest.param(
                lambda host: write_tree(host.state, {"state.json": json.dumps(rewinding(host))}), id="half rewound"
            ),
        ],
    )
    def test_of_a_damaged_cluster_may_be_used_again(self, host, job, used, change):
        host.state.mkdir()
        change(host)
        require_empty(job)

    def test_that_a_half_made_copy_only_links_to_are_refused(self, host, job, used):
        (host.pgdata / CONTROL).unlink()
        write_tree(host.state, {"state.json": json.dumps({**rewinding(host), "phase": "copying"})})
        host.mark(host.pgdata)
        assert refused(require_empty, job).code == "target_not_empty"

    def test_that_cannot_be_read_are_refused(self, host, job):
        host.fast.write_text("a file", encoding="utf-8")
        assert refused(require_empty, job).code == "directory_unreadable"


def rewinding(host):
    """The record of an interrupted pg_rewind."""
    return {**REWINDING, "data_directory": str(host.pgdata), "targets": [], "marked": noted(host.pgdata)}


class TestPermit:
    @pytest.mark.parametrize(
        ("directory", "action"),
        [
            (found("absent"), "clone"),
            (found("incomplete", record={"backup_id": "x"}), "resume"),
            (found("cluster"), "delta"),
            (found("pristine", "1"), "replace"),
            (found("incomplete", record=REWINDING), "delta"),
            (found("standby", record=RECORD), "none"),
        ],
        ids=lambda value: str(value) if not isinstance(value, DataDir) else "",
    )
    def test_says_what_a_copy_is(self, host, directory, action):
        assert permitted(host.job(overwrite="same_cluster"), directory).action == action

    def test_this_clone_is_copied_again_if_that_is_wanted(self, host):
        finished = found("standby", record=RECORD)
        assert permitted(host.job(overwrite="same_cluster", again=True), finished).action == "delta"
        assert refused(permitted, host.job(again=True), finished).code == "data_directory_cluster"

    @pytest.mark.parametrize(
        ("directory", "code", "words"),
        [
            (found("cluster"), "data_directory_cluster", ["/srv/pg is not empty: it holds a cluster", "=same_cluster"]),
            (found("foreign", entries=("deep",)), "data_directory_foreign", ["it holds deep", "no overwrite allows"]),
        ],
    )
    def test_is_refused_with_what_is_there_and_what_would_help(self, host, directory, code, words):
        error = refused(permitted, host.job(), directory)
        assert error.code == code
        assert [word for word in [*words, "Nothing was changed.", "Next: "] if word not in error.msg] == []

    @pytest.mark.parametrize("overwrite", LEVELS)
    @pytest.mark.parametrize("state", ["cluster", "standby", "incomplete", "pristine", "foreign"])
    def test_is_never_for_a_running_server(self, host, state, overwrite):
        running = found(state, record=RECORD, version="15", pid=4711)
        error = refused(permitted, host.job(overwrite=overwrite), running)
        assert error.code == "server_running"
        assert "4711" in error.msg

    @pytest.mark.parametrize("state", ["absent", "incomplete", "cluster"])
    def test_is_refused_for_targets_that_hold_something(self, host, state):
        write_tree(host.fast, {"mine": "precious"})
        error = refused(permitted, host.job(overwrite="same_cluster"), found(state, record={"backup_id": "x"}))
        assert error.code == "target_not_empty"

    def test_does_not_mind_the_targets_of_what_is_done(self, host):
        write_tree(host.fast, TABLESPACE)
        assert permitted(host.job(), found("standby", record=RECORD)).action == "none"


class TestLook:
    """What is in the data directory, with the record of an earlier copy beside it."""

    @pytest.fixture
    def interrupted(self, host):
        host.hook(f"case $command in {PULLS} rm -f {host.data}/pg_xact/0000 ;; esac")
        assert refused(host.copy).code == "backup_files_missing"
        host.healthy()
        return host

    @pytest.mark.parametrize(
        ("files", "state"),
        [
            ({"notes.txt": "precious"}, "foreign"),
            ({"PG_VERSION": "15\n", "base/1/1": "x"}, "foreign"),
            ({".hidden": "x"}, "foreign"),
            (CLUSTER, "cluster"),
            ({**CLUSTER, "standby.signal": ""}, "standby"),
        ],
    )
    def test_without_a_record(self, host, files, state):
        write_tree(host.pgdata, files)
        job = host.job()
        assert inspect_target(job.target).state == state
        assert refused(permitted, job).code.startswith("data_directory_")
        assert read_tree(host.pgdata) == files

    def test_an_interrupted_copy(self, interrupted):
        assert inspect_target(interrupted.job().target).state == "incomplete"

    def test_a_cluster_beside_the_record_of_an_interrupted_copy(self, interrupted):
        write_tree(interrupted.pgdata, {CONTROL: CONTROL_TEXT})
        assert refused(permitted, interrupted.job()).code == "data_directory_cluster"

    def test_the_record_of_a_copy_into_another_directory(self, interrupted):
        interrupted.change_record(data_directory="/elsewhere")
        assert refused(permitted, interrupted.job()).code == "data_directory_damaged"


class TestPreview:
    def test_tells_what_the_copy_will_do_and_changes_nothing(self, host):
        told = preview(host.job())
        assert not host.pgdata.exists()
        assert not host.state.exists()
        done = host.copy()
        assert (told.action, told.files, told.bytes, told.before) == (done.action, done.files, done.bytes, done.before)

    def test_of_a_finished_copy_is_nothing_and_asks_nobody(self, host):
        host.copy()
        host.forget_calls()
        told = preview(host.job())
        assert (told.action, told.files) == ("none", 0)
        assert "a standby of PostgreSQL 15" in told.before
        assert host.calls() == []

    @pytest.mark.parametrize(
        ("files", "changed", "code"),
        [
            ({"fast/mine": "precious"}, {}, "target_not_empty"),
            ({"pgdata/notes.txt": "precious"}, {}, "data_directory_foreign"),
            ({}, {"data_directory": "/etc"}, "path_dangerous"),
        ],
    )
    def test_refuses_what_the_copy_would_refuse(self, host, files, changed, code):
        write_tree(host.root / "standby", files)
        assert refused(preview, host.job(**changed)).code == code
        assert read_tree(host.root / "standby") == files


@pytest.mark.parametrize("work", [preview, permitted])
@pytest.mark.parametrize("files", [{}, CLUSTER])
def test_a_directory_of_another_user_is_refused_before_anything_is_begun(host, monkeypatch, work, files):
    host.pgdata.mkdir()
    write_tree(host.pgdata, files)
    monkeypatch.setattr(_overwrite.os, "geteuid", lambda: host.pgdata.stat().st_uid + 1)
    assert refused(work, host.job(overwrite="always")).code == "data_directory_owner"
    assert read_tree(host.pgdata) == files
    assert not host.state.exists()


class TestPlace:
    @pytest.mark.parametrize("name", ["lock", "runner"])
    def test_has_to_have_plain_files_for_locks(self, host, name):
        host.state.mkdir()
        (host.state / name).symlink_to(host.root / "precious")
        assert refused(preview, host.job()).code == "write_failed"
        assert not (host.root / "precious").exists()

    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            pytest.param(lambda host: {"tablespaces": {16388: f"{host.pgdata}/fast"}}, "path_overlap", id="one inside"),
            pytest.param(lambda host: {"waldir": f"{host.fast}/wal"}, "path_overlap", id="WAL in a tablespace"),
            pytest.param(lambda host: {"state_directory": f"{host.pgdata}/state"}, "path_overlap", id="record inside"),
            pytest.param(lambda host: {"data_directory": "/etc"}, "path_dangerous", id="a place of the system"),
            pytest.param(lambda host: {"data_directory": f"{host.root}/link/pg"}, "path_dangerous", id="by a link"),
            pytest.param(lambda host: {"waldir": f"{host.root}/link/wal"}, "path_dangerous", id="WAL by a link"),
        ],
    )
    def test_has_to_be_safe(self, host, changed, code):
        (host.root / "link").symlink_to("/usr/lib")
        assert refused(require_place, host.job(**changed(host)).target, "rsync").code == code

    def test_has_to_have_rsync(self, host, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert refused(require_place, host.job().target, "rsync").code == "rsync_missing_local"
