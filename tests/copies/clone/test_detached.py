# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy in a process of its own, and those who start it, attach to it, or come later. Processes are real here."""

from __future__ import annotations

import os
import re
import signal
import threading
import time

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import detached as _detached
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.begin import clone_detached as follow
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.detached import Running
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.result import result_of
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.rsync import copy
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import ResultFile
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    PULLS_A_SHARD,
    read_tree,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.waiting import BOUND, wait_until


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(_detached, "_LOOK_SECONDS", 0.01)


# The process that copies is the parent of every rsync, which is the parent of its ssh (proc(5), stat, 4).
KILLS_THE_COPY = f"case $command in {PULLS_A_SHARD} kill -9 $(cut -d ' ' -f 4 /proc/$PPID/stat); exit 1 ;; esac"


@pytest.fixture
def blocked(host):
    """A Barman host that answers its first pull of a shard only when it is told to."""
    host.arrived, host.go = host.root / "arrived", host.root / "go"
    host.hook(f"""case $command in {PULLS_A_SHARD}
        : >"{host.arrived}"
        while [ ! -e "{host.go}" ]; do sleep 0.01; done ;;
    esac""")
    yield host
    host.go.touch()
    if host.state.exists():
        wait_until(lambda: Lock.holder(f"{host.state}/runner") is None)


def job_of(host, **changed):
    return host.job(**{"lock_timeout": BOUND, **changed})


def refused(*given):
    with pytest.raises(StandbyError) as error:
        follow(given[0], copy, *given[1:])
    return error.value


def holder(host):
    return Lock.holder(f"{host.state}/runner")


class Caller(threading.Thread):
    """Somebody who waits for a copy, and what he heard at the end."""

    def __init__(self, *given):
        super().__init__(daemon=True)
        self.given = given
        self.heard = None
        self.start()

    def run(self):
        try:
            self.heard = follow(self.given[0], copy, *self.given[1:])
        except StandbyError as failure:
            self.heard = failure

    def ended(self):
        self.join(BOUND)
        assert not self.is_alive()
        return self.heard


def start(host, **changed):
    """A caller, and the process that he started, which has come to its first shard."""
    caller = Caller(job_of(host, **changed))
    wait_until(host.arrived.exists)
    return caller, holder(host)["pid"]


class TestRefused:
    """Nothing is changed, and no directory is left."""

    REFUSALS = pytest.mark.parametrize(
        ("arrange", "changed", "code"),
        [
            pytest.param(
                lambda host: write_tree(host.pgdata, {"notes.txt": "x"}), {}, "data_directory_foreign", id="foreign"
            ),
            pytest.param(lambda host: write_tree(host.fast, {"x": "x"}), {}, "target_not_empty", id="tablespace"),
            pytest.param(lambda host: None, {"data_directory": "/etc"}, "path_dangerous", id="dangerous"),
            pytest.param(
                lambda host: host.hook("echo 'Host key verification failed.' >&2; exit 255"),
                {},
                "ssh_host_key",
                id="unreachable",
            ),
            pytest.param(lambda host: host.write_manifest("CRC32C"), {}, "verifier_missing", id="no pg_verifybackup"),
        ],
    )

    @REFUSALS
    def test_leaves_nothing(self, host, arrange, changed, code):
        arrange(host)
        before = read_tree(host.root / "standby")
        assert refused(job_of(host, **changed)).code == code
        assert read_tree(host.root / "standby") == before
        assert not host.state.exists()

    @REFUSALS
    def test_leaves_what_was_there(self, host, arrange, changed, code):
        arrange(host)
        write_tree(host.state, {"mine": "x"})
        assert refused(job_of(host, **changed)).code == code
        assert (host.state / "mine").exists()

    def test_leaves_no_directories_above_either(self, host):
        host.write_manifest("CRC32C")
        top = host.root / "standby"
        job = job_of(host, data_directory=f"{top}/a/b/pgdata", state_directory=f"{top}/a/b/.pgdata.standby")
        assert refused(job).code == "verifier_missing"
        assert list(top.iterdir()) == []

    def test_may_be_tried_again_at_once(self, host):
        host.write_manifest("CRC32C")
        for _time in range(3):
            assert refused(job_of(host)).code == "verifier_missing"
        assert follow(job_of(host, verify="size"), copy).action == "clone"


