# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import sys

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import (
    NO_PROGRAM,
    PIPE,
    STDOUT,
    ProgramGroup,
    ended_with_us,
    run,
)
from ansible_collections.pgfleet.standby.tests.waiting import BOUND, FOR_EVER, children, is_gone, wait_until

# Prints its own number, then the number of a program that it has started, which has no pipe of ours.
STARTS_ANOTHER = f"sleep {FOR_EVER} >/dev/null & echo $$ $!"


def shell(text, *words, **how):
    """A group of a shell and what that starts; what it prints can be read."""
    return ProgramGroup(["sh", "-c", text, "sh", *words], stdout=PIPE, **how)


class TestLeavingAGroup:
    def test_ends_the_program_and_what_it_has_started(self):
        with shell(f"{STARTS_ANOTHER}; wait") as group:
            program, other = next(group.lines()).split()
            assert group.is_running()
        wait_until(lambda: is_gone(program) and is_gone(other))

    def test_ends_what_a_program_has_left_behind_that_has_ended(self):
        with shell(STARTS_ANOTHER) as group:
            _program, other = next(group.lines()).split()
            assert group.exit_code() == 0
            assert not is_gone(other)
        wait_until(lambda: is_gone(other))

    def test_by_a_failure_ends_it_too(self):
        with pytest.raises(ZeroDivisionError), shell(f"exec sleep {FOR_EVER}") as group:
            raise ZeroDivisionError
        assert is_gone(group.number)

    def test_closes_its_pipes(self):
        before = os.listdir("/proc/self/fd")
        with shell(f"exec sleep {FOR_EVER}", stdin=PIPE, stderr=PIPE) as group:
            group.stdin.write(b"never sent")
        assert os.listdir("/proc/self/fd") == before

    def test_frees_the_number_which_is_not_signalled_any_more(self, monkeypatch):
        with shell("exit 0") as group:
            pass
        monkeypatch.setattr(os, "killpg", lambda *_given: pytest.fail("another group may have that number"))
        group.kill()
        group.terminate()
        group.end(0)
        assert group.exit_code() in (0, -signal.SIGKILL)

    def test_is_what_frees_the_number_not_the_programs_end(self):
        with shell("exit 0") as group:
            assert group.exit_code() == 0
            os.killpg(group.number, 0)


