# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import json
import os
import struct

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.crc32c import crc32c
from ansible_collections.pgfleet.standby.plugins.module_utils._model import MARK
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import inspect as _inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.marks import Marked
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.mounts import in_own_mounts, mount_tmpfs
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    BACKUP_ID,
    CONTROL_TEXT,
    SYSTEM_IDENTIFIER,
    noted,
)

CLUSTER = {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT}


def moved(note, device, inode):
    """The directories of a note as if they were others."""
    return {path: [root[0] + device, root[1] + inode] for path, root in note["roots"].items()}


def linked(mark):
    mark.rename(mark.parent.parent / "mark")
    mark.symlink_to(mark.parent.parent / "mark")


def record(pgdata, **changed):
    state = {"phase": "copying", "backup_id": BACKUP_ID, "data_directory": str(pgdata), **changed}
    write_tree(pgdata.parent / f".{pgdata.name}.standby", {"state.json": json.dumps(state)})


def unreadable(number):
    """An open of pg_control that fails."""

    def fail(path, *rest, **more):
        if str(path).endswith("pg_control"):
            raise OSError(number, os.strerror(number), path)
        return open(path, *rest, **more)

    return fail


def of_version(version):
    """A pg_control that says it is of that version of its format."""
    content = bytearray(CONTROL_TEXT.encode("utf-8", "surrogateescape"))
    struct.pack_into("<I", content, 8, version)
    struct.pack_into("<I", content, 296, crc32c(bytes(content[:296])))
    return content.decode("utf-8", "surrogateescape")


def marked(*places):
    """These directories as those of an unfinished copy."""
    marks = Marked.of("5f" * 16, {str(place): str(place) for place in places})
    marks.put()
    return marks.noted


