# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import fcntl
import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import target_locks as _target_locks
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.target_locks import TargetLocks, locked_targets
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError


@pytest.fixture
def place(tmp_path):
    (tmp_path / "fast").mkdir()
    (tmp_path / "link").symlink_to("fast")
    return tmp_path / "fast"


def is_busy(place):
    locks = TargetLocks([str(place)])
    try:
        locks.take()
    except StandbyError as refused:
        return refused.code == "target_in_use"
    finally:
        locks.release()
    return False


@pytest.mark.parametrize("name", ["fast", "link", "../{}/fast", "fast/."])
def test_a_directory_is_had_by_one_copy_whatever_it_is_called(tmp_path, place, name):
    with locked_targets([str(place)]):
        assert is_busy(tmp_path / name.format(tmp_path.name))
    assert not is_busy(tmp_path / name.format(tmp_path.name))


def test_one_copy_may_have_several_and_one_twice(tmp_path, place):
    with locked_targets([str(place), str(tmp_path / "link"), str(tmp_path)]):
        assert is_busy(place)
        assert is_busy(tmp_path)


def test_one_that_is_busy_leaves_the_others_free(tmp_path, place):
    (tmp_path / "other").mkdir()
    with (
        locked_targets([str(place)]),
        pytest.raises(StandbyError),
        locked_targets([str(tmp_path / "other"), str(place)]),
    ):
        raise AssertionError("both were had")
    assert not is_busy(tmp_path / "other")


def test_one_that_is_not_there_is_made_before_the_first_change(tmp_path, place):
    later = tmp_path / "later"
    with locked_targets([str(place), str(later)]) as locks:
        assert not later.exists()
        locks.make()
        assert is_busy(later)


def test_one_that_another_copy_has_made_and_filled_meanwhile_is_not_taken(tmp_path, monkeypatch):
    later = tmp_path / "later"
    make = _target_locks.private_directory

    def late(path):
        make(path)
        (later / "PG_15_202209061").mkdir()

    monkeypatch.setattr(_target_locks, "private_directory", late)
    with locked_targets([str(later)]) as locks, pytest.raises(StandbyError, match=str(later)):
        locks.make()


@pytest.mark.parametrize("number", [errno.EBADF, errno.ENOLCK])
def test_a_file_system_without_locks_is_used_without(place, monkeypatch, number):
    def flock(_handle, _how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(_target_locks.fcntl, "flock", flock)
    locks = TargetLocks([str(place)])
    locks.take()
    locks.release()


def test_a_lock_goes_with_its_process(place):
    child = os.fork()
    if child == 0:
        TargetLocks([str(place)]).take()
        os._exit(0)
    os.waitpid(child, 0)
    handle = os.open(place, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)
