# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit import (
    DebianCluster,
    Starter,
    StartUnit,
    parse_start_unit,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.verdicts import (
    WantedServer,
    is_template,
    starts,
    template,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._starter.recorded import VERSIONS, shown

ETC = "/etc/postgresql/15/main"
WANTED = WantedServer("/srv/pg", "/srv/pg", "postgres", 26)
PLAIN = StartUnit("u", kind="notify", command="/b/postgres -D /srv/pg", file_state="enabled")
MAIN = DebianCluster(ETC, "auto", "", umbrella_at_boot=True)


def told(unit=PLAIN, real="/srv/pg", cluster=None, data_directory="/srv/pg", **wanted):
    server = replace(WANTED, data_directory=data_directory, real=data_directory, **wanted)
    verdicts = starts(Starter(unit, real, cluster), server)
    assert {verdict.check for verdict in verdicts} == {"service"}
    return [(verdict.severity, verdict.error_code) for verdict in verdicts]


def of_debian(name="postgresql@15-main", wanted_by=("postgresql.service",), **cluster):
    unit = StartUnit(name, kind="forking", command="/usr/bin/pg_ctlcluster 15-main start", wanted_by=wanted_by)
    return {"unit": unit, "real": None, "cluster": replace(MAIN, **cluster), "config_directory": ETC}


OK = [("ok", None)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "data_directory", "expected"),
    [
        ("postgresql-15", "/var/lib/pgsql/15/data", OK),
        ("postgresql-15", "/srv/pg", [("error", "service_other_server")]),
        ("postgresql-16", "/srv/pg16", [("error", "service_other_configuration")]),
        ("pg-static", "/srv/pg", [("warning", "service_not_at_boot")]),
        ("postgresql", "/srv/pg", [("error", "service_umbrella")]),
        ("gone", "/srv/pg", [("error", "service_masked")]),
        ("nosuch", "/srv/pg", [("error", "service_unknown")]),
    ],
)
def test_units_as_systemd_shows_them(version, name, data_directory, expected):
    unit = parse_start_unit(name, shown(version)[name])
    real = unit.directory().rstrip("/") if unit.directory() else None
    assert told(unit, real, data_directory=data_directory) == expected


class TestDirectory:
    def test_by_another_path_it_is_the_same(self):
        assert told(replace(PLAIN, command="/b/postgres -D /link"), real="/srv/pg") == OK

    def test_that_of_its_configuration_is_right(self):
        unit = replace(PLAIN, command="/b/postgres -D /etc/pg")
        assert told(unit, real="/etc/pg", config_directory="/etc/pg") == OK
        assert told(unit, real="/etc/pg") == [("error", "service_other_server")]

    def test_one_that_is_not_told_is_no_other(self):
        assert told(replace(PLAIN, command="/b/wrapper"), real=None) == OK

    @pytest.mark.parametrize(
        ("config_directory", "expected"),
        [("/etc/pg", OK), ("/etc/pg/", OK), (None, [("error", "service_other_configuration")])],
    )
    def test_the_configuration_is_that_which_was_given(self, config_directory, expected):
        unit = replace(PLAIN, command="/b/postgres -D /srv/pg -c config_file=/etc/pg/postgresql.conf")
        assert told(unit, config_directory=config_directory) == expected

    @pytest.mark.parametrize("config_directory", [None, "/etc/postgresql/15/other"])
    def test_debians_is_that_of_the_cluster(self, config_directory):
        given = {**of_debian(), "config_directory": config_directory}
        assert told(**given) == [("error", "service_other_configuration")]


@pytest.mark.parametrize(
    ("user", "expected"),
    [("", OK), ("postgres", OK), ("26", OK), ("pgsql", [("error", "service_other_user")])],
)
def test_the_user_is_the_owner(user, expected):
    assert told(replace(PLAIN, user=user)) == expected


