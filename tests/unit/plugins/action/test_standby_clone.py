# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible_collections.pgfleet.standby.plugins.action import standby_clone as plugin
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.login_session import scope_argv
from ansible_collections.pgfleet.standby.plugins.plugin_utils import following
from ansible_collections.pgfleet.standby.tests.unit.plugins.action.played import Play

COPYING = {
    "phase": "copying",
    "percent": 42.1,
    "bytes": 2147483648,
    "bytes_done": 904000000,
    "rate": 310 << 20,
    "eta": 4,
    "seconds": 3.1,
    "retries": 0,
}
GIVEN = {"data_directory": "/pgdata"}
DONE = {"changed": True, "finished": True, "action": "clone"}
BROKEN = AnsibleConnectionFailure("Connection reset by peer")


def running(**more):
    return {"changed": True, "finished": False, "run": "0b2c", "progress": COPYING, **more}


@pytest.fixture
def play(monkeypatch):
    return lambda *answers, **task: Play(monkeypatch, plugin, answers, **task)


# --- what is shown -------------------------------------------------------------


@pytest.mark.parametrize(
    ("elapsed", "seconds"), [(0, 5), (5, 5), (50, 5), (74, 7), (300, 30), (600, 60), (601, 60), (86400, 60)]
)
def test_lines_become_rarer(elapsed, seconds):
    assert following.pause(elapsed) == seconds


UNKNOWN = dict.fromkeys(COPYING)


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (COPYING, "copying 42 % of 2.0 GB, 310.0 MB/s, 4 s left"),
        ({**COPYING, "percent": 99.97}, "copying 99 % of 2.0 GB, 310.0 MB/s, 4 s left"),
        ({**COPYING, "percent": 0, "rate": None, "eta": None}, "copying 0 % of 2.0 GB"),
        ({**COPYING, "eta": None}, "copying 42 % of 2.0 GB, 310.0 MB/s"),
        ({**COPYING, "rate": 0, "eta": None}, "copying 42 % of 2.0 GB, 0 B/s"),
        ({**COPYING, "eta": 0}, "copying 42 % of 2.0 GB, 310.0 MB/s, 0 s left"),
        ({**COPYING, "percent": None}, "copying, 310.0 MB/s, 4 s left"),
        ({**COPYING, "bytes": None}, "copying 42 %, 310.0 MB/s, 4 s left"),
        ({**COPYING, "bytes": 0}, "copying 42 %, 310.0 MB/s, 4 s left"),
        ({**COPYING, "retries": 1}, "copying 42 % of 2.0 GB, 310.0 MB/s, 4 s left, 1 retry"),
        ({**COPYING, "retries": 2}, "copying 42 % of 2.0 GB, 310.0 MB/s, 4 s left, 2 retries"),
        ({**COPYING, "phase": "verifying"}, "verifying 42 % of 2.0 GB, 310.0 MB/s"),
        ({**UNKNOWN, "phase": "copying"}, "copying"),
        ({**UNKNOWN, "phase": "preparing", "bytes": 0, "retries": 0}, "preparing"),
        ({**UNKNOWN, "phase": "waiting", "retries": 3}, "waiting, 3 retries"),
        ({"phase": "syncing"}, "syncing"),
        (UNKNOWN, "running"),
        ({}, "running"),
    ],
)
def test_line(progress, text):
    assert plugin.line("n1", progress) == f"n1: standby_clone {text}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (4.4, "4 s"),
        (89, "89 s"),
        (90, "2 min"),
        (1800, "30 min"),
        (5339, "89 min"),
        (5400, "1 h 30 min"),
        (90000, "25 h 0 min"),
    ],
)
def test_durations(seconds, text):
    assert following.duration(seconds) == text


# --- step by step --------------------------------------------------------------


def test_a_line_for_each_step_until_the_copy_is_finished(play):
    task = play(running(), running(progress={"phase": "syncing"}), DONE)
    assert task.run() == DONE
    assert task.shown == ["n1: standby_clone copying 42 % of 2.0 GB, 310.0 MB/s, 4 s left", "n1: standby_clone syncing"]
    assert [call.args["data_directory"] for call in task.calls] == ["/pgdata"] * 3
    assert not any(call.wrap_async for call in task.calls)


def test_later_steps_attach_to_the_copy_that_was_seen(play):
    task = play(running(), running(run="4d5e"), BROKEN, DONE)
    task.run()
    assert [call.args.get("attach_run") for call in task.calls] == [None, "0b2c", "4d5e", "4d5e"]
    assert "attach_run" not in task.calls[0].args


