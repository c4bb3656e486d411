# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy is to do, and whether it may. Nothing here changes anything."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import (
    admit,
    inspect_target,
    may_copy,
    preview,
    require_empty_targets,
    require_place,
    to_keep,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.roots import count_files, plan
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData, DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import describe, is_ours
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    NOT_COPIED,
    PULLS,
    TABLESPACE,
    read_tree,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    BACKUP_ID,
    CONTROL_TEXT,
    SYSTEM_IDENTIFIER,
)

CONTROL = "global/pg_control"
CLUSTER = {"PG_VERSION": "15\n", CONTROL: CONTROL_TEXT}
IDENTIFIER = f"system identifier {SYSTEM_IDENTIFIER}"
RECORD = {
    "phase": "committed",
    "backup_id": BACKUP_ID,
    "data_directory": "/srv/pg",
    "system_identifier": SYSTEM_IDENTIFIER,
}
REWINDING = {**RECORD, "phase": "rewinding"}
LEVELS = ("never", "pristine", "same_cluster", "always")


def refused(work, *given):
    with pytest.raises(StandbyError) as error:
        work(*given)
    return error.value


def found(state, system_identifier=SYSTEM_IDENTIFIER, record=None, **changed):
    """A data directory, with a cluster in it unless the state says otherwise."""
    control = ControlData(system_identifier, "shut down", 1, "0/3000060", 8192, 16 << 20, True)
    with_cluster = {"version": "15", "control": control} if state in ("standby", "cluster", "pristine") else {}
    return DataDir("/srv/pg", state, clone=record, **{**with_cluster, **changed})


class TestJob:
    @pytest.mark.parametrize(
        ("changed", "names"),
        [
            ({}, {"tablespace 16388"}),
            ({"waldir": "/srv/wal"}, {"tablespace 16388", "waldir"}),
            ({"state_directory": "/srv/state"}, {"tablespace 16388", "state_directory"}),
            ({"targets": {}}, set()),
        ],
    )
    def test_names_what_is_written_beside_the_data_directory(self, host, changed, names):
        assert host.job(**changed).other_places.keys() == names

    @pytest.mark.parametrize(
        ("changed", "is_another"),
        [
            ({"targets": {16388: "/srv/other"}}, True),
            ({"waldir": "/srv/wal"}, True),
            ({"data_directory": "/srv/pg"}, True),
            ({"jobs": 7, "verify": "none", "bwlimit": 1, "compress": "none"}, False),
        ],
    )
    def test_is_told_from_another_by_what_goes_where(self, host, changed, is_another):
        assert (host.job(**changed).identity != host.job().identity) is is_another

    def test_is_told_from_one_of_another_backup(self, host):
        other = dataclasses.replace(host.backup(), server="other")
        assert host.job(backup=host.second_backup()).identity != host.job().identity
        assert host.job(backup=other).identity != host.job().identity


class TestPlan:
    def test_is_all_of_the_backup(self, host):
        roots = plan(host.job())
        assert [(root.oid, root.target) for root in roots] == [(None, str(host.pgdata)), (16388, str(host.fast))]
        assert count_files(roots) == len(DATA) - len(NOT_COPIED) + len(TABLESPACE)
        assert "pg_wal/archive_status" in roots[0].directories

    def test_has_no_directory_for_a_wal_that_is_elsewhere(self, host):
        data, _fast = plan(host.job(waldir="/srv/wal"))
        assert [path for path in data.directories if path.startswith("pg_wal")] == []
        assert "pg_tblspc" in data.directories