class TestTimeout:
    GB = 1 << 30

    @pytest.mark.parametrize(
        ("kind", "timeout", "wal", "expected"),
        [
            ("notify", None, 900 * GB, OK),
            ("notify", 90, 3 * GB, [("warning", "service_timeout_short")]),
            ("forking", 60, 3 * GB, [("warning", "service_timeout_short")]),
            ("notify", 90, GB, OK),
            ("simple", 90, 900 * GB, OK),
        ],
    )
    def test_lasts_for_the_wal_to_replay(self, kind, timeout, wal, expected):
        assert told(replace(PLAIN, kind=kind, start_limit=timeout), wal_to_replay=wal) == expected


class TestCommandLine:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ("-c work_mem=2MB -p 5433", OK),
            ("-c hot_standby=no", [("error", "setting_overridden")]),
            ("-c hot_standby=on", OK),
            ("-c recovery_target=immediate", [("error", "setting_overridden")]),
            ("-c primary_conninfo=host=x", [("error", "setting_overridden")]),
            ("-c max_connections=99", [("error", "setting_overridden")]),
            ("-c max_connections=100", OK),
            ("-c hba_file=/etc/pg/hba", OK),
            ("-c jit=on", [("error", "setting_overridden")]),
        ],
    )
    def test_sets_nothing_that_a_file_would_have_to_change(self, options, expected):
        unit = replace(PLAIN, command=f"{PLAIN.command} {options}")
        assert told(unit, limits={"max_connections": 100}, settings={"jit": "off"}) == expected

    def test_of_debians_pg_ctl_conf(self):
        assert told(**of_debian(options='-o "-c hot_standby=off"')) == [("error", "setting_overridden")]


class TestReboot:
    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            ({}, OK),
            ({"start": "manual"}, [("warning", "service_not_at_boot")]),
            ({"start": "disabled"}, [("error", "service_start_disabled")]),
            ({"umbrella_at_boot": False}, [("warning", "service_not_at_boot")]),
            ({"wanted_by": ()}, OK),
        ],
        ids=["auto", "manual", "disabled", "postgresql.service is disabled", "to be made"],
    )
    def test_of_debians_cluster(self, changed, expected):
        assert told(**of_debian(**changed)) == expected

    @pytest.mark.parametrize(
        ("state", "wanted_by", "expected", "words"),
        [
            ("enabled", (), OK, "which a reboot starts again"),
            ("disabled", (), OK, "once it is enabled, and it is disabled now"),
            ("enabled-runtime", ("multi-user.target",), OK, "once it is enabled, and it is enabled-runtime now"),
            ("linked", (), OK, "once it is enabled, and it is linked now"),
            ("static", ("other.service",), OK, "which a reboot starts again"),
            ("static", (), [("warning", "service_not_at_boot")], "it has no [Install] section"),
        ],
    )
    def test_of_another_unit(self, state, wanted_by, expected, words):
        unit = replace(PLAIN, file_state=state, wanted_by=wanted_by)
        assert told(unit) == expected
        [verdict] = starts(Starter(unit, "/srv/pg"), WANTED)
        assert words in verdict.msg


def test_a_file_of_debians_that_ends_its_packaging():
    place = f"{ETC}/environment:3"
    given = of_debian(mistakes=(place,))
    assert told(**given) == [("error", "service_file_invalid")]
    [verdict] = starts(Starter(given["unit"], cluster=given["cluster"]), replace(WANTED, config_directory=ETC))
    assert place in verdict.msg


@pytest.mark.parametrize(
    ("service", "expected"),
    [("postgresql@", True), ("postgresql@.service", True), ("postgresql@15-main", False), ("postgresql", False)],
)
def test_a_template(service, expected):
    assert is_template(service) == expected
    assert template(service).error_code == "service_template"


def test_everything_is_told_at_once():
    unit = replace(PLAIN, user="pgsql", start_limit=5.0, command=f"{PLAIN.command} -c hot_standby=off")
    assert told(unit, wal_to_replay=1 << 30) == [
        ("error", "service_other_user"),
        ("error", "setting_overridden"),
        ("warning", "service_timeout_short"),
    ]
