# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.reboot import after_reboot, once_enabled
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit import (
    DebianCluster,
    Starter,
    StartUnit,
    parse_start_unit,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._starter.recorded import VERSIONS, shown


def starter(file_state="disabled", wanted_by=(), cluster=None, load="loaded"):
    return Starter(StartUnit("u", load=load, file_state=file_state, wanted_by=wanted_by), cluster=cluster)


def of_debian(start="auto", umbrella=True, file_state="enabled-runtime", wanted_by=("postgresql.service",)):
    return starter(file_state, wanted_by, DebianCluster("/etc/c", start, "", umbrella_at_boot=umbrella))


@pytest.mark.parametrize(
    ("seen", "starts", "why"),
    [
        (starter("enabled"), True, "is enabled"),
        (starter("enabled", ("multi-user.target",)), True, "wanted by multi-user.target"),
        (starter("generated"), True, "is generated"),
        (starter("static", ("other.service",)), True, "wanted by other.service"),
        (starter("disabled"), False, "is disabled"),
        (starter("linked"), False, "is linked"),
        (starter(""), False, "is not enabled"),
        (starter("static"), False, "no [Install] section"),
        (starter("enabled-runtime", ("multi-user.target",)), False, "until the next reboot only"),
        (starter("masked", load="masked"), False, "does not know a unit u that it may start"),
        (of_debian(), True, "start.conf says auto"),
        (of_debian(file_state="disabled", wanted_by=()), True, "start.conf says auto"),
        (of_debian("manual"), False, "start.conf says manual"),
        (of_debian("manual", file_state="enabled"), True, "is enabled"),
        (of_debian("disabled", file_state="enabled"), False, "start.conf says disabled"),
        (of_debian(umbrella=False), False, "postgresql.service"),
        (of_debian(umbrella=False, file_state="enabled"), True, "is enabled"),
    ],
)
def test_whether_a_unit_is_started_again_and_why(seen, starts, why):
    told = after_reboot(seen)
    assert (told.starts, why in told.why) == (starts, True), told
    assert bool(told.step) == (not starts)


@pytest.mark.parametrize(("enabled", "starts"), [(True, True), (False, False)])
def test_what_will_be_once_it_is_enabled(enabled, starts):
    assert after_reboot(once_enabled(starter("disabled" if enabled else "enabled"), enabled)).starts is starts


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("name", "starts"), [("postgresql-15", True), ("postgresql-16", False), ("pg-static", False)])
def test_units_as_systemd_shows_them(version, name, starts):
    assert after_reboot(Starter(parse_start_unit(name, shown(version)[name]))).starts is starts
