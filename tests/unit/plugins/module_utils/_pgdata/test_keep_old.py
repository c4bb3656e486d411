# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the way is renamed aside, whole and usable, or nothing is touched."""

from __future__ import annotations

import itertools
import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _files
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.keep_old import (
    KeepOldPlan,
    KeptPlace,
    observe,
    plan_keep_old,
    recorded_keep_old,
    rename_aside,
    still_to_keep,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import noted

DATA = KeptPlace("/srv/pg")
FAST = KeptPlace("/ts/fast")
LINKS = {"pg_tblspc/1": "/ts/fast", "pg_tblspc/2": "/ts/other", "pg_wal": "/wal"}


def refused(work, *given):
    with pytest.raises(StandbyError) as error:
        work(*given)
    return error.value


class TestPlan:
    def test_renames_the_data_directory_first(self):
        planned = plan_keep_old([DATA, FAST], LINKS, ["/srv/pg", "/ts/fast"])
        assert planned.moves == (("/srv/pg", "/srv/pg.old"), ("/ts/fast", "/ts/fast.old"))
        assert planned.kept == ("/srv/pg.old", "/ts/fast.old")

    def test_changes_only_the_links_to_what_is_renamed(self):
        assert plan_keep_old([DATA, FAST], LINKS, []).links == {"pg_tblspc/1": "/ts/fast.old"}

    @pytest.mark.parametrize(
        ("target", "anew"),
        [
            ("/srv/pg/tablespaces/a", {"x": "/srv/pg.old/tablespaces/a"}),
            ("/ts/fast/below", {"x": "/ts/fast.old/below"}),
            ("/srv/pg2", {}),
            ("/ts/fast.old", {}),
        ],
    )
    def test_knows_places_inside_of_others(self, target, anew):
        assert plan_keep_old([DATA, FAST], {"x": target}, []).links == anew

    def test_lets_no_link_lead_to_what_will_be_the_copys(self):
        """Also one that leads to nothing now."""
        planned = plan_keep_old([DATA, KeptPlace("/ts/fast", exists=False, writable=False)], LINKS, [])
        assert (planned.kept, planned.links) == (("/srv/pg.old",), {"pg_tblspc/1": "/ts/fast.old"})

    @pytest.mark.parametrize(
        ("place", "code", "words"),
        [
            (KeptPlace("/srv/pg", mount_points=("/srv/pg",)), "keep_old_mount_point", "/srv/pg is a mount point"),
            (
                KeptPlace("/srv/pg", mount_points=("/srv/pg/pg_wal",)),
                "keep_old_mount_point",
                "/srv/pg/pg_wal is a mount",
            ),
            (KeptPlace("/srv/pg", writable=False), "keep_old_parent", "its parent directory"),
            (KeptPlace("/srv/pg", taken=True), "keep_old_exists", "/srv/pg.old, which exists already"),
        ],
    )
    def test_is_refused_where_it_cannot_be(self, place, code, words):
        error = refused(plan_keep_old, [place], {}, [])
        assert (error.code, error.result["error_codes"]) == (code, [code])
        for part in ("Nothing was changed", "/srv/pg cannot be kept as /srv/pg.old", words, "Next:"):
            assert part in error.msg

    def test_is_refused_with_all_reasons_at_once(self):
        places = [KeptPlace("/srv/pg", writable=False, taken=True), KeptPlace("/ts/fast", mount_points=("/ts/fast",))]
        error = refused(plan_keep_old, places, {}, [])
        codes = ["keep_old_parent", "keep_old_exists", "keep_old_mount_point"]
        assert (error.code, error.result["error_codes"]) == (codes[0], codes)
        assert "3 problems: (1) " in error.msg
        assert " (3) /ts/fast" in error.msg

    @pytest.mark.parametrize("written", ["/srv/pg.old", "/srv/pg.old/wal", "/ts/fast.old"])
    def test_is_refused_where_the_copy_writes(self, written):
        error = refused(plan_keep_old, [DATA, FAST], {}, ["/srv/pg", "/ts/fast", written])
        assert error.code == "path_overlap"
        assert written in error.msg


def test_a_record_is_read_back():
    keep_plan = plan_keep_old([DATA, FAST], LINKS, [])
    assert recorded_keep_old({"phase": "keeping", **keep_plan.record}) == keep_plan


@pytest.mark.parametrize("phase", ["copying", "committing", "committed", "rewinding"])
def test_a_record_counts_only_while_it_is_at_it(phase):
    assert recorded_keep_old({"phase": phase, **plan_keep_old([DATA], {}, []).record}) is None
    assert recorded_keep_old({}) is None


class TestStillToKeep:
    """What a run had begun to rename is known by its directories, not by their paths."""

    @pytest.fixture
    def begun(self, tmp_path):
        """The first of two directories has been renamed, and a new one made in its place."""
        for name in ("pg", "fast"):
            (tmp_path / name).mkdir()
        keep_plan = KeepOldPlan(tuple((f"{tmp_path}/{name}", f"{tmp_path}/{name}.old") for name in ("pg", "fast")))
        state = {"phase": "keeping", **keep_plan.record, "marked": noted(tmp_path / "pg", tmp_path / "fast")}
        (tmp_path / "pg").rename(tmp_path / "pg.old")
        (tmp_path / "pg").mkdir()
        return state

    def test_is_all_of_it(self, begun):
        keep_plan = recorded_keep_old(begun)
        assert still_to_keep(keep_plan, begun) == keep_plan

    def test_is_not_what_has_come_to_a_path_since(self, begun, tmp_path):
        (tmp_path / "fast").rename(tmp_path / "gone")
        write_tree(tmp_path / "fast", {"theirs": "precious"})
        assert [source for source, _target in still_to_keep(recorded_keep_old(begun), begun).moves] == [
            f"{tmp_path}/pg"
        ]

    def test_is_nothing_that_only_a_path_tells_of(self, begun):
        assert still_to_keep(recorded_keep_old(begun), {**begun, "marked": None}).moves == ()


@pytest.fixture
def top(tmp_path):
    """A cluster with two tablespaces and its WAL elsewhere."""
    write_tree(tmp_path, {"pg/PG_VERSION": "15\n", "fast/PG_15/1": "f", "other/PG_15/2": "o", "wal/1": "w"})
    (tmp_path / "pg/pg_tblspc").mkdir()
    (tmp_path / "pg/pg_tblspc/1").symlink_to(tmp_path / "fast")
    (tmp_path / "pg/pg_tblspc/2").symlink_to(tmp_path / "other")
    (tmp_path / "pg/pg_wal").symlink_to("../wal")
    return tmp_path


@pytest.fixture
def whole(top):
    """It, when it has been kept, and the empty places for the copy."""
    return {
        "pg.old/PG_VERSION": "15\n",
        "pg.old/pg_tblspc/1": f"-> {top}/fast.old",
        "pg.old/pg_tblspc/2": f"-> {top}/other",
        "pg.old/pg_wal": f"-> {top}/wal.old",
        "fast.old/PG_15/1": "f",
        "other/PG_15/2": "o",
        "wal.old/1": "w",
    }


def planned(top):
    return plan_keep_old(*observe(str(top / "pg"), [str(top / "fast"), str(top / "wal"), str(top / "new")]), [])


class TestObserve:
    def test_sees_what_the_cluster_uses_of_what_is_wanted(self, top):
        places, links = observe(str(top / "pg"), [str(top / "fast"), str(top / "new")])
        assert places == [KeptPlace(str(top / "pg")), KeptPlace(str(top / "fast"))]
        assert links == {"pg_tblspc/1": f"{top}/fast", "pg_tblspc/2": f"{top}/other", "pg_wal": f"{top}/wal"}

    def test_sees_through_links(self, top):
        (top / "alias").symlink_to(top)
        places, _links = observe(str(top / "alias/pg"), [str(top / "alias/fast")])
        assert [place.path for place in places] == [str(top / "pg"), str(top / "fast")]

    @pytest.mark.parametrize("make", ["mkdir", "symlink"])
    def test_sees_what_has_the_name_already(self, top, make):
        (top / "pg.old").mkdir() if make == "mkdir" else (top / "pg.old").symlink_to("nowhere")
        assert observe(str(top / "pg"), [])[0][0].taken

    def test_sees_mount_points_at_it_and_below(self, top, monkeypatch):
        lines = [f"1 1 0:1 / {top}/{name} rw - ext4 x rw" for name in ("pg", r"pg/two\040words", "pg2", "fast/x")]
        monkeypatch.setattr(_files, "read_small", lambda _path: "\n".join(lines))
        places, _links = observe(str(top / "pg"), [str(top / "fast")])
        assert places[0].mount_points == (f"{top}/pg", f"{top}/pg/two words")
        assert places[1].mount_points == (f"{top}/fast/x",)

    def test_sees_this_hosts_own(self):
        assert {"/", "/proc"} <= set(_files.mount_points())

    @pytest.mark.parametrize(
        ("user", "mode", "writable"),
        [(0, 0o755, True), (4711, 0o777, True), (4711, 0o1777, False), (4712, 0o1777, True), (0, 0o1777, True)],
    )
    def test_sees_whether_it_may_rename(self, top, monkeypatch, user, mode, writable):
        """In a directory with the sticky bit everybody renames only what is his own."""
        os.chown(top / "pg", 4712, -1) if os.getuid() == 0 else pytest.skip("only root gives files away")
        top.chmod(mode)
        monkeypatch.setattr(os, "geteuid", lambda: user)
        assert observe(str(top / "pg"), [])[0][0].writable is writable

    def test_sees_that_it_may_not_write_there(self, top, monkeypatch):
        monkeypatch.setattr(os, "access", lambda path, _mode: path != str(top))
        assert not observe(str(top / "pg"), [])[0][0].writable

    def test_changes_nothing(self, top):
        before = read_tree(top)
        planned(top)
        assert read_tree(top) == before


class TestKeep:
    def test_leaves_the_cluster_whole_and_the_places_empty(self, top, whole):
        rename_aside(planned(top))
        assert read_tree(top) == whole
        assert [list((top / name).iterdir()) for name in ("pg", "fast", "wal")] == [[], [], []]

    def test_renames_no_link_but_what_it_leads_to(self, top):
        (top / "disk").mkdir()
        (top / "pg").rename(top / "disk/pg")
        (top / "pg").symlink_to("disk/pg")
        rename_aside(plan_keep_old(*observe(str(top / "pg"), []), []))
        assert (top / "disk/pg.old/PG_VERSION").exists()
        assert list((top / "pg").iterdir()) == []

    # Everything that changes something.
    STEPS = ("rename", "symlink", "unlink", "fsync", "mkdir")

    @pytest.mark.parametrize("again", [1, 2])
    def test_goes_on_after_any_interruption(self, top, whole, monkeypatch, again):
        """Interrupted before each of its steps; with ``again`` the second attempt as well, one step later."""
        keep_plan = planned(top)
        reals = {name: getattr(os, name) for name in self.STEPS}
        before = read_tree(top)

        def interrupted_before(step):
            count = itertools.count()

            def watched(name):
                def call(*given, **named):
                    if next(count) == step:
                        raise KeyboardInterrupt
                    return reals[name](*given, **named)

                return call

            for name in self.STEPS:
                monkeypatch.setattr(os, name, watched(name))
            try:
                rename_aside(keep_plan)
            except KeyboardInterrupt:
                return True
            finally:
                for name in self.STEPS:
                    monkeypatch.setattr(os, name, reals[name])
            return False

        for step in itertools.count():
            interrupted = interrupted_before(step)
            if again == 2:
                interrupted_before(1)
            there = {**read_tree(top)}
            if step > 0 and interrupted:
                assert not (top / "pg/PG_VERSION").exists(), "the data directory goes first"
            assert {text for text in there.values() if not text.startswith("->")} == {
                text for text in before.values() if not text.startswith("->")
            }
            rename_aside(keep_plan)
            assert read_tree(top) == whole, step
            if not interrupted:
                break
            for name in ("pg", "fast", "wal"):
                (top / name).rmdir()
                (top / f"{name}.old").rename(top / name)
            for name, target in (("pg_tblspc/1", "fast"), ("pg_wal", "wal")):
                (top / "pg" / name).unlink()
                (top / "pg" / name).symlink_to(top / target)
        assert step > 12

    def test_takes_no_offence_at_directories_that_somebody_has_made_meanwhile(self, top, whole):
        """As a play does before it calls the module again."""
        keep_plan = planned(top)
        (top / "pg").rename(top / "pg.old")
        for name in ("pg", "fast", "wal"):
            (top / name).mkdir(exist_ok=True)
        rename_aside(keep_plan)
        assert read_tree(top) == whole

    def test_never_replaces_what_has_come_meanwhile(self, top):
        keep_plan = planned(top)
        write_tree(top / "fast.old", {"precious": "x"})
        error = refused(rename_aside, keep_plan)
        assert error.code == "keep_old_failed"
        for words in (str(top / "fast"), f"{top}/fast.old", "Nothing of it was removed", "Next:"):
            assert words in error.msg
        assert read_tree(top / "fast.old") == {"precious": "x"}
        assert (top / "fast/PG_15/1").exists()

    def test_tells_why_it_failed(self, top, monkeypatch):
        def fail(*_given):
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "rename", fail)
        error = refused(rename_aside, KeepOldPlan(((str(top / "pg"), str(top / "pg.old")),)))
        assert (error.code, "Invalid cross-device link" in error.msg) == ("keep_old_failed", True)
