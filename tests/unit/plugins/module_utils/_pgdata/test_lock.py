# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import lock as _lock
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import (
    Lock,
    require_lockable,
    require_makeable,
)
from ansible_collections.pgfleet.standby.tests.waiting import BOUND, wait_until

NOTE = {"pid": 4711, "run": "x"}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "lock")


@pytest.fixture
def fork():
    """Runs a function in a process of its own, up to its first report; kills what is left at the end."""
    children = []

    def run(work):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                work(lambda text: os.write(writer, f"{text}\n".encode()))
                signal.pause()
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


def holding(path):
    """Has the lock until it is killed."""

    def work(report):
        report("held" if Lock(path, NOTE).take() else "refused")

    return work


def is_free(path):
    lock = Lock(path, {})
    if not lock.take():
        return False
    lock.release()
    return True


class TestLock:
    def test_is_had_by_one_process_at_a_time(self, path, fork):
        _child, said = fork(holding(path))
        assert said == "held"
        lock = Lock(path, {})
        assert (lock.take(), lock.take(0.1), lock.fd) == (False, False, -1)

    def test_tells_who_has_it_and_leaves_it_to_him(self, path, fork):
        fork(holding(path))
        assert [Lock.holder(path), Lock.holder(path)] == [NOTE, NOTE]
        assert not is_free(path)

    def test_tells_of_nobody_when_it_is_free(self, tmp_path, path):
        assert Lock.holder(path) is None
        assert not (tmp_path / "lock").exists()
        lock = Lock(path, NOTE)
        assert lock.take()
        lock.release()
        assert Lock.holder(path) is None

    @pytest.mark.parametrize("note", ["", "{", "7"])
    def test_tells_of_somebody_whose_note_says_nothing(self, tmp_path, path, fork, note):
        fork(holding(path))
        (tmp_path / "lock").write_text(note, encoding="utf-8")
        assert Lock.holder(path) == {}

    def test_forgets_the_note_of_the_one_before(self, tmp_path, path):
        for note in ({"a": "long" * 99}, NOTE):
            lock = Lock(path, note)
            assert lock.take()
            assert json.loads((tmp_path / "lock").read_text(encoding="utf-8")).keys() == {*note, "writer", "started"}
            assert Lock.holder(path) == note
            lock.release()
            assert (tmp_path / "lock").read_text(encoding="utf-8") == ""

    @pytest.mark.parametrize("pid", [None, 1], ids=["which is gone", "whose number another process has"])
    def test_does_not_tell_of_the_one_before_while_the_next_one_has_not_written_its_note(
        self, tmp_path, path, fork, pid
    ):
        """One that is killed leaves its note, and a lock is there before its note is."""
        child, _said = fork(holding(path))
        left = (tmp_path / "lock").read_text(encoding="utf-8")
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: is_free(path))
        left = left.replace(f'"writer": {child}', f'"writer": {pid or child}')
        (tmp_path / "lock").write_text(left, encoding="utf-8")

        def without_note(report):
            fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX)
            report("held")

        fork(without_note)
        assert Lock.holder(path) == {}

    def test_goes_with_a_process_that_is_killed(self, path, fork):
        child, _said = fork(holding(path))
        os.kill(child, signal.SIGSTOP)
        assert not is_free(path)
        os.kill(child, signal.SIGKILL)
        assert Lock(path, {}).take(BOUND)

    def test_outlives_a_killed_process_while_a_program_that_inherited_it_still_works(self, tmp_path, path, fork):
        os.mkfifo(tmp_path / "end")

        def work(report):
            lock = Lock(path, NOTE)
            lock.take()
            subprocess.Popen(["cat", tmp_path / "end"], pass_fds=(lock.fd,))
            report("started")

        child, _said = fork(work)
        os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert not is_free(path)
        (tmp_path / "end").write_text("", encoding="utf-8")
        assert Lock(path, {}).take(BOUND)

    def test_is_not_inherited_by_chance(self, path):
        lock = Lock(path, NOTE)
        assert lock.take()
        assert not os.get_inheritable(lock.fd)

    @pytest.fixture
    def meanwhile(self, monkeypatch):
        """What happens when somebody has found the lock taken, and waits."""
        happens = []

        def sleep(_seconds):
            while happens:
                happens.pop()()

        monkeypatch.setattr(_lock, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
        return happens.append

    def test_is_waited_for(self, path, fork, meanwhile):
        child, _said = fork(holding(path))
        meanwhile(lambda: os.kill(child, signal.SIGKILL))
        assert Lock(path, {}).take(BOUND)

    def test_is_not_had_when_its_file_was_removed_meanwhile(self, tmp_path, path, meanwhile):
        """Nobody else would see it: the next one would make a file, and a lock, of his own."""
        first, second = Lock(path, NOTE), Lock(path, NOTE)
        assert first.take()

        def remove():
            (tmp_path / "lock").unlink()
            first.release()

        meanwhile(remove)
        assert not second.take(BOUND)
        assert second.take()
        assert Lock.holder(path) == NOTE

    def test_does_not_write_through_a_link(self, tmp_path, path):
        (tmp_path / "precious").write_text("precious", encoding="utf-8")
        (tmp_path / "lock").symlink_to("precious")
        with pytest.raises(StandbyError, match="symbolic link") as error:
            Lock(path, NOTE).take()
        assert error.value.code == "write_failed"
        assert (tmp_path / "precious").read_text(encoding="utf-8") == "precious"


class TestWhatCouldBeLocked:
    def test_is_in_a_directory_of_its_own_or_that_is_not_there_yet(self, tmp_path, path):
        require_lockable(str(tmp_path))
        require_lockable(str(tmp_path / "missing"))
        assert list(tmp_path.iterdir()) == []
        Lock(path, NOTE).take()
        require_lockable(str(tmp_path))
        assert Lock.holder(path) == NOTE

    @pytest.mark.parametrize("name", ["lock", "runner"])
    def test_is_no_link(self, tmp_path, name):
        (tmp_path / name).symlink_to("nowhere")
        with pytest.raises(StandbyError, match="symbolic link") as error:
            require_lockable(str(tmp_path))
        assert error.value.code == "write_failed"

    @pytest.mark.parametrize("target", ["theirs", "nothing"])
    def test_is_not_where_a_link_leads(self, tmp_path, target):
        (tmp_path / "theirs").mkdir(mode=0o755)
        link = tmp_path / "state"
        link.symlink_to(target)
        with pytest.raises(StandbyError, match=f"{link} is a link, to {tmp_path / target}") as error:
            require_lockable(str(link))
        assert error.value.code == "link_untrusted"
        assert (tmp_path / "theirs").stat().st_mode & 0o777 == 0o755

    def test_is_in_a_directory_that_may_be_written(self, monkeypatch, tmp_path):
        monkeypatch.setattr(_lock.os, "access", lambda *_asked: False)
        with pytest.raises(StandbyError, match=f"Cannot open {tmp_path / 'runner'}: Permission denied") as error:
            require_lockable(str(tmp_path))
        assert error.value.code == "write_failed"

    def test_has_a_parent_that_may_be_written_if_it_is_to_be_made(self, monkeypatch, tmp_path):
        require_makeable(str(tmp_path / "a" / "b"))
        assert list(tmp_path.iterdir()) == []
        monkeypatch.setattr(_lock.os, "access", lambda path, *_mode, **_ids: path != str(tmp_path))
        with pytest.raises(StandbyError, match=f"may not write to {tmp_path}") as error:
            require_makeable(str(tmp_path / "a" / "b"))
        assert error.value.code == "directory_not_writable"
