# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone_state import Lock, boot_id, save_state
from ansible_collections.pgfleet.standby.plugins.module_utils._datadir import read_clone_state
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError


@pytest.fixture
def fork(tmp_path):
    """Runs a function in a process of its own, up to its first report; kills what is left at the end."""
    children = []

    def run(work):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                work(lambda text: os.write(writer, f"{text}\n".encode()))
                time.sleep(60)
            finally:
                os._exit(1)
        children.append(child)
        os.close(writer)
        with os.fdopen(reader) as stream:
            return child, stream.readline().strip()

    yield run
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def hold(directory):
    def work(report):
        with Lock(str(directory), 0):
            report("held")
            time.sleep(60)

    return work


def is_free(directory):
    try:
        with Lock(str(directory), 0):
            return True
    except StandbyError:
        return False


def test_one_process_at_a_time(tmp_path, fork):
    child, said = fork(hold(tmp_path))
    assert said == "held"
    with pytest.raises(StandbyError, match=rf"is running \(pid {child} since 20") as refused, Lock(str(tmp_path), 0):
        pass
    assert refused.value.code == "clone_running"


def test_goes_with_a_process_that_is_killed(tmp_path, fork):
    child, _said = fork(hold(tmp_path))
    os.kill(child, signal.SIGSTOP)
    assert not is_free(tmp_path)
    os.kill(child, signal.SIGKILL)
    with Lock(str(tmp_path), 5):
        assert (tmp_path / "lock").read_text(encoding="utf-8").startswith(f"pid {os.getpid()} since ")


def test_outlives_a_killed_process_while_a_program_that_inherited_it_still_works(tmp_path, fork):
    os.mkfifo(tmp_path / "end")

    def work(report):
        with Lock(str(tmp_path), 0) as lock:
            subprocess.Popen(["cat", tmp_path / "end"], pass_fds=(lock.fd,))
            report("started")
            time.sleep(60)

    child, _said = fork(work)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert not is_free(tmp_path)
    (tmp_path / "end").write_text("", encoding="utf-8")
    with Lock(str(tmp_path), 5):
        pass


def test_is_not_inherited_by_chance(tmp_path):
    with Lock(str(tmp_path), 0) as lock:
        assert not os.get_inheritable(lock.fd)


def test_waits_for_another_run_to_end(tmp_path, fork):
    def work(report):
        with Lock(str(tmp_path), 0):
            report("held")
            time.sleep(0.2)

    fork(work)
    with Lock(str(tmp_path), 5) as lock:
        assert lock.fd >= 0


def test_is_free_again(tmp_path):
    with Lock(str(tmp_path), 0):
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


def test_does_not_write_through_a_link(tmp_path):
    (tmp_path / "precious").write_text("precious", encoding="utf-8")
    (tmp_path / "lock").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic link"), Lock(str(tmp_path), 0):
        pass
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "precious"


def test_what_is_saved_is_read_back(tmp_path):
    save_state(str(tmp_path), phase="copying", targets=["/a"], digest=None)
    assert read_clone_state(str(tmp_path)) == {"phase": "copying", "targets": ["/a"], "digest": None}


def test_boot_id():
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", boot_id())