class TestExitCode:
    @pytest.mark.parametrize(
        ("text", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", -15), ("kill -KILL $$", -9)]
    )
    def test_is_the_programs_own_or_the_signal(self, text, code):
        with shell(text) as group:
            assert [group.exit_code(), group.exit_code(), group.wait(BOUND)] == [code] * 3
        assert group.exit_code() == code

    def test_is_none_while_the_program_runs(self):
        with shell("read -r go", stdin=PIPE) as group:
            assert (group.wait(0), group.wait(0.01), group.is_running()) == (None, None, True)
            group.stdin.write(b"go\n")
            group.stdin.flush()
            assert (group.wait(BOUND), group.is_running()) == (0, False)


class TestEnd:
    TRAP = "trap '{}' TERM; echo ready; while :; do sleep 0.01; done"

    def test_lets_the_program_end_by_itself(self):
        with shell(self.TRAP.format("exit 5")) as group:
            next(group.lines())
            group.end(BOUND)
            assert group.exit_code() == 5

    def test_kills_one_that_does_not(self):
        with shell(self.TRAP.format("")) as group:
            next(group.lines())
            group.end(0.01)
            assert group.exit_code() == -signal.SIGKILL


class TestTimeLimit:
    def test_kills_the_group(self):
        with shell(f"{STARTS_ANOTHER}; wait") as group:
            _program, other = next(group.lines()).split()
            with group.killed_after(0.01) as overdue:
                assert group.exit_code() == -signal.SIGKILL
            assert overdue.is_set()
            wait_until(lambda: is_gone(other))

    def test_is_off_when_it_is_left(self):
        with shell("read -r go", stdin=PIPE) as group:
            with group.killed_after(BOUND) as overdue:
                pass
            assert (overdue.is_set(), group.is_running()) == (False, True)


class TestAProgram:
    def test_leads_a_session_of_its_own(self):
        with shell("read -r go", stdin=PIPE) as group:
            assert (os.getsid(group.number), os.getpgid(group.number)) == (group.number, group.number)

    def test_has_no_input_and_no_descriptor_but_those_it_inherits(self, tmp_path):
        with open(tmp_path / "lock", "w", encoding="utf-8") as lock, open(tmp_path / "other", "wb") as other:
            os.set_inheritable(other.fileno(), True)
            with shell("cat; readlink /proc/$$/fd/*", inherited=(lock.fileno(),)) as group:
                names = list(group.lines())
        assert str(tmp_path / "lock") in names
        assert str(tmp_path / "other") not in names
        assert "/dev/null" in names

    def test_speaks_english_and_works_where_it_is_told(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
        monkeypatch.setenv("PG_COLOR", "always")
        with shell('echo "$LC_ALL $PG_COLOR $OTHER"; pwd', directory=str(tmp_path), more={"OTHER": "mine"}) as group:
            assert list(group.lines()) == ["C never mine", str(tmp_path)]

    @pytest.mark.parametrize("streams", [{"stderr": STDOUT}, {"stderr": PIPE}], ids=["with it", "apart"])
    def test_is_read_line_by_line(self, streams):
        with shell(r"printf 'a\377\rb\n'; printf 'c' >&2", **streams) as group:
            assert list(group.lines()) == ["a\udcff", "b", *(["c"] if streams["stderr"] == STDOUT else [])]

    def test_that_only_complains_is_read_line_by_line(self):
        with ProgramGroup(["sh", "-c", "echo out; echo err >&2"], stderr=PIPE) as group:
            assert list(group.lines()) == ["err"]

    def test_has_only_the_pipes_that_were_asked_for(self):
        with ProgramGroup(["true"]) as group:
            for name in ("stdin", "stdout", "stderr"):
                with pytest.raises(ValueError, match="no pipe"):
                    getattr(group, name)

    @pytest.mark.parametrize("program", ["pgfleet-no-such-program", "/nowhere/program"])
    def test_that_is_missing_cannot_be_started(self, program):
        with pytest.raises(NO_PROGRAM):
            ProgramGroup([program])


# As a server, it has a handler of its own, also where whoever started it ignores the signal.
HEEDS_QUIT = """
import os, signal, sys
signal.signal(signal.SIGQUIT, lambda *_signal: (open(sys.argv[1], "w").close(), os._exit(0)))
open(sys.argv[2], "w").close()
while True:
    signal.pause()
"""


class TestEndedWithUs:
    def test_a_group_is_asked_by_the_signal_that_it_understands(self, tmp_path):
        child = os.fork()
        if child == 0:
            try:
                argv = [sys.executable, "-c", HEEDS_QUIT, str(tmp_path / "asked"), str(tmp_path / "ready")]
                with ProgramGroup(argv) as group, ended_with_us(group, signal.SIGQUIT):
                    wait_until((tmp_path / "ready").exists)
                    (tmp_path / "guarded").touch()
                    group.exit_code()
            finally:
                os._exit(0)
        wait_until((tmp_path / "guarded").exists)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        wait_until((tmp_path / "asked").exists)

    def test_a_group_goes_when_whoever_started_it_was_killed(self, tmp_path):
        child = os.fork()
        if child == 0:
            try:
                text = f"{STARTS_ANOTHER} >'{tmp_path}/new'; mv '{tmp_path}/new' '{tmp_path}/pids'; wait"
                with shell(text) as group, ended_with_us(group):
                    wait_until((tmp_path / "pids").exists)
                    (tmp_path / "guarded").touch()
                    group.exit_code()
            finally:
                os._exit(0)
        wait_until((tmp_path / "guarded").exists)
        program, other = (tmp_path / "pids").read_text(encoding="utf-8").split()
        assert not is_gone(program)
        assert not is_gone(other)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        wait_until(lambda: is_gone(program) and is_gone(other))

    def test_it_goes_and_the_guard_does_when_that_is_left(self):
        with shell(f"exec sleep {FOR_EVER}") as group:
            before = children()
            with ended_with_us(group):
                assert len(children() - before) == 1
            assert group.exit_code() == -signal.SIGKILL
            assert children() == before


class TestRun:
    def test_is_the_exit_code_and_what_was_said(self):
        assert run(["sh", "-c", r"printf 'a\377'; echo err >&2; exit 3"], BOUND) == (3, "a\udcff", "err\n")

    def test_stays_in_our_session(self):
        _rc, stat, _err = run(["cat", "/proc/self/stat"], BOUND)
        assert int(stat.rpartition(")")[2].split()[3]) == os.getsid(0)

    def test_hands_on_a_lock(self, tmp_path):
        with open(tmp_path / "lock", "w", encoding="utf-8") as lock:
            _rc, names, _err = run(["sh", "-c", "readlink /proc/$$/fd/*"], BOUND, (lock.fileno(),))
        assert str(tmp_path / "lock") in names.splitlines()

    def test_ends_what_takes_too_long(self):
        with pytest.raises(TimeoutError, match=r"sleep did not finish within 0\.05 seconds"):
            run(["sleep", str(FOR_EVER)], 0.05)

    def test_takes_any_time_limit(self):
        assert run(["true"], 400 * 86400) == (0, "", "")

    @pytest.mark.parametrize("program", ["pgfleet-no-such-program", "/nowhere/program"])
    def test_of_what_is_missing_fails(self, program):
        with pytest.raises(NO_PROGRAM):
            run([program], BOUND)