def test_what_is_finished_at_once_shows_nothing(play):
    task = play({**DONE, "action": "none", "changed": False})
    assert task.run() == {**DONE, "action": "none", "changed": False}
    assert (task.shown, task.attached) == ([], [5])


def test_the_steps_grow_with_the_copy(play):
    task = play(*[running()] * 40, DONE)
    task.run()
    assert task.attached[:10] == [5] * 10
    assert task.attached == sorted(task.attached)
    assert task.attached[-1] > 15


@pytest.mark.parametrize(
    ("interval", "attached"), [(2, [2, 2, 2]), ("2", [2, 2, 2]), (90, [5, 90, 90]), (0, [5, 5, 5]), (None, [5, 5, 5])]
)
def test_the_interval_is_the_users_choice_but_the_first_step_is_short(play, interval, attached):
    task = play(running(), running(), DONE, args={**GIVEN, "progress_interval": interval})
    assert task.run() == DONE
    assert task.attached == attached
    assert len(task.shown) == (0 if interval == 0 else 2)


@pytest.mark.parametrize("interval", [-1, "often", [], 2.5])
def test_an_interval_that_is_none_is_refused(play, interval):
    task = play(DONE, args={"progress_interval": interval})
    with pytest.raises(AnsibleActionFail, match="progress_interval"):
        task.run()
    assert task.calls == []


@pytest.mark.parametrize(
    "task",
    [
        {"args": {**GIVEN, "attach_timeout": 7}},
        {"args": {**GIVEN, "attach_timeout": 0, "progress_interval": 2}},
        {"check_mode": True},
        {"async_val": 60},
    ],
)
def test_one_call_as_it_is_where_nobody_waits(play, task):
    one = play(running(), **task)
    assert one.run() == running()
    assert [(call.args, call.wrap_async) for call in one.calls] == [(task.get("args", GIVEN), "async_val" in task)]
    assert one.shown == []


def test_async_that_the_connection_does_itself_is_not_wrapped(play):
    task = play(running(), async_val=60)
    task.connection.has_native_async = True
    task.run()
    assert not task.calls[0].wrap_async


def test_an_attach_timeout_of_null_is_none(play):
    task = play(running(), DONE, args={**GIVEN, "attach_timeout": None})
    assert task.run() == DONE


def test_the_arguments_of_the_task_stay_as_they_were(play):
    task = play(running(), DONE)
    task.run()
    assert task.args == GIVEN


@pytest.mark.parametrize("failure", [{"finished": True}, {"finished": False}, {}])
def test_a_failure_ends_it(play, failure):
    failed = {"failed": True, "msg": "no space", "error_code": "no_space", **failure}
    task = play(running(), failed)
    assert task.run() == failed
    assert len(task.calls) == 2


def test_the_result_is_that_of_the_last_step_with_every_warning_once(play):
    task = play(
        running(warnings=["first", "each"], deprecations=[{"msg": "old"}]),
        running(warnings=["each"]),
        {**DONE, "warnings": ["each", "last"], "deprecations": [{"msg": "old"}]},
    )
    assert task.run() == {**DONE, "warnings": ["first", "each", "last"], "deprecations": [{"msg": "old"}]}


def test_check_mode_and_async_are_supported():
    assert plugin.ActionModule._supports_check_mode
    assert plugin.ActionModule._supports_async


# --- connections that break ----------------------------------------------------


def test_the_first_step_that_breaks_is_raised_at_once(play):
    task = play(BROKEN)
    with pytest.raises(AnsibleConnectionFailure) as raised:
        task.run()
    assert raised.value is BROKEN
    assert (len(task.calls), task.naps, task.shown) == (1, [], [])


# Ansible's own troubles, such as no room for its temporary files: what fails is a look at the copy, and not the copy.
OF_THE_STEP = [
    {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "No space left on device"},
    {"failed": True, "msg": "Failed to create a temporary directory"},
    AnsibleError("Failed to transfer the module"),
]


@pytest.mark.parametrize("broken", [BROKEN, {"unreachable": True, "msg": "gone"}, {"unreachable": True}, *OF_THE_STEP])
def test_a_connection_that_comes_back_is_told_of_once(play, broken):
    task = play(running(), broken, broken, broken, running(), DONE)
    assert task.run() == DONE
    assert task.naps == [2, 4, 8]
    assert [text for text in task.shown if "WARNING" in text] == [task.shown[1]]
    assert "n1: standby_clone lost the connection. The copy goes on" in task.shown[1]
    assert len(task.shown) == 3


