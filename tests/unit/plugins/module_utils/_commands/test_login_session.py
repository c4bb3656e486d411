# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's word on a process is a file, and logind is a program that prints what a real one has printed."""

from __future__ import annotations

import os
import pwd

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands import login_session as _login_session
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.login_session import (
    Session,
    ended_with,
    scope_argv,
)

UID = os.getuid()
NAME = pwd.getpwuid(UID).pw_name
SLICE = f"/user.slice/user-{UID}.slice"
OURS = Session("session-12845.scope", UID)
KILLS = "b true\nas 0\nas 0\n"


@pytest.fixture
def ends(tmp_path, monkeypatch):
    """The session with which a process ends, from its cgroups and what logind says of itself."""
    program = tmp_path / "busctl"
    program.write_text(f'#!/bin/sh\ncat "{tmp_path}/told"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(_login_session, "_PROC", str(tmp_path))
    (tmp_path / "4711").mkdir()

    def of(cgroup, told):
        (tmp_path / "4711" / "cgroup").write_text(cgroup)
        if told is not None:
            (tmp_path / "told").write_text(told)
        return ended_with(4711)

    return of


@pytest.mark.parametrize(
    ("cgroup", "session"),
    [
        (f"0::{SLICE}/session-12845.scope\n", OURS),
        (f"12:pids:/x\n9:name=systemd:/libpod/c{SLICE}/session-12845.scope\n", OURS),
        (f"0::{SLICE}/session-c2.scope/part\n", Session("session-c2.scope", UID)),
        (f"0::{SLICE}/user@{UID}.service/app.slice/x.scope\n", None),
        ("0::/system.slice/pgfleet-copy-srv-pg.scope\n", None),
        (f"12:pids:{SLICE}/session-1.scope\n", None),
        ("0::/user.slice/user-4294967294.slice/session-1.scope\n", None),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_the_session_is_told_by_the_cgroups(ends, cgroup, session):
    assert ends(cgroup, KILLS) == session


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (KILLS, OURS),
        ("b false\nas 0\nas 0\n", None),
        ('b true\nas 1 "else"\nas 0\n', OURS),
        (f'b true\nas 2 "else" "{NAME}"\nas 0\n', None),
        (f'b true\nas 0\nas 1 "{NAME}"\n', OURS),
        ('b true\nas 0\nas 1 "else"\n', None),
        ("b true\n", None),
        ("", None),
        (None, None),
    ],
)
def test_whether_logind_ends_it_then_is_told_by_logind(ends, told, expected):
    assert ends(f"0::{SLICE}/session-12845.scope\n", told) == expected


def test_a_process_that_is_gone_ends_with_none(ends):
    ends("", KILLS)
    assert ended_with(4712) is None


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("/var/lib/postgresql/15/main", "pgfleet-copy-var-lib-postgresql-15-main.scope"),
        ("/srv//pg-data/", "pgfleet-copy-srv-pg\\x2ddata.scope"),
        ("/srv/é a", "pgfleet-copy-srv-\\xc3\\xa9\\x20a.scope"),
    ],
)
def test_a_scope_is_called_by_its_directory(directory, name):
    argv = scope_argv(4711, directory)
    assert (name in argv, argv[argv.index("PIDs") + 3]) == (True, "4711")
