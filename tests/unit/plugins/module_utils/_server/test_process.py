# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
from itertools import count

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._server import process
from ansible_collections.pgfleet.standby.plugins.module_utils._server.process import (
    StalledError,
    lives,
    wait,
    work_of,
    working_directory,
)


@pytest.fixture
def clock(monkeypatch):
    """Time passes only by sleeping."""
    now = [0.0]
    monkeypatch.setattr(process.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(process.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_waits_as_long_as_something_moves(clock):
    steps = count()
    wait(lambda: clock[0] > 1000, lambda: next(steps), patience=1)
    assert clock[0] > 1000


def test_gives_up_when_nothing_has_moved_for_too_long(clock):
    steps = iter(range(10))
    with pytest.raises(StalledError):
        wait(lambda: False, lambda: next(steps, "still"), patience=60)
    assert 60 < clock[0] < 70


def test_does_not_wait_for_what_has_come(clock):
    wait(lambda: True, lambda: None, patience=0)
    assert clock[0] == 0


BUSY = "import sys\nfor line in sys.stdin:\n    sum(range(10 ** 7)); print('done', flush=True)\n"


def test_the_work_of_a_process_and_its_children(tmp_path):
    argv = [sys.executable, "-c", BUSY]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True) as child:
        before = [work_of(child.pid), work_of(os.getpid())]
        child.stdin.write("work\n")
        child.stdin.flush()
        assert child.stdout.readline() == "done\n"
        after = [work_of(child.pid), work_of(os.getpid())]
        assert working_directory(child.pid) == str(tmp_path)
        assert lives(child.pid)
        child.stdin.close()
    assert all(old < new for old, new in zip(before, after, strict=True))
    assert not lives(child.pid)
    assert (working_directory(child.pid), work_of(child.pid)) == (None, 0)


def test_a_process_that_has_ended_and_was_not_waited_for():
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not lives(child.pid)
    child.wait()
