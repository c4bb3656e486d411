# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private directory of a rehearsal: nothing of it stays, and nothing foreign is ever removed."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal import scratch as _scratch
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.scratch import scratch
from ansible_collections.pgfleet.standby.tests.waiting import wait_until


def left_in(base: Path) -> list[str]:
    return sorted(os.listdir(base))


def a_dead_one(base: Path) -> Path:
    """What a run leaves that was killed."""
    child = os.fork()
    if child == 0:
        try:
            with scratch([str(base)], 0) as place:
                os.makedirs(os.path.join(place.data, "base"))
                wait_until(lambda: False)
        finally:
            os._exit(1)
    wait_until(lambda: list(base.glob("*/data/base")))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    [dead] = base.iterdir()
    return dead


def test_it_is_private_and_goes(tmp_path):
    with scratch([str(tmp_path)], 0) as place:
        assert stat.S_IMODE(os.stat(place.path).st_mode) == 0o700
        os.makedirs(os.path.join(place.data, "pg_wal"))
    assert left_in(tmp_path) == []


def test_it_goes_after_a_failure(tmp_path):
    def fail() -> None:
        with scratch([str(tmp_path)], 0) as place:
            os.makedirs(place.data)
            raise ValueError("harm")

    with pytest.raises(ValueError, match="harm"):
        fail()
    assert left_in(tmp_path) == []


def test_what_a_dead_one_has_left_is_removed_by_the_next(tmp_path):
    dead = a_dead_one(tmp_path)
    with scratch([str(tmp_path)], 0) as place:
        assert left_in(tmp_path) == [os.path.basename(place.path)]
        assert place.path != str(dead)


def test_a_living_one_stays(tmp_path):
    with scratch([str(tmp_path)], 0) as first:
        with scratch([str(tmp_path)], 0):
            assert len(left_in(tmp_path)) == 2
        assert left_in(tmp_path) == [os.path.basename(first.path)]


def test_one_killed_at_its_beginning_goes(tmp_path):
    tempfile.mkdtemp(prefix=_scratch._PREFIX, dir=tmp_path)
    with scratch([str(tmp_path)], 0):
        pass
    assert left_in(tmp_path) == []


def _of_another_host(dead: Path) -> None:
    mark = dead / "rehearsal.lock"
    mark.write_text(mark.read_text().replace("on ", "on another-"))


def _without_mark(dead: Path) -> None:
    (dead / "rehearsal.lock").unlink()


def _open_to_others(dead: Path) -> None:
    dead.chmod(0o755)


def _a_link(dead: Path) -> None:
    dead.rename(dead.parent / "elsewhere")
    dead.symlink_to(dead.parent / "elsewhere")


def _of_another_name(dead: Path) -> None:
    dead.rename(dead.parent / f"{dead.name}.mine")


def _mark_is_a_link(dead: Path) -> None:
    mark = dead / "rehearsal.lock"
    mark.rename(dead.parent / "mark")
    mark.symlink_to(dead.parent / "mark")


@pytest.mark.parametrize(
    "change", [_of_another_host, _without_mark, _open_to_others, _a_link, _of_another_name, _mark_is_a_link]
)
def test_what_is_not_certainly_a_dead_one_of_ours_stays(tmp_path, change):
    change(a_dead_one(tmp_path))
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with scratch([str(tmp_path)], 0):
        pass
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_links_in_it_are_not_followed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    with scratch([str(tmp_path)], 0) as place:
        os.symlink(tmp_path / "precious", os.path.join(place.path, "link"))
        os.mkdir(place.data)
        os.symlink(tmp_path / "precious", os.path.join(place.data, "link"))
    assert left_in(tmp_path) == ["precious"]
    assert left_in(tmp_path / "precious") == ["file"]


@pytest.mark.parametrize("ours", [True, False], ids=["of the dead one", "of another server"])
def test_sockets_of_a_killed_server(tmp_path, ours):
    base = tmp_path / "base"
    base.mkdir()
    socket, lock = tmp_path / ".s.PGSQL.4711", tmp_path / ".s.PGSQL.4711.lock"
    with scratch([str(base)], 0) as place:
        place.will_make([str(socket)])
        socket.touch()
        lock.write_text(f"4711\n{place.data if ours else '/srv/main'}\n")
    assert (socket.exists(), lock.exists()) == (not ours, not ours)


def test_without_room_there_is_none(tmp_path):
    with pytest.raises(StandbyError) as failed, scratch([str(tmp_path)], 1 << 60):
        pass
    assert failed.value.code == "rehearsal_failed"


def test_the_first_place_with_room_is_taken(tmp_path):
    (tmp_path / "b").mkdir()
    with scratch([str(tmp_path / "a"), str(tmp_path / "b")], 0) as place:
        assert os.path.dirname(place.path) == str(tmp_path / "b")
