# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError


@pytest.mark.parametrize(
    ("params", "host"),
    [
        ({"barman_host": "barman@backup", "ssh_options": ["-p", "2222"]}, BarmanHost("barman@backup", ("-p", "2222"))),
        ({"barman_host": "backup", "ssh_options": None}, BarmanHost("backup")),
        ({"barman_host": None, "ssh_options": []}, BarmanHost("")),
        ({}, BarmanHost("")),
    ],
    ids=["with options", "null", "on this host", "not asked for"],
)
def test_is_what_the_options_name(params, host):
    assert BarmanHost.from_params(params) == host


def test_has_a_shell_that_connects_as_the_host_says(host):
    far = BarmanHost("barman@backup", ("-p", "2222"))
    assert far.shell().run(["echo", "it's"]).out == "it's\n"
    [call] = host.calls()
    assert call[call.index("-p") :][:2] == ["-p", "2222"]
    assert call[-3:-1] == ["--", "barman@backup"]


def test_has_no_shell_for_what_ssh_would_take_for_an_option():
    with pytest.raises(StandbyError, match="barman_host="):
        BarmanHost("-oProxyCommand=id").shell()


@pytest.mark.parametrize(
    ("destination", "address"),
    [
        ("backup", "backup:/b"),
        ("barman@backup", "barman@backup:/b"),
        ("::1", "[::1]:/b"),
        ("barman@[::1]", "barman@[::1]:/b"),
        ("barman@fe80::1%eth0", "barman@[fe80::1%eth0]:/b"),
        ("a@b@host", "a@b@host:/b"),
    ],
)
def test_has_an_address_for_rsync(destination, address):
    assert BarmanHost(destination).address("/b") == address


class TestRsync:
    ARGV = BarmanHost("backup").rsync("/b c/data/", "/pg/", ["--bwlimit=5"])

    @pytest.mark.parametrize("option", ["--delete", "-a", "--archive", "--links", "--recursive", "-z"])
    def test_has_nothing_dangerous(self, option):
        assert option not in self.ARGV

    def test_ends_with_source_and_target_as_directories(self):
        assert self.ARGV[-3:] == ["--bwlimit=5", "backup:/b c/data/", "/pg/"]

    def test_leaves_names_to_no_shell_and_times_of_directories_alone(self):
        assert {"-s", "--from0", "--no-implied-dirs", "--omit-dir-times"} <= set(self.ARGV)

    def test_connects_as_every_ssh_does_with_the_options_of_the_source(self):
        argv = BarmanHost("backup", ("-o", "ControlPath=it's %h")).rsync("/b", "/pg")
        [shell] = [word for word in argv if word.startswith("--rsh=")]
        assert shell.index("'StrictHostKeyChecking=yes'") < shell.index("'ControlPath=it''s %h'")
