# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy over a cluster that is not a basis for it: another one, or one that a rewind has left."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import begin as _begin
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import overwrite as _overwrite
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._methods import rsync as _rsync
from ansible_collections.pgfleet.standby.tests.copies.methods.whole_copy import (
    CONTROL,
    SIZE,
    SIZE_FAST,
    TABLE,
    assert_cannot_be_started,
    assert_copied,
    flip,
    refused,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    TABLESPACE,
    read_tree,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import noted


class TestReplace:
    """A cluster that goes as a whole: nothing of it is a basis for the new one."""

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda _top: None, id="another cluster"),
            pytest.param(lambda top: (top / CONTROL).unlink(), id="without pg_control"),
            pytest.param(lambda top: write_tree(top, {CONTROL: "garbage"}), id="with a damaged pg_control"),
            pytest.param(lambda top: shutil.rmtree(top / "global"), id="without global"),
        ],
    )
    def test_brings_all_of_the_backup(self, another, change):
        change(another.pgdata)
        write_tree(another.pgdata, {"base/1/4711": "x", "pg_wal/000000010000000000000009": "x"})
        write_tree(another.fast, {"PG_15_202209061/9/1": "x"})
        assert refused(another, overwrite="same_cluster").code.startswith("data_directory_")
        outcome = another.copy(overwrite="always")
        assert (outcome.action, outcome.sent) == ("replace", SIZE + SIZE_FAST)
        assert outcome.before.startswith("it holds a")
        assert_copied(another)

    def test_of_an_unused_cluster(self, another, monkeypatch):
        real = _overwrite.inspect_target
        monkeypatch.setattr(_begin, "inspect_target", lambda target: replace(real(target), state="pristine"))
        assert refused(another).code == "data_directory_pristine"
        assert another.copy(overwrite="pristine").action == "replace"
        assert_copied(another)

    def test_has_a_durable_end_of_pg_control_before_anything_else_goes(self, another, monkeypatch):
        write_tree(another.pgdata, {"stranger": "x"})
        seen = []

        def fsync_directory(path):
            there = [(another.pgdata / name).exists() for name in (CONTROL, "stranger", "PG_VERSION")]
            seen.append((path, another.record["phase"], there, bool(read_tree(another.fast))))

        monkeypatch.setattr(_begin, "fsync_directory", fsync_directory)
        another.copy(overwrite="always")
        assert seen == [(str(another.pgdata / "global"), "copying", [False, True, True], True)]

    @pytest.mark.parametrize("call", [1, 2])
    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_that_is_interrupted_is_resumed(self, another, monkeypatch, call, moment):
        clear, calls = _rsync._local_tree.clear, []

        def interrupted(root):
            calls.append(root)
            if moment == "after" or len(calls) < call:
                clear(root)
            if len(calls) == call:
                raise StandbyError(Refusal("interrupted", "ended", "run again"))

        with monkeypatch.context() as patched:
            patched.setattr(_rsync._local_tree, "clear", interrupted)
            assert refused(another, overwrite="always").code == "interrupted"
        assert_cannot_be_started(another)
        assert another.copy().action == "clone"
        assert_copied(another)

    def test_leaves_what_the_backup_does_not_use(self, another):
        outcome = another.copy(backup=another.backup(tablespaces=()), overwrite="always")
        assert (outcome.action, outcome.left_behind) == ("replace", (str(another.fast),))
        assert read_tree(another.fast) == TABLESPACE

    def test_is_refused_when_a_server_was_started_meanwhile(self, another, monkeypatch):
        before = read_tree(another.pgdata)
        real = _overwrite.inspect_target
        monkeypatch.setattr(_rsync, "inspect_target", lambda target: replace(real(target), pid=4711))
        assert refused(another, overwrite="always").code == "server_running"
        assert read_tree(another.pgdata) == before


@pytest.mark.parametrize("linked", [False, True])
def test_no_wal_that_was_fetched_ahead_outlives_the_cluster_that_it_was_for(used, tmp_path, linked):
    (tmp_path / "elsewhere").mkdir()
    spool = used.state / "spool"
    if linked:
        spool.symlink_to(tmp_path / "elsewhere")
    write_tree(spool, {"000000010000000000000004": "of the other cluster", ".tmp/x": ""})
    before = sorted((tmp_path / "elsewhere").iterdir())
    used.copy(**used.overwrite)
    assert list(spool.iterdir() if spool.is_dir() else ()) == []
    assert sorted((tmp_path / "elsewhere").iterdir()) == before


class TestRewinding:
    """A cluster that an interrupted pg_rewind has left is neither startable nor a copy of ours."""

    @pytest.fixture
    def rewinding(self, older):
        flip(older.pgdata / TABLE)
        older.change_record(phase="rewinding", marked=noted(older.pgdata, older.fast))
        return older

    @pytest.mark.parametrize("overwrite", ["never", "pristine", "same_cluster", "always"])
    def test_becomes_the_backup(self, rewinding, overwrite):
        outcome = rewinding.copy(overwrite=overwrite)
        assert (outcome.action, outcome.before) == (
            "delta",
            "it holds a cluster that an interrupted pg_rewind has left",
        )
        assert_copied(rewinding)

    def test_of_another_cluster_takes_consent(self, rewinding):
        rewinding.change_record(system_identifier="1")
        assert "overwrite=always" in refused(rewinding, overwrite="same_cluster").msg
        assert rewinding.copy(overwrite="always").action == "replace"
        assert_copied(rewinding)

    @pytest.mark.parametrize("gone", [CONTROL, "."])
    def test_may_have_lost_its_pg_control(self, rewinding, gone):
        place = rewinding.pgdata / gone
        place.unlink() if gone == CONTROL else shutil.rmtree(place)
        assert rewinding.copy().action == "delta"
        assert_copied(rewinding)
