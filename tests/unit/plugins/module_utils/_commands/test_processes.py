# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.processes import (
    bytes_moved,
    bytes_read,
    family,
    group,
    is_over,
    stat_of,
    ticks,
)
from ansible_collections.pgfleet.standby.tests.waiting import FOR_EVER, wait_until

# Its second field is a name that looks like others.
NAME = "a) Z 1 1"


@pytest.fixture
def program(tmp_path):
    """A process in a group of its own."""
    path = tmp_path / NAME
    path.symlink_to("/bin/sleep")
    process = subprocess.Popen([path, str(FOR_EVER)], start_new_session=True)
    wait_until(lambda: NAME in (tmp_path / f"/proc/{process.pid}/comm").read_text(), "the program")
    yield process
    process.kill()
    process.wait()


def test_a_process_whose_name_may_be_anything(program):
    stat = stat_of(program.pid)
    assert stat[1:3] == [str(os.getpid()), str(program.pid)]
    assert not is_over(stat)
    assert ticks(stat) >= 0


def test_a_process_by_its_group_and_by_its_parent(program):
    pid = str(program.pid)
    assert [name for name, _stat in group(program.pid)] == [pid]
    assert {pid, str(os.getpid())} <= {name for name, _stat in family(os.getpid())}


def test_a_process_that_has_ended(program):
    program.kill()
    wait_until(lambda: is_over(stat_of(program.pid)), "its end")
    program.wait()
    assert stat_of(program.pid) is None
    assert list(group(program.pid)) == []


def test_what_a_process_has_read_and_moved():
    pid, before = str(os.getpid()), bytes_read(str(os.getpid()))
    with open("/dev/zero", "rb") as zeros:
        zeros.read(1_000_000)
    assert bytes_read(pid) >= before + 1_000_000
    assert bytes_moved(pid) >= bytes_read(pid)
    assert bytes_read("0") == bytes_moved("0") == 0
