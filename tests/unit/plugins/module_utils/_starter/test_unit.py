# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit import (
    DebianCluster,
    Starter,
    StartUnit,
    environment_of,
    parse_start_unit,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._starter.recorded import VERSIONS, shown

PGDG = StartUnit(
    "postgresql-15",
    kind="notify",
    command="/usr/pgsql-15/bin/postmaster -D ${PGDATA}",
    environment={
        "PGDATA": "/var/lib/pgsql/15/data/",
        "PG_OOM_ADJUST_FILE": "/proc/self/oom_score_adj",
        "PG_OOM_ADJUST_VALUE": "0",
    },
    file_state="enabled",
    wanted_by=("multi-user.target",),
    files=("/etc/systemd/system/postgresql-15.service",),
)


@pytest.mark.parametrize("version", VERSIONS)
class TestRecorded:
    def unit(self, version, name):
        return parse_start_unit(name, shown(version)[name])

    def test_a_whole_unit(self, version):
        assert self.unit(version, "postgresql-15") == PGDG

    @pytest.mark.parametrize(
        ("name", "load", "stands", "directory", "timeout", "at_boot", "can_be_enabled"),
        [
            ("postgresql-15", "loaded", False, "/var/lib/pgsql/15/data/", None, True, True),
            ("postgresql-16", "loaded", False, "/srv/pg16", 90, False, True),
            ("pg-static", "loaded", False, "/srv/pg", 90, False, False),
            ("postgresql", "loaded", True, None, None, True, True),
            ("postgresql@15-main", "loaded", False, None, None, False, True),
            ("postgresql@15-spare", "loaded", False, None, None, False, True),
            ("gone", "masked", False, None, 90, False, True),
            ("nosuch", "not-found", False, None, 90, False, True),
            ("postgresql@", "not-found", False, None, None, False, True),
        ],
    )
    def test_what_each_tells(self, version, name, load, stands, directory, timeout, at_boot, can_be_enabled):
        unit = self.unit(version, name)
        told = (unit.load, unit.stands_for_others, unit.directory(), unit.start_limit)
        assert told == (load, stands, directory, timeout)
        assert (unit.at_boot, unit.can_be_enabled) == (at_boot, can_be_enabled)

    def test_a_drop_in(self, version):
        unit = self.unit(version, "postgresql-16")
        assert (unit.user, unit.environment_files) == ("postgres", ("/etc/sysconfig/pg",))
        assert unit.files[1:] == ("/etc/systemd/system/postgresql-16.service.d/ours.conf",)

    def test_what_the_command_line_sets(self, version):
        assert self.unit(version, "postgresql-15").settings() == {}
        found = self.unit(version, "postgresql-16").settings()
        assert found == {"config_file": "/etc/pg/16.conf", "hot_standby": "off"}
        assert self.unit(version, "pg-static").settings() == {"max_connections": "50"}


@pytest.mark.parametrize(
    ("command", "environment", "directory", "settings"),
    [
        ("/b/postgres -D /srv/a", {}, "/srv/a", {}),
        ("/b/postgres -D/srv/a --hot-standby=off", {}, "/srv/a", {"hot_standby": "off"}),
        ("/b/pg_ctl start --pgdata=/srv/a", {}, "/srv/a", {}),
        ("/b/postgres", {"PGDATA": "/srv/a"}, "/srv/a", {}),
        ("/b/pg_ctl start -D $DIR -o $OPTS", {"DIR": "/a", "OPTS": "-c port=1 -c Work_Mem='2 MB'"}, "/a", None),
        ("/b/postgres -D ${NOTHING}", {}, None, {}),
        ("/b/postgres -D relative", {}, None, {}),
        ("/b/wrapper", {}, None, {}),
    ],
)
def test_what_a_command_starts(command, environment, directory, settings):
    unit = StartUnit("u", command=command, environment=environment)
    expected = {"port": "1", "work_mem": "2 MB"} if settings is None else settings
    assert (unit.directory(), unit.settings()) == (directory, expected)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1min 30s", 90), ("5min", 300), ("1h 2min 3s", 3723), ("1d", 86400), ("500ms", 0.5), ("infinity", None)],
)
def test_a_span_of_time(text, seconds):
    assert parse_start_unit("u", f"TimeoutStartUSec={text}\n").start_limit == seconds


def test_an_environment_is_read_as_systemd_does():
    text = "# PGDATA=/no\nPGDATA=/srv/a\nOPTS='-c port=1'\nOPEN='\n; x\n"
    assert environment_of(text) == {"PGDATA": "/srv/a", "OPTS": "-c port=1"}


def test_debians_options_are_those_of_the_command_line():
    cluster = DebianCluster("/etc/postgresql/15/main", "auto", "-o \"-c 'hot_standby=off' -c work_mem=2MB\"", True)
    starter = Starter(StartUnit("postgresql@15-main", command="/usr/bin/pg_ctlcluster 15-main start"), None, cluster)
    assert starter.settings == {"hot_standby": "off", "work_mem": "2MB"}
