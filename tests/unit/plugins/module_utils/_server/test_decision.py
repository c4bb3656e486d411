# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._server.decision import (
    ObservedServer,
    act,
    require_own_unit,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._server.unit import Unit

UNIT = Unit("postgresql-15")
DOWN = ObservedServer("/data", "standby", "/data")
STRAY = replace(DOWN, pid=7)
BY_UNIT = replace(STRAY, unit=UNIT._replace(active="active", main_pid=7))
COMING = replace(DOWN, unit=UNIT._replace(active="activating", sub="auto-restart"))


@pytest.mark.parametrize(
    ("seen", "actions"),
    [
        # For started, stopped, reloaded, restarted.
        pytest.param(DOWN, "start none start start", id="no server"),
        pytest.param(replace(DOWN, unit=UNIT), "start none start start", id="no server, and a unit at rest"),
        pytest.param(STRAY, "none stop reload restart", id="a server of no unit"),
        pytest.param(BY_UNIT, "none stop reload restart", id="a server of the unit"),
        pytest.param(
            replace(COMING, configured="/data"), "start stop start start", id="systemd is about to start this one"
        ),
        pytest.param(
            COMING, "start none start start", id="systemd is about to start a server of which nothing is known"
        ),
    ],
)
def test_what_is_to_be_done(seen, actions):
    states = ("started", "stopped", "reloaded", "restarted")
    assert [act(state, seen) for state in states] == actions.split()


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(DOWN, id="no unit is named"),
        pytest.param(replace(DOWN, unit=UNIT), id="a unit of which nothing is known"),
        pytest.param(replace(DOWN, unit=UNIT, configured="/data"), id="a unit that names this directory"),
        pytest.param(BY_UNIT, id="its main process is the server"),
        pytest.param(replace(STRAY, unit=UNIT), id="the unit is at rest, and the server of no unit"),
    ],
)
@pytest.mark.parametrize("action", ["none", "start", "stop", "reload", "restart"])
def test_a_unit_that_may_be_used(seen, action):
    require_own_unit(seen, action)


OTHERS = replace(DOWN, unit=UNIT._replace(active="active", main_pid=9), works_in="/other")


@pytest.mark.parametrize(
    ("seen", "code", "said"),
    [
        (replace(DOWN, unit=UNIT._replace(load="not-found")), "service_unknown", "its state is not-found"),
        (replace(DOWN, unit=UNIT._replace(load="masked")), "service_unknown", "its state is masked"),
        (replace(DOWN, unit=UNIT, configured="/other"), "service_other_server", "names the data directory /other"),
        (OTHERS, "service_other_server", "its main process is 9 in /other"),
        (replace(OTHERS, pid=7, works_in=None), "service_other_server", "its main process is 9."),
        (
            replace(DOWN, unit=UNIT._replace(active="active", sub="exited")),
            "service_other_server",
            "it is active and has no main process",
        ),
        (
            replace(STRAY, unit=UNIT, own_unit="postgresql@15-main.service"),
            "service_other_server",
            "(pid 7) is the main process of postgresql@15-main.service. Nothing was changed."
            " Next: give service=postgresql@15-main.service.",
        ),
    ],
)
@pytest.mark.parametrize("action", ["start", "stop", "restart"])
def test_a_unit_that_is_not_the_directorys(seen, code, said, action):
    with pytest.raises(StandbyError) as refused:
        require_own_unit(seen, action)
    assert (refused.value.code, said in refused.value.msg) == (code, True), refused.value.msg


@pytest.mark.parametrize("action", ["none", "reload"])
def test_what_does_not_use_the_unit_does_not_mind(action):
    require_own_unit(replace(OTHERS, pid=7), action)