def test_every_attempt_begins_with_a_connection_and_a_directory_of_its_own(play):
    task = play(running(), BROKEN, BROKEN, DONE)
    task.run()
    assert task.connection.reset.call_count == 2
    assert task.forgotten == ["/root/.ansible/tmp/x"] * 2


@pytest.mark.parametrize("error", [AnsibleError("cannot reset"), AttributeError("reset"), OSError("no ssh")])
def test_a_connection_that_cannot_be_reset_is_used_as_it_is(play, error):
    task = play(running(), BROKEN, DONE)
    task.connection.reset.side_effect = error
    assert task.run() == DONE


def test_a_host_that_stays_away_is_unreachable_after_two_minutes(play):
    task = play(running(), BROKEN)
    with pytest.raises(AnsibleConnectionFailure, match=r"(?s)the copy goes on there.*run the play again") as raised:
        task.run()
    assert "Connection reset by peer" in str(raised.value)
    assert 100 < sum(task.naps) <= 120
    assert max(task.naps) == 15
    assert len(task.shown) == 2
    assert task.connection._shell.tmpdir is None, "Ansible's cleanup would raise an error that hides ours"


@pytest.mark.parametrize("broken", OF_THE_STEP)
def test_looks_that_keep_failing_do_not_fail_a_host_whose_copy_goes_on(play, broken):
    """A task that fails has the play give up what the copy needs on the Barman host; an unreachable host keeps it."""
    with pytest.raises(AnsibleConnectionFailure, match="the copy goes on there"):
        play(running(), broken).run()


def test_a_step_that_fails_before_a_copy_is_known_to_run_fails_the_task(play):
    task = play(OF_THE_STEP[0])
    assert task.run() == OF_THE_STEP[0]
    assert len(task.calls) == 1


def test_the_two_minutes_begin_anew_with_every_success(play):
    away = [BROKEN] * 9
    task = play(running(), *away, running(), *away, DONE)
    assert task.run() == DONE
    assert sum(task.naps) > 120
    assert sum("WARNING" in text for text in task.shown) == 2


def test_silence_is_about_progress_not_about_trouble(play):
    task = play(running(), BROKEN, running(), DONE, args={**GIVEN, "progress_interval": 0})
    assert task.run() == DONE
    assert ["WARNING" in text for text in task.shown] == [True]


# --- logind ----------------------------------------------------------------------


ENDS = {"session": "session-7.scope", "pid": 4711}


class TestACopyThatEndsWithItsSession:
    def test_is_moved_out_of_it_by_root(self, play):
        task = play(running(ends_with=ENDS), running(ends_with=None), DONE)
        assert task.run() == DONE
        [(first, looked), (second, moved)] = task.by_root
        assert (first, looked) == ("ansible.builtin.stat", {"path": "/proc/4711"})
        assert second == "ansible.builtin.command"
        assert moved["argv"] == scope_argv(4711, "/pgdata")
        assert "WARNING" not in " ".join(task.shown)

    def test_is_moved_again_if_it_was_started_again(self, play):
        task = play(running(ends_with=ENDS), running(ends_with={**ENDS, "pid": 4712}), DONE)
        task.run()
        assert [arguments.get("path") for _module, arguments in task.by_root][::2] == ["/proc/4711", "/proc/4712"]

    @pytest.mark.parametrize("ends_with", [None, {}], ids=str)
    def test_others_are_left_where_they_are(self, play, ends_with):
        task = play(running(ends_with=ends_with), DONE)
        task.run()
        assert task.by_root == []

    def test_if_nobody_may_move_it_that_is_told_once_and_the_copy_goes_on(self, play):
        task = play(running(ends_with=ENDS), running(ends_with=ENDS), DONE)
        task.refused = {"failed": True, "msg": "sudo: a password is required"}
        assert task.run() == DONE
        [warning] = [line for line in task.shown if "WARNING" in line]
        assert ("session-7.scope" in warning, "a password is required" in warning) == (True, True)

    def test_another_users_process_is_left_alone(self, play):
        task = play(running(ends_with=ENDS), DONE)
        task.owner = "root"
        task.run()
        assert [module for module, _arguments in task.by_root] == ["ansible.builtin.stat"]
        assert "process 4711 belongs to root, not to postgres" in " ".join(task.shown)

    def test_without_become_it_is_tried_as_who_has_logged_in(self, play):
        task = play(running(ends_with=ENDS), DONE)
        task.connection.become = None
        task.root = lambda module_name, module_args: task.by_root.append(module_name) or {"stat": {}}
        task.run()
        assert task.by_root == ["ansible.builtin.stat", "ansible.builtin.command"]