class TestAttached:
    def test_whoever_does_not_wait_hears_how_far_it_is(self, blocked):
        running = follow(job_of(blocked), copy, 0)
        assert isinstance(running, Running)
        assert re.fullmatch("[0-9a-f]{32}", running.run)
        wait_until(blocked.arrived.exists)
        again = follow(job_of(blocked), copy, 0)
        assert (again.run, again.progress["phase"]) == (running.run, "copying")
        assert again.progress["bytes"] > 0

    def test_whoever_waits_for_a_while_hears_it_then(self, blocked):
        began = time.monotonic()
        assert isinstance(follow(job_of(blocked), copy, 0.1), Running)
        assert isinstance(follow(job_of(blocked), copy, 0.1), Running)
        assert time.monotonic() - began >= 0.2

    def test_all_hear_the_same_result_of_one_copy(self, blocked):
        first, _pid = start(blocked, jobs=1)
        others = [Caller(job_of(blocked, jobs=1)) for _number in range(2)]
        blocked.go.touch()
        outcomes = [caller.ended() for caller in (first, *others)]
        assert outcomes[0].action == "clone"
        assert outcomes == [outcomes[0]] * 3
        assert blocked.connects() == 1

    def test_two_that_start_at_once_do_not_copy_twice(self, host):
        host.hook(f"case $command in {PULLS_A_SHARD} echo x >>{host.root}/pulls ;; esac")
        callers = [Caller(job_of(host)) for _number in range(3)]
        actions = [caller.ended().action for caller in callers]
        assert set(actions) <= {"clone", "none"}
        assert "clone" in actions
        assert (host.root / "pulls").read_text(encoding="utf-8") == "x\n" * 2

    def test_a_failure_is_heard_by_all(self, blocked):
        first, _pid = start(blocked)
        other = Caller(job_of(blocked))
        (blocked.data / "pg_xact/0000").unlink()
        (blocked.tablespace / "PG_15_202209061/5/16390").unlink()
        blocked.go.touch()
        assert [caller.ended().code for caller in (first, other)] == ["backup_files_missing"] * 2

    def test_the_result_is_there_for_whoever_comes_later(self, blocked):
        run = follow(job_of(blocked), copy, 0).run
        wait_until(blocked.arrived.exists)
        blocked.go.touch()
        wait_until(lambda: holder(blocked) is None)
        assert [follow(job_of(blocked), copy, None, run).action for _time in range(2)] == ["clone", "clone"]
        assert follow(job_of(blocked), copy).action == "none"

    def test_a_refusal_is_there_for_whoever_comes_later(self, host):
        go = host.root / "go"
        host.hook(f"while [ ! -e '{go}' ]; do sleep 0.01; done; echo 'Host key verification failed.' >&2; exit 255")
        run = follow(job_of(host), copy, 0).run
        wait_until(lambda: holder(host))
        go.touch()
        wait_until(lambda: holder(host) is None)
        assert refused(job_of(host), None, run).code == "ssh_host_key"

    def test_a_run_that_nobody_knows_is_a_new_one(self, host):
        assert follow(job_of(host), copy, None, "unknown").action == "clone"

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param(lambda host: {"backup": host.second_backup()}, id="another backup"),
            pytest.param(lambda host: {"tablespaces": {16388: f"{host.root}/standby/other"}}, id="other places"),
        ],
    )
    def test_another_copy_is_refused_while_one_runs(self, blocked, changed):
        caller, pid = start(blocked)
        error = refused(job_of(blocked, **changed(blocked)))
        assert error.code == "clone_running"
        assert f"pid {pid} since 20" in error.msg
        blocked.go.touch()
        assert caller.ended().action == "clone"

    def test_how_it_is_copied_makes_it_no_other_copy(self, blocked):
        start(blocked)
        assert isinstance(follow(job_of(blocked, jobs=7, bwlimit=1, verify="none"), copy, 0), Running)