class TestInspect:
    @pytest.mark.parametrize(
        ("files", "state"),
        [
            pytest.param({"lost+found/.keep": ""}, "empty", id="lost+found"),
            pytest.param({".snapshot/daily/x": "", ".zfs/snapshot/x": ""}, "empty", id="snapshots"),
            pytest.param({MARK: "left over"}, "empty", id="a mark"),
            pytest.param({"pg_wal/000000010000000000000001": ""}, "foreign", id="WAL"),
            pytest.param({"base/lost+found/x": ""}, "foreign", id="a directory with nothing in it"),
            pytest.param({"pg_wal/lost+found/x": "", "file": ""}, "foreign", id="a place for the WAL and a file"),
            pytest.param({"file": ""}, "foreign", id="a file"),
            pytest.param({".hidden": ""}, "foreign", id="a hidden file"),
            pytest.param({"lost+found/.keep": "", "file": ""}, "foreign", id="lost+found and a file"),
            pytest.param({"PG_VERSION": "15\n"}, "foreign", id="no pg_control"),
            pytest.param({"global/pg_control": CONTROL_TEXT}, "foreign", id="no PG_VERSION"),
            pytest.param({**CLUSTER, "PG_VERSION": "\n"}, "foreign", id="empty PG_VERSION"),
            pytest.param(CLUSTER, "cluster", id="cluster"),
            pytest.param({**CLUSTER, "recovery.signal": ""}, "cluster", id="in targeted recovery"),
            pytest.param({**CLUSTER, "standby.signal": ""}, "standby", id="standby"),
        ],
    )
    def test_by_contents(self, inspect, pgdata, files, state):
        write_tree(pgdata, files)
        found = inspect()
        assert (found.path, found.state) == (str(pgdata), state)
        assert (found.control is not None) == (state in ("cluster", "standby"))

    def test_empty_but_for_the_file_system_that_waits_for_the_wal(self, inspect, pgdata):
        def work():
            mount_tmpfs(pgdata / "pg_wal")
            return inspect().state

        assert in_own_mounts(work) == "empty"

    def test_a_link_for_the_wal_is_something(self, inspect, pgdata):
        (pgdata.parent / "wal").mkdir()
        pgdata.mkdir()
        (pgdata / "pg_wal").symlink_to(pgdata.parent / "wal")
        assert inspect().state == "foreign"

    def test_absent(self, inspect):
        assert inspect().state == "absent"

    def test_empty(self, inspect, pgdata):
        pgdata.mkdir()
        assert inspect().state == "empty"

    @pytest.mark.parametrize(
        ("files", "state", "changed"),
        [
            pytest.param({"base/1/1": ""}, "incomplete", {}, id="copying"),
            pytest.param(
                {"PG_VERSION": "15\n", "standby.signal": ""},
                "incomplete",
                {"phase": "committing"},
                id="all but pg_control",
            ),
            pytest.param({"base/1/1": ""}, "foreign", {"phase": "committed"}, id="finished but pg_control gone"),
            pytest.param({"base/1/1": ""}, "foreign", {"data_directory": "/elsewhere"}, id="of another directory"),
            pytest.param(CLUSTER, "cluster", {}, id="a cluster made since"),
            pytest.param(CLUSTER, "cluster", {"phase": "keeping"}, id="nothing renamed yet"),
            pytest.param(CLUSTER, "incomplete", {"phase": "rewinding"}, id="rewinding"),
            pytest.param({"PG_VERSION": "15\n", "base/1": ""}, "incomplete", {"phase": "rewinding"}, id="rewinding it"),
            pytest.param(
                CLUSTER, "cluster", {"phase": "rewinding", "data_directory": "/elsewhere"}, id="rewinding another"
            ),
            pytest.param(
                {**CLUSTER, "standby.signal": ""}, "standby", {"phase": "committing"}, id="committed, not recorded"
            ),
        ],
    )
    def test_with_the_record_of_a_copy(self, inspect, pgdata, files, state, changed):
        write_tree(pgdata, files)
        note = noted if changed.get("phase") in ("keeping", "rewinding") else marked
        record(pgdata, marked=note(pgdata), **changed)
        found = inspect()
        assert (found.state, found.clone["backup_id"]) == (state, BACKUP_ID)

    def test_an_empty_directory_that_a_copy_had_marked_is_its_own(self, inspect, pgdata):
        pgdata.mkdir()
        record(pgdata, marked=marked(pgdata))
        assert inspect().state == "incomplete"

    @pytest.mark.parametrize(
        ("change", "state"),
        [
            pytest.param(lambda top, note: None, "incomplete", id="the same"),
            pytest.param(lambda top, note: note.update(boot="b", roots=moved(note, 1, 0)), "incomplete", id="rebooted"),
            pytest.param(lambda top, note: note.update(boot="b", roots=moved(note, 0, 1)), "foreign", id="inode, boot"),
            pytest.param(lambda top, note: note.update(roots=moved(note, 0, 1)), "foreign", id="another inode"),
            pytest.param(lambda top, note: note.update(roots=moved(note, 1, 0)), "foreign", id="another device"),
            pytest.param(lambda top, note: note.update(roots={}), "foreign", id="not noted"),
            pytest.param(lambda top, note: note.clear(), "foreign", id="no note, as an earlier release has left it"),
            pytest.param(lambda top, note: (top / MARK).unlink(), "foreign", id="no mark"),
            pytest.param(lambda top, note: write_tree(top, {MARK: "another\n"}), "foreign", id="mark of another run"),
            pytest.param(lambda top, note: write_tree(top, {MARK: ""}), "foreign", id="empty mark"),
            pytest.param(lambda top, note: linked(top / MARK), "foreign", id="link to the mark"),
        ],
    )
    def test_an_unfinished_copy_is_known_by_its_mark_and_its_directory(self, inspect, pgdata, change, state):
        write_tree(pgdata, {"base/1/1": ""})
        note = marked(pgdata)
        change(pgdata, note)
        record(pgdata, marked=note)
        assert inspect().state == state

    @pytest.mark.parametrize("files", [CLUSTER, {"notes.txt": "mine"}], ids=["a cluster", "files"])
    def test_what_has_come_to_the_path_of_a_rewind_since_is_what_it_is(self, inspect, pgdata, files):
        pgdata.mkdir()
        note = noted(pgdata)
        pgdata.rename(pgdata.parent / "away")
        write_tree(pgdata, files)
        record(pgdata, phase="rewinding", marked=note)
        assert inspect().state == ("cluster" if files is CLUSTER else "foreign")

    def test_tells_what_pg_control_tells(self, inspect, pgdata):
        write_tree(pgdata, {**CLUSTER, "standby.signal": ""})
        found = inspect()
        assert (found.version, found.signals, found.running) == ("15", ("standby.signal",), False)
        assert found.control.system_identifier == SYSTEM_IDENTIFIER

    def test_of_an_interrupted_rewind_tells_what_pg_control_tells(self, inspect, pgdata):
        write_tree(pgdata, CLUSTER)
        record(pgdata, phase="rewinding")
        assert inspect().control.system_identifier == SYSTEM_IDENTIFIER

    @pytest.mark.parametrize("is_there", [True, False], ids=["empty", "gone"])
    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize("phase", ["copying", "keeping", "rewinding"])
    def test_of_a_directory_without_anything_is_incomplete_if_something_else_is_known(
        self, inspect, pgdata, phase, known, is_there
    ):
        """A tablespace that has the mark, or what was renamed aside, or a tablespace of a cluster being rewound."""
        fast, kept = pgdata.parent / "fast", pgdata.parent / "pgdata.old"
        for place in (fast, kept):
            place.mkdir()
        note = {"copying": marked, "keeping": noted, "rewinding": noted}[phase](kept if phase == "keeping" else fast)
        if phase == "keeping":
            note["roots"] = {str(pgdata): note["roots"][str(kept)]}
        record(pgdata, phase=phase, moves=[[str(pgdata), str(kept)]], marked=note if known else None)
        if is_there:
            pgdata.mkdir()
        assert inspect().state == ("incomplete" if known else "empty" if is_there else "absent")

    @pytest.mark.parametrize("files", [{}, CLUSTER], ids=["foreign", "cluster"])
    def test_changes_nothing(self, inspect, pgdata, files):
        write_tree(pgdata, {"file": "x", **files})
        before = read_tree(pgdata.parent)
        inspect()
        assert read_tree(pgdata.parent) == before

    def test_of_a_file_is_refused(self, inspect, pgdata):
        pgdata.write_text("x", encoding="utf-8")
        with pytest.raises(StandbyError, match="Not a directory") as refused:
            inspect()
        assert refused.value.code == "data_directory_invalid"

    def test_of_a_broken_cluster_tells_its_version_and_no_more(self, inspect, pgdata):
        write_tree(pgdata, {**CLUSTER, "global/pg_control": "garbage"})
        found = inspect()
        assert (found.state, found.version, found.control) == ("foreign", "15", None)

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
    def test_of_a_cluster_that_cannot_be_read_is_refused(self, inspect, pgdata, monkeypatch, number):
        """That is no damage: another user can, or another try."""
        write_tree(pgdata, CLUSTER)
        monkeypatch.setattr(_inspect, "open", unreadable(number), raising=False)
        with pytest.raises(StandbyError) as refused:
            inspect()
        assert refused.value.code == "control_data_unreadable"

    def test_of_a_cluster_whose_pg_control_changes_all_the_time_is_refused(self, inspect, pgdata, monkeypatch):
        write_tree(pgdata, CLUSTER)
        changing = (bytes([number]) * 8192 for number in range(100))
        monkeypatch.setattr(_inspect, "_control_bytes", lambda path: next(changing))
        monkeypatch.setattr(_inspect, "_CONTROL_PAUSE", 0)
        with pytest.raises(StandbyError, match="all the time"):
            inspect()

    @pytest.mark.parametrize(
        "files",
        [
            pytest.param({"global/pg_control": of_version(1900)}, id="the next release"),
            pytest.param({"global/pg_control": of_version(960)}, id="an old release"),
            pytest.param({"global/pg_control": of_version(0x14050000)}, id="another byte order"),
            pytest.param({"PG_VERSION": "19\n", "global/pg_control": "garbage"}, id="a release of unknown format"),
            pytest.param({"PG_VERSION": "9.6\n", "global/pg_control": "garbage"}, id="a release of another format"),
        ],
    )
    def test_of_a_cluster_that_may_be_whole_for_another_release_is_refused(self, inspect, pgdata, files):
        write_tree(pgdata, {**CLUSTER, **files})
        with pytest.raises(StandbyError) as refused:
            inspect()
        assert refused.value.code == "control_data_unknown"
        assert "left alone" in refused.value.msg

    @pytest.mark.parametrize(
        ("files", "version"),
        [
            ({"PG_VERSION": "15\n", "base/1/1": ""}, "15"),
            ({"PG_VERSION": "15\n", "global/1": ""}, "15"),
            ({"PG_VERSION": "15\n", "1259": "", "pg_filenode.map": ""}, None),
            ({"base/1/1": ""}, None),
        ],
        ids=["base", "global", "a database's directory", "no PG_VERSION"],
    )
    def test_of_something_without_pg_control_tells_whether_it_was_a_cluster(self, inspect, pgdata, files, version):
        write_tree(pgdata, files)
        found = inspect()
        assert (found.state, found.version) == ("foreign", version)

    @pytest.mark.parametrize("text", ["{", ""], ids=["cut off", "empty"])
    def test_of_a_broken_record_is_refused(self, inspect, pgdata, text):
        write_tree(pgdata.parent, {"pgdata/x": "", ".pgdata.standby/state.json": text})
        with pytest.raises(StandbyError) as refused:
            inspect()
        assert refused.value.code == "state_unreadable"
