# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands import program_group as _program_group
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell, SshShell, ssh_argv
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.tests.waiting import BOUND, FOR_EVER, is_gone, wait_until


class TestLocalShell:
    def test_judges_no_exit_code(self):
        done = LocalShell().run(["sh", "-c", "echo out; echo err >&2; exit 1"])
        assert done[1:] == (1, "out\n", "err\n")

    def test_gives_arguments_to_no_shell(self):
        assert LocalShell().run(["printf", "%s", "$HOME `id`; *"]).out == "$HOME `id`; *"

    def test_keeps_bytes_that_are_no_utf_8(self):
        assert LocalShell().run(["printf", r"a\377b"]).out == "a\udcffb"

    def test_speaks_english(self, monkeypatch):
        monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
        monkeypatch.setenv("LANGUAGE", "de")
        assert LocalShell().run(["sh", "-c", 'echo "$LC_ALL $LANGUAGE"']).out == "C C\n"

    def test_speaks_without_colours(self, monkeypatch):
        monkeypatch.setenv("PG_COLOR", "always")
        assert LocalShell().run(["sh", "-c", 'echo "$PG_COLOR"']).out == "never\n"

    def test_lets_nobody_wait_for_input(self):
        assert LocalShell().run(["cat"], timeout=BOUND).out == ""

    @pytest.mark.parametrize("program", ["pgfleet-no-such-program", "/nowhere/program"])
    def test_tells_a_missing_program_as_a_shell_does(self, program):
        assert LocalShell().run([program])[1:] == (127, "", f"{program}: command not found")

    @pytest.mark.parametrize("name", ["text", "text/program"])
    def test_takes_what_is_no_program_for_missing(self, tmp_path, name):
        (tmp_path / "text").write_text("", encoding="utf-8")
        assert LocalShell().run([f"{tmp_path}/{name}"]).rc == 127

    def test_ends_what_takes_too_long(self):
        with pytest.raises(StandbyError, match=r"sleep did not finish within 0\.05 seconds") as refused:
            LocalShell().run(["sleep", str(FOR_EVER)], timeout=0.05)
        assert refused.value.code == "command_timeout"

    def test_time_without_end(self):
        assert LocalShell().run(["true"], timeout=400 * 86400).rc == 0


class TestSshShell:
    @pytest.mark.parametrize(
        "destination", ["backup", "barman@backup", "backup.example.org", "::1", "barman@10.0.0.1", "alias_1"]
    )
    def test_takes_a_destination(self, destination):
        assert SshShell(destination).where == destination

    @pytest.mark.parametrize(("destination", "plain"), [("[::1]", "::1"), ("a@b@[fe80::1%eth0]", "a@b@fe80::1%eth0")])
    def test_takes_an_ipv6_address_as_others_write_it(self, destination, plain):
        assert SshShell(destination).where == plain

    @pytest.mark.parametrize(
        "destination",
        ["", "-oProxyCommand=id", "-", "two words", "host\n", "host\0", "\thost", "host\x7f"],
        ids=["empty", "option", "dash", "space", "line feed", "NUL", "tab", "delete"],
    )
    def test_refuses_what_ssh_would_take_for_something_else(self, destination):
        with pytest.raises(StandbyError, match="barman_host=") as refused:
            SshShell(destination)
        assert refused.value.code == "barman_host_invalid"

    @pytest.mark.parametrize(
        "options", [["host"], ["-p"], ["-p", "22", "host"], ["-4", "host"], ["-oUser=x", "host"], ["-o", "A=b", "-i"]]
    )
    def test_refuses_options_that_would_name_another_destination(self, options):
        with pytest.raises(StandbyError) as error:
            SshShell("barman", options).run(["true"])
        assert error.value.code == "ssh_options_invalid"

    def test_runs_the_same_arguments_at_the_far_end(self, host):
        argv = ["printf", "%s|", "two words", "it's", "$HOME", "-n", ""]
        assert SshShell("barman@backup").run(argv).out == "two words|it's|$HOME|-n||"

    def test_calls_ssh_so_that_nothing_can_pass_for_an_option(self, host):
        SshShell("barman@backup", ["-p", "2222"]).run(["true"])
        assert host.calls() == [[*ssh_argv(["-p", "2222"])[1:], "--", "barman@backup", "true"]]

    def test_judges_no_exit_code_of_the_program(self, host):
        assert SshShell("backup").run(["sh", "-c", "exit 3"]).rc == 3

    def test_tells_why_ssh_failed(self, host):
        host.hook("echo 'Host key verification failed.' >&2; exit 255")
        with pytest.raises(StandbyError, match="Cannot reach the Barman host backup by ssh: its host key") as refused:
            SshShell("backup").run(["true"])
        assert refused.value.code == "ssh_host_key"
        assert (refused.value.result["rc"], refused.value.result["stderr"]) == (255, "Host key verification failed.\n")