class TestKilled:
    def test_tells_whoever_started_it_and_is_resumed_by_the_next_run(self, blocked):
        caller, pid = start(blocked)
        os.kill(pid, signal.SIGKILL)
        assert caller.ended().code == "copy_killed"
        assert not (blocked.pgdata / "global/pg_control").exists()
        blocked.go.touch()
        assert follow(job_of(blocked), copy).action == "resume"

    def test_is_resumed_by_whoever_was_attached(self, blocked):
        _caller, pid = start(blocked)
        run = holder(blocked)["run"]
        other = Caller(job_of(blocked), None, run)
        wait_until(lambda: isinstance(follow(job_of(blocked), copy, 0), Running))
        os.kill(pid, signal.SIGKILL)
        blocked.go.touch()
        assert other.ended().action == "resume"

    def test_is_resumed_by_whoever_comes_later(self, blocked):
        run = follow(job_of(blocked), copy, 0).run
        wait_until(blocked.arrived.exists)
        os.kill(holder(blocked)["pid"], signal.SIGKILL)
        blocked.go.touch()
        assert follow(job_of(blocked), copy, None, run).action == "resume"

    def test_again_and_again_is_given_up_and_tells_how_often(self, host):
        """As by the kernel when memory is short. Each call is an attach step of one task."""
        host.hook(KILLS_THE_COPY)
        seen = []

        def attach():
            run = follow(job_of(host), copy, 0).run
            while True:
                running = follow(job_of(host), copy, 0, run)
                run = running.run
                seen.append(running.progress["restarts"])

        with pytest.raises(StandbyError) as error:
            attach()
        assert error.value.code == "copy_killed"
        assert f"{_detached._MOST_RESTARTS + 1} times in a row" in error.value.msg
        assert sorted(set(seen)) == list(range(max(seen) + 1))
        assert max(seen) <= _detached._MOST_RESTARTS

    def test_again_and_again_is_given_up_by_a_caller_that_waits_for_its_end(self, host):
        host.hook(KILLS_THE_COPY)
        run = follow(job_of(host), copy, 0).run
        assert refused(job_of(host), None, run).code == "copy_killed"

    def test_once_is_told_with_the_result(self, blocked):
        run = follow(job_of(blocked), copy, 0).run
        wait_until(blocked.arrived.exists)
        os.kill(holder(blocked)["pid"], signal.SIGKILL)
        blocked.go.touch()
        job = job_of(blocked)
        done = follow(job, copy, None, run)
        assert done.restarts == 1
        [warning] = result_of(job, done)["warnings_to_show"]
        assert "started again 1 times" in warning

    def test_a_result_that_cannot_be_written_is_no_reason_to_copy_for_ever(self, host, monkeypatch):
        monkeypatch.setattr(ResultFile, "write", lambda *_given: None)
        run = follow(job_of(host), copy, 0).run
        wait_until(lambda: holder(host) is None)
        assert follow(job_of(host), copy, None, run).action == "none"

    def test_nobody_writes_before_its_last_rsync_has_ended(self, blocked):
        caller, pid = start(blocked)
        os.kill(pid, signal.SIGKILL)
        caller.ended()
        error = refused(job_of(blocked, lock_timeout=0.1))
        assert error.code == "clone_running"
        assert "rsync" in error.msg

    def test_whoever_waits_for_those_says_so(self, blocked):
        caller, pid = start(blocked)
        os.kill(pid, signal.SIGKILL)
        caller.ended()
        follow(job_of(blocked), copy, 0)
        wait_until(lambda: follow(job_of(blocked), copy, 0).progress["phase"] == "waiting")

    def test_what_it_had_begun_to_write_goes(self, blocked):
        caller, pid = start(blocked)
        os.kill(pid, signal.SIGKILL)
        caller.ended()
        write_tree(blocked.state, {".state.json.x": "x", "work/names-0": "x"})
        blocked.go.touch()
        follow(job_of(blocked), copy)
        assert not {".state.json.x", "work"} & {path.name for path in blocked.state.iterdir()}


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_terminal_that_goes_does_not_end_it(blocked, number):
    caller, pid = start(blocked)
    os.kill(pid, number)
    blocked.go.touch()
    assert caller.ended().action == "clone"


def test_kill_ends_it_and_it_can_be_resumed(blocked):
    caller, pid = start(blocked)
    os.kill(pid, signal.SIGTERM)
    assert caller.ended().code == "interrupted"
    assert ResultFile(str(blocked.state)).read()["error"]["refusal"]["code"] == "interrupted"
    assert not (blocked.pgdata / "global/pg_control").exists()
    blocked.go.touch()
    assert follow(job_of(blocked), copy).action == "resume"
