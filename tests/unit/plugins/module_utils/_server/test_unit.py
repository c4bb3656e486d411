# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._server.unit import (
    Unit,
    debian_cluster,
    parse_unit,
    unit_of_cgroup,
)

# systemctl show of systemd 252 on Debian 12.
RUNNING = """\
MainPID=586
Result=success
Environment=
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled-runtime
Job=
"""
# Of the PGDG's packages for RHEL, as a unit that is being started.
STARTING = """\
MainPID=0
Result=success
Environment=PGDATA=/var/lib/pgsql/15/data/ "PGOPTS=-c port=5433" PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj
LoadState=loaded
ActiveState=activating
SubState=start
UnitFileState=disabled
Job=4711
"""
UNKNOWN = "MainPID=0\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n"


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (RUNNING, Unit("u", active="active", sub="running", main_pid=586, file_state="enabled-runtime")),
        (
            STARTING,
            Unit(
                "u", active="activating", sub="start", file_state="disabled", pgdata="/var/lib/pgsql/15/data/", job=True
            ),
        ),
        (UNKNOWN, Unit("u", load="not-found")),
        ("", Unit("u", load="not-found")),
        ("Job=0\nLoadState=loaded\n", Unit("u")),
        ('Environment="PGDATA=/srv/a \\"b\\" c"\nLoadState=loaded', Unit("u", pgdata='/srv/a "b" c')),
    ],
)
def test_parse(text, unit):
    assert parse_unit("u", text) == unit


@pytest.mark.parametrize(
    ("unit", "exists", "enabled", "at_rest"),
    [
        (parse_unit("u", RUNNING), True, False, False),
        (parse_unit("u", STARTING), True, False, False),
        (parse_unit("u", UNKNOWN), False, False, True),
        (Unit("u", load="masked", file_state="masked"), False, False, True),
        (Unit("u", active="failed", file_state="enabled"), True, True, True),
        (Unit("u", file_state="linked"), True, False, True),
        (Unit("u", active="activating", sub="auto-restart"), True, False, False),
        (Unit("u", active="inactive", job=True), True, False, False),
    ],
)
def test_what_it_tells(unit, exists, enabled, at_rest):
    assert (unit.exists, unit.enabled, unit.at_rest) == (exists, enabled, at_rest)


@pytest.mark.parametrize(
    ("state", "decided"),
    [("static", True), ("generated", True), ("indirect", True), ("enabled", False), ("enabled-runtime", False)],
)
def test_whether_it_can_be_enabled_and_disabled(state, decided):
    assert Unit("u", file_state=state).decided_elsewhere == decided


@pytest.mark.parametrize(
    ("service", "cluster"),
    [
        ("postgresql@15-main", ("15", "main")),
        ("postgresql@9.6-two-words.service", ("9.6", "two-words")),
        ("postgresql-15", None),
        ("postgresql", None),
        ("postgresql@main", None),
    ],
)
def test_whether_debians_packaging_made_it(service, cluster):
    assert debian_cluster(service) == cluster


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n", "postgresql@15-main.service"),
        ("12:pids:/x\n1:name=systemd:/system.slice/postgresql-15.service\n0::/\n", "postgresql-15.service"),
        ("0::/user.slice/user-26.slice/session-3.scope\n", None),
        ("0::/\n", None),
        ("12:pids:/x.service\n", None),
        ("", None),
    ],
)
def test_the_unit_of_a_process(text, unit):
    assert unit_of_cgroup(text) == unit
