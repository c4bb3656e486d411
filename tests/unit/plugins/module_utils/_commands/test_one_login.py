# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ssh is told; that a real sshd sees one login is tested on the lab."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.one_login import one_login

PARAMS = {"barman_host": "barman@backup", "ssh_options": ["-p", "2222"], "barman_server": "pg"}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Temporary directories are made in one whose path is short; nothing is left there."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)
        assert list(Path(directory).rglob("pgfleet.*")) == []


def socket_of(asked):
    [path] = [word.partition("=")[2] for word in asked["ssh_options"] if word.startswith("ControlPath=")]
    return Path(path)


def test_the_users_options_come_first_and_all_else_stays():
    with one_login(PARAMS) as asked:
        assert asked["ssh_options"][:3] == ["-p", "2222", "-o"]
        assert {**asked, "ssh_options": PARAMS["ssh_options"]} == PARAMS
        assert socket_of(asked).parent.stat().st_mode & 0o777 == 0o700
    assert PARAMS["ssh_options"] == ["-p", "2222"]


@pytest.mark.parametrize("options", [None, []])
def test_without_options_of_the_users(options):
    with one_login({**PARAMS, "ssh_options": options}) as asked:
        assert asked["ssh_options"][0] == "-o"


def test_the_connection_ends_with_the_work_also_if_that_fails(host):
    def fail():
        with one_login(PARAMS) as asked:
            socket_of(asked).touch()
            BarmanHost.from_params(asked).shell().run(["true"])
            raise ValueError("as it happens")

    with pytest.raises(ValueError, match="as it happens"):
        fail()
    first, last = host.calls()
    assert first[-1] == "true"
    assert last[-4:] == ["-O", "exit", "--", "barman@backup"]


def test_nobody_is_asked_to_end_what_was_never_begun(host):
    with one_login(PARAMS):
        pass
    assert host.calls() == []


@pytest.mark.parametrize("place", ["x" * 90, "50%"])
def test_where_no_socket_fits_each_program_logs_in_by_itself(short, monkeypatch, place):
    os.mkdir(short / place)
    monkeypatch.setattr(tempfile, "tempdir", str(short / place))
    with one_login(PARAMS) as asked:
        assert asked == PARAMS


def test_barman_on_this_host_needs_none():
    params = {**PARAMS, "barman_host": None}
    with one_login(params) as asked:
        assert asked == params