class TestJudge:
    @pytest.mark.parametrize(
        ("directory", "overwrite", "action"),
        [
            pytest.param(found("absent"), "never", "copy", id="absent"),
            pytest.param(found("empty"), "never", "copy", id="empty"),
            pytest.param(found("incomplete", record={"backup_id": "x"}), "never", "resume", id="incomplete"),
            pytest.param(found("standby", record=RECORD), "never", "done", id="this clone"),
            pytest.param(found("standby", record=RECORD), "same_cluster", "done", id="this clone, may be overwritten"),
            pytest.param(
                found("standby", record={**RECORD, "backup_id": "x"}), "same_cluster", "delta", id="an older clone"
            ),
            pytest.param(found("cluster"), "same_cluster", "delta", id="the same cluster"),
            pytest.param(found("standby"), "same_cluster", "delta", id="a standby of it"),
        ],
    )
    def test_allows(self, host, directory, overwrite, action):
        assert admit(host.job(overwrite=overwrite), directory) == action

    def test_this_clone_is_copied_again_if_that_is_wanted(self, host):
        finished = found("standby", record=RECORD)
        assert admit(host.job(overwrite="same_cluster", again=True), finished) == "delta"
        with pytest.raises(StandbyError, match="same_cluster"):
            admit(host.job(again=True), finished)

    # What is there, the lowest level that allows to overwrite it, what is done then, and the code of a refusal.
    CONSENTS = (
        pytest.param(found("foreign", entries=("notes.txt",)), None, "", "data_directory_foreign", id="files"),
        pytest.param(found("pristine", "1"), "pristine", "replace", "data_directory_pristine", id="unused"),
        pytest.param(found("cluster"), "same_cluster", "delta", "data_directory_cluster", id="the same cluster"),
        pytest.param(found("standby"), "same_cluster", "delta", "data_directory_cluster", id="a standby of it"),
        pytest.param(found("cluster", "1"), "always", "replace", "data_directory_cluster", id="another cluster"),
        pytest.param(found("standby", "1"), "always", "replace", "data_directory_cluster", id="a standby of another"),
        pytest.param(
            found("standby", "1", RECORD), "always", "replace", "data_directory_cluster", id="another by our record"
        ),
        pytest.param(found("foreign", version="15"), "always", "replace", "data_directory_damaged", id="damaged"),
        pytest.param(found("incomplete", record=REWINDING), "never", "delta", "", id="half rewound"),
        pytest.param(
            found("incomplete", record={**REWINDING, "system_identifier": "1"}, version="15"),
            "always",
            "replace",
            "data_directory_cluster",
            id="another, half rewound",
        ),
    )

    @pytest.mark.parametrize("overwrite", LEVELS)
    @pytest.mark.parametrize(("directory", "level", "action", "code"), CONSENTS)
    def test_takes_consent(self, host, directory, level, action, code, overwrite):
        job = host.job(overwrite=overwrite)
        if level is not None and LEVELS.index(overwrite) >= LEVELS.index(level):
            assert admit(job, directory) == action
            return
        error = refused(admit, job, directory)
        assert error.code == code
        assert "Nothing was changed" in error.msg
        named = [word for word in LEVELS if f"overwrite={word}" in error.msg]
        assert named == ([level] if level else [])
        assert ("no overwrite allows" in error.msg) is (level is None)

    def test_takes_nothing_for_the_same_cluster_when_it_does_not_know_the_backups(self, host):
        job = host.job(backup=host.backup(system_identifier=None), overwrite="same_cluster")
        for directory in (found("cluster"), found("incomplete", record={**REWINDING, "system_identifier": None})):
            assert "overwrite=always" in refused(admit, job, directory).msg

    @pytest.mark.parametrize("overwrite", LEVELS)
    @pytest.mark.parametrize("state", ["cluster", "standby", "incomplete", "pristine", "foreign"])
    def test_never_replaces_a_running_server(self, host, state, overwrite):
        error = refused(admit, host.job(overwrite=overwrite), found(state, record=RECORD, version="15", pid=4711))
        assert error.code == "server_running"
        assert "4711" in error.msg


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        pytest.param(found("standby", record=RECORD), True, id="committed"),
        pytest.param(found("standby", record={**RECORD, "phase": "committing"}), True, id="the record was lost"),
        pytest.param(found("standby", record={**RECORD, "system_identifier": None}), True, id="identifier unknown"),
        pytest.param(found("standby", record={**RECORD, "phase": "copying"}), False, id="copying"),
        pytest.param(found("standby", record={**RECORD, "data_directory": "/x"}), False, id="of another directory"),
        pytest.param(found("standby", record={**RECORD, "system_identifier": "1"}), False, id="another cluster"),
        pytest.param(found("standby"), False, id="no record"),
        pytest.param(found("cluster", record=RECORD), False, id="promoted"),
        pytest.param(found("incomplete", record=RECORD), False, id="incomplete"),
    ],
)
def test_what_is_a_standby_of_ours(directory, expected):
    assert is_ours(directory) is expected