class TestStream:
    @staticmethod
    def failed(rc, stderr):
        return StandbyError(Refusal("it_failed", f"it failed: {stderr}", "run again"), rc=rc)

    # With `exec` the program takes the place of the ssh that is ended, whose end it sees otherwise.
    def stream(self, *argv, timeout=BOUND):
        return SshShell("barman@backup").stream(argv, timeout, self.failed)

    def test_is_the_output_as_it_is(self, host):
        assert b"".join(self.stream("printf", r"a\0b\377%s\n", "it's $HOME")) == b"a\0b\xffit's $HOME\n"

    def test_of_nothing_is_nothing(self, host):
        assert list(self.stream("true")) == []

    def test_comes_in_portions(self, host):
        portions = list(self.stream("head", "-c", "5000000", "/dev/zero"))
        assert len(portions) > 2
        assert sum(map(len, portions)) == 5_000_000

    def test_comes_while_the_program_runs(self, host):
        assert all(itertools.islice(self.stream("cat", "/dev/zero"), 3))

    def test_ends_the_program_when_nobody_wants_the_rest(self, host):
        host.program("endless", f"#!/bin/sh\necho $$ >{host.root}/pid\nexec cat /dev/zero\n")
        stream = self.stream("exec", "endless")
        next(stream)
        stream.close()
        assert not Path("/proc", (host.root / "pid").read_text(encoding="utf-8").strip()).exists()

    def test_calls_ssh_as_every_command_does(self, host):
        list(SshShell("barman@backup", ["-p", "2222"]).stream(["true"], 60, self.failed))
        assert host.calls() == [[*ssh_argv(["-p", "2222"])[1:], "--", "barman@backup", "true"]]

    def test_that_fails_does_so_after_the_output(self, host):
        stream = self.stream("sh", "-c", "echo out; echo err >&2; exit 3")
        assert next(stream) == b"out\n"
        with pytest.raises(StandbyError, match="it failed: err") as failed:
            next(stream)
        assert (failed.value.code, failed.value.result["rc"]) == ("it_failed", 3)

    def test_is_not_held_up_by_much_on_stderr(self, host):
        with pytest.raises(StandbyError) as failed:
            list(self.stream("sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' e >&2; exit 1"))
        assert 0 < len(str(failed.value)) < 100_000

    def test_tells_why_ssh_failed(self, host):
        host.hook("echo 'Host key verification failed.' >&2; exit 255")
        with pytest.raises(StandbyError, match="Cannot reach the Barman host barman@backup") as refused:
            list(self.stream("true"))
        assert refused.value.code == "ssh_host_key"

    def test_tells_when_there_is_no_ssh(self, host, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(StandbyError, match="it failed: ssh: command not found") as failed:
            list(self.stream("true"))
        assert failed.value.result["rc"] == 127

    def test_is_ended_when_it_takes_too_long(self, host):
        with pytest.raises(StandbyError, match=r"ssh did not finish within 0\.2 seconds") as refused:
            list(self.stream("exec", "sleep", str(FOR_EVER), timeout=0.2))
        assert refused.value.code == "command_timeout"

    def test_that_ended_in_time_is_not_overdue_while_it_is_read(self, host, monkeypatch):
        timers = []

        def timer(_seconds, function):
            timers.append(function)
            return SimpleNamespace(start=lambda: None, cancel=lambda: None)

        monkeypatch.setattr(_program_group.threading, "Timer", timer)
        host.program("quick", f"#!/bin/sh\necho $$ >{host.root}/pid\nprintf x\n")
        stream = self.stream("exec", "quick")
        assert next(stream) == b"x"
        quick = (host.root / "pid").read_text(encoding="utf-8").strip()
        wait_until(lambda: is_gone(quick), "the end of the program")
        timers.pop()()
        assert list(stream) == []

    def test_leaves_no_file_open(self, host):
        before = os.listdir("/proc/self/fd")
        list(self.stream("true"))
        assert os.listdir("/proc/self/fd") == before

    def test_speaks_english(self, host, monkeypatch):
        monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
        assert b"".join(self.stream("sh", "-c", "echo $LC_ALL")) == b"C\n"


@pytest.fixture
def effective(tmp_path):
    """The settings that the real ssh would use."""

    def ask(options):
        argv = [*ssh_argv(options), "-F", "none", "-G", "backup"]
        printed = subprocess.run(argv, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
        return dict(line.split(" ", 1) for line in printed.splitlines() if " " in line)

    return ask


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-o", "StrictHostKeyChecking=no"),
        ("-oStrictHostKeyChecking=accept-new",),
        ("-o", "stricthostkeychecking no", "-o", "BatchMode no"),
        ("-t", "-oBatchMode=no"),
    ],
    ids=" ".join,
)
def test_nobody_switches_off_host_keys_or_brings_back_prompts(effective, options):
    found = effective(options)
    assert (found["stricthostkeychecking"], found["batchmode"]) == ("true", "yes")


@pytest.mark.parametrize(("options", "seconds"), [((), "15"), (("-o", "ConnectTimeout=99"), "99")])
def test_time_outs_are_defaults(effective, options, seconds):
    assert effective(options)["connecttimeout"] == seconds


class TestTied:
    """The far end is this host: what it runs there can be seen here."""

    def test_tells_how_it_ended_and_what_it_said(self, host):
        done = SshShell("barman@backup").run_tied(["sh", "-c", "echo out; echo err >&2; exit 3", "it's"])
        assert (done.rc, done.out, done.err) == (3, "out\n", "err\n")

    def test_ends_with_whoever_started_it(self, host, tmp_path):
        pid = tmp_path / "pid"
        child = os.fork()
        if child == 0:
            try:
                SshShell("barman@backup").run_tied(["sh", "-c", f'echo $$ >"$0"; sleep {FOR_EVER}', str(pid)])
            finally:
                os._exit(0)
        wait_until(lambda: pid.exists() and pid.read_text(encoding="utf-8"))
        started = pid.read_text(encoding="utf-8").strip()
        assert not is_gone(started)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        wait_until(lambda: is_gone(started))

    def test_tells_why_ssh_failed(self, host):
        host.hook("echo 'Permission denied (publickey).' >&2; exit 255")
        with pytest.raises(StandbyError) as caught:
            SshShell("barman@backup").run_tied(["true"])
        assert caught.value.code == "ssh_auth"