@pytest.mark.parametrize(
    ("directory", "words"),
    [
        (found("absent"), "it is absent"),
        (found("empty"), "it is empty"),
        (found("incomplete", record={"backup_id": "b1"}), "it holds an unfinished copy of backup b1"),
        (found("incomplete", record=REWINDING), "it holds a cluster that an interrupted pg_rewind has left"),
        (
            found("foreign", version="15", entries=("base",)),
            "it holds a damaged cluster of PostgreSQL 15, without a global/pg_control that can be read",
        ),
        (found("pristine", "7"), "it holds an unused cluster of PostgreSQL 15 with system identifier 7"),
        (found("foreign", entries=("a", "b")), "it holds a, b"),
        (found("foreign", entries=tuple("abcdef")), "it holds a, b, c, d, e, ..."),
        (found("standby", "7"), "it holds a standby of PostgreSQL 15 with system identifier 7"),
        (
            found("cluster", "7", pid=9),
            "it holds a cluster of PostgreSQL 15 with system identifier 7, running as pid 9",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_directory_in_words(directory, words):
    assert describe(directory) == words


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
        error = refused(require_empty_targets, job, inspect_target(job))
        assert error.code == "target_not_empty"
        assert str(host.root / "standby" / name) in error.msg

    def test_may_be_mount_points(self, host, job, wal):
        for top in (host.fast, wal):
            (top / "lost+found").mkdir(parents=True)
        require_empty_targets(job, inspect_target(job))

    def test_of_the_cluster_that_is_replaced_may_be_used_again(self, job, used):
        require_empty_targets(job, inspect_target(job))

    def test_are_known_by_any_name(self, host, used, tmp_path):
        (tmp_path / "alias").symlink_to(host.root / "standby")
        job = host.job(targets={16388: str(tmp_path / "alias" / "fast")}, overwrite="same_cluster")
        require_empty_targets(job, inspect_target(job))

    @pytest.mark.parametrize("files", [{"PG_14_202107181/5/1": "x"}, {"mine": "precious"}])
    def test_that_others_use_as_well_are_refused(self, host, job, used, files):
        """A cluster of another major version has a directory of its own in the same place."""
        write_tree(host.fast, files)
        assert refused(require_empty_targets, job, inspect_target(job)).code == "target_not_empty"

    def test_that_an_unfinished_copy_recorded_as_its_own_may_hold_anything(self, host, job, wal):
        for top in (host.fast, wal):
            write_tree(top, {"x": "x"})
        record = {"targets": [str(host.fast), str(wal)]}
        require_empty_targets(job, DataDir(str(host.pgdata), "incomplete", clone=record))

    def test_that_a_finished_copy_recorded_are_not_its_own_for_ever(self, host, job):
        """Its tablespace may be gone since, and the place be somebody else's."""
        write_tree(host.pgdata, CLUSTER)
        write_tree(host.fast, TABLESPACE)
        directory = dataclasses.replace(inspect_target(job), clone={**RECORD, "targets": [str(host.fast)]})
        assert refused(require_empty_targets, job, directory).code == "target_not_empty"

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
        require_empty_targets(job, inspect_target(job))

    def test_that_a_half_made_copy_only_links_to_are_refused(self, host, job, used):
        (host.pgdata / CONTROL).unlink()
        write_tree(host.state, {"state.json": json.dumps({**rewinding(host), "phase": "copying"})})
        assert refused(require_empty_targets, job, inspect_target(job)).code == "target_not_empty"

    def test_that_cannot_be_read_are_refused(self, host, job):
        host.fast.write_text("a file", encoding="utf-8")
        assert refused(require_empty_targets, job, inspect_target(job)).code == "directory_unreadable"


def rewinding(host):
    """The record of an interrupted pg_rewind."""
    return {**REWINDING, "data_directory": str(host.pgdata), "targets": []}


class TestMayCopy:
    @pytest.mark.parametrize(
        ("directory", "action"),
        [
            (found("absent"), "clone"),
            (found("incomplete", record={"backup_id": "x"}), "resume"),
            (found("cluster"), "delta"),
            (found("pristine", "1"), "replace"),
            (found("incomplete", record=REWINDING), "delta"),
            (found("standby", record=RECORD), None),
        ],
        ids=lambda value: str(value) if not isinstance(value, DataDir) else "",
    )
    def test_says_what_a_copy_would_be(self, host, directory, action):
        assert may_copy(host.job(overwrite="same_cluster"), directory) == action

    @pytest.mark.parametrize("state", ["absent", "incomplete", "cluster"])
    def test_refuses_targets_that_hold_something(self, host, state):
        write_tree(host.fast, {"mine": "precious"})
        error = refused(may_copy, host.job(overwrite="same_cluster"), found(state, record={"backup_id": "x"}))
        assert error.code == "target_not_empty"

    def test_does_not_mind_the_targets_of_what_is_done(self, host):
        write_tree(host.fast, TABLESPACE)
        assert may_copy(host.job(), found("standby", record=RECORD)) is None


class TestKeeping:
    """With keep_old a copy over a cluster is one into an empty directory."""

    @pytest.fixture
    def cluster(self, host):
        write_tree(host.pgdata, CLUSTER)
        write_tree(host.fast, TABLESPACE)
        (host.pgdata / "pg_tblspc").mkdir()
        (host.pgdata / "pg_tblspc/4711").symlink_to(host.fast)
        return host

    @pytest.mark.parametrize("overwrite", ["same_cluster", "always"])
    def test_names_what_will_be_renamed(self, cluster, overwrite):
        job = cluster.job(overwrite=overwrite, keep_old=True)
        before = read_tree(cluster.root / "standby")
        told = preview(job)
        assert (told.action, told.kept_old) == ("clone", (f"{cluster.pgdata}.old", f"{cluster.fast}.old"))
        assert read_tree(cluster.root / "standby") == before

    def test_of_what_is_not_wanted_renames_nothing(self, cluster):
        told = preview(cluster.job(overwrite="same_cluster"))
        assert (told.action, told.kept_old) == ("delta", ())

    @pytest.mark.parametrize(
        "directory",
        [
            found("absent"),
            found("empty"),
            found("incomplete", record={"backup_id": "x"}),
            found("standby", record=RECORD),
        ],
        ids=["absent", "empty", "incomplete", "done"],
    )
    def test_is_not_for_what_is_not_overwritten(self, host, directory):
        assert to_keep(host.job(keep_old=True), directory) is None

    def test_of_a_half_rewound_cluster_that_is_gone_is_nothing(self, host):
        assert to_keep(host.job(keep_old=True), found("incomplete", record=REWINDING)) is None

    def test_needs_consent_all_the_same(self, cluster):
        job = cluster.job(keep_old=True)
        assert refused(may_copy, job, inspect_target(job)).code == "data_directory_cluster"

    def test_is_refused_with_all_reasons(self, cluster):
        for place in (cluster.pgdata, cluster.fast):
            write_tree(place.parent / f"{place.name}.old", {"precious": "x"})
        job = cluster.job(overwrite="same_cluster", keep_old=True)
        error = refused(preview, job)
        assert (error.code, error.result["error_codes"]) == ("keep_old_exists", ["keep_old_exists"] * 2)
        for words in ("Nothing was changed", "(1)", "(2)", f"{cluster.pgdata}.old", f"{cluster.fast}.old", "Next:"):
            assert words in error.msg

    @pytest.mark.parametrize("name", ["pgdata.old", "pgdata.old/fast", "fast.old"])
    def test_is_refused_where_the_copy_would_write(self, cluster, name):
        changed = {"targets": {16388: str(cluster.fast)}, "waldir": str(cluster.root / "standby" / name)}
        job = cluster.job(overwrite="same_cluster", keep_old=True, **changed)
        assert refused(may_copy, job, inspect_target(job)).code == "path_overlap"


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
        assert inspect_target(job).state == state
        assert refused(admit, job, inspect_target(job)).code.startswith("data_directory_")
        assert read_tree(host.pgdata) == files

    def test_an_interrupted_copy(self, interrupted):
        assert inspect_target(interrupted.job()).state == "incomplete"

    def test_a_cluster_beside_the_record_of_an_interrupted_copy(self, interrupted):
        write_tree(interrupted.pgdata, {CONTROL: CONTROL_TEXT})
        assert refused(admit, interrupted.job(), inspect_target(interrupted.job())).code == "data_directory_cluster"

    def test_the_record_of_a_copy_into_another_directory(self, interrupted):
        interrupted.change_record(data_directory="/elsewhere")
        assert refused(admit, interrupted.job(), inspect_target(interrupted.job())).code == "data_directory_damaged"


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


class TestPlace:
    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            pytest.param(lambda host: {"targets": {16388: f"{host.pgdata}/fast"}}, "path_overlap", id="one inside"),
            pytest.param(lambda host: {"waldir": f"{host.fast}/wal"}, "path_overlap", id="WAL in a tablespace"),
            pytest.param(lambda host: {"state_directory": f"{host.pgdata}/state"}, "path_overlap", id="record inside"),
            pytest.param(lambda host: {"data_directory": "/etc"}, "path_dangerous", id="a place of the system"),
            pytest.param(lambda host: {"data_directory": f"{host.root}/link/pg"}, "path_dangerous", id="by a link"),
            pytest.param(lambda host: {"waldir": f"{host.root}/link/wal"}, "path_dangerous", id="WAL by a link"),
        ],
    )
    def test_has_to_be_safe(self, host, changed, code):
        (host.root / "link").symlink_to("/usr/lib")
        assert refused(require_place, host.job(**changed(host))).code == code

    def test_has_to_have_rsync(self, host, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert refused(require_place, host.job()).code == "rsync_missing_local"
