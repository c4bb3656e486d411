# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd is a program that prints what a real one has printed."""

from __future__ import annotations

import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._server import unit as _unit
from ansible_collections.pgfleet.standby.plugins.module_utils._starter import unit_facts as _unit_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit_facts import look
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._starter.recorded import shown
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree

# Of a host whose first process is not systemd, by systemd 252.
NO_SYSTEMD = "System has not been booted with systemd as init system (PID 1). Can't operate.\n"


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """Answers for units; ``etc`` is the directory of Debian's clusters."""
    bin_directory, units, etc = tmp_path / "bin", tmp_path / "units", tmp_path / "etc"
    write_tree(bin_directory, {"systemctl": f'#!/bin/sh\nfor unit; do :; done\ncat "{units}/${{unit%.service}}"\n'})
    (bin_directory / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_directory}:{os.environ['PATH']}")
    monkeypatch.setattr(_unit, "_CLUSTERS", str(etc))
    write_tree(units, shown("252"))
    return tmp_path


def test_a_directory_is_told_by_its_real_path(systemd):
    (systemd / "link").symlink_to("/srv/real")
    text = f"LoadState=loaded\nEnvironment=PGDATA={systemd}/link/data/\n"
    write_tree(systemd, {"units/u": text})
    starter = look("u", {})
    assert (starter.real, starter.cluster) == ("/srv/real/data", None)


def test_environment_files_count(systemd):
    write_tree(systemd, {"pg": "PGDATA=/srv/of/file\n", "units/u": f"{shown('252')['postgresql-15']}"})
    text = shown("252")["postgresql-15"] + f"EnvironmentFiles={systemd}/pg (ignore_errors=yes)\n"
    write_tree(systemd, {"units/u": text})
    assert look("u", {}).real == "/srv/of/file"
    (systemd / "pg").unlink()
    assert look("u", {}).real == "/var/lib/pgsql/15/data"


@pytest.mark.parametrize(
    ("files", "start", "options"),
    [
        ({}, "auto", ""),
        ({"start.conf": "# auto\n\nmanual\n"}, "manual", ""),
        ({"start.conf": "disabled # for now\n", "pg_ctl.conf": "pg_ctl_options = '-t 9'\n"}, "disabled", "-t 9"),
    ],
)
def test_debians_cluster(systemd, files, start, options):
    write_tree(systemd / "etc/15/main", files)
    cluster = look("postgresql@15-main", {}).cluster
    assert (cluster.directory, cluster.start, cluster.options) == (f"{systemd}/etc/15/main", start, options)
    assert cluster.umbrella_at_boot is True


class TestEnvironment:
    def test_of_debians_cluster_it_is_its_file_alone(self, systemd):
        text = shown("252")["postgresql@15-main"].replace("Environment=", "Environment=TZ=Europe/Paris")
        assert "Environment=TZ" in text
        write_tree(systemd, {"units/postgresql@15-main": text, "etc/15/main/environment": "PGTZ = 'UTC'\n"})
        starter = look("postgresql@15-main", {})
        assert (starter.environment, starter.cluster.mistakes) == ({"PGTZ": "UTC"}, ())

    def test_of_another_unit_it_is_the_units(self, systemd):
        write_tree(systemd, {"units/u": "LoadState=loaded\nEnvironment=PGDATA=/srv/pg TZ=UTC\n"})
        assert look("u", {}).environment == {"PGDATA": "/srv/pg", "TZ": "UTC"}

    @pytest.mark.parametrize("name", ["environment", "pg_ctl.conf"])
    def test_a_line_that_pg_ctlcluster_does_not_take_is_told_with_its_place(self, systemd, name):
        write_tree(systemd / "etc/15/main", {name: "# ours\nA = /opt\n"})
        assert look("postgresql@15-main", {}).cluster.mistakes == (f"{systemd}/etc/15/main/{name}:2",)


@pytest.mark.parametrize(
    ("program", "said"),
    [(f'echo "{NO_SYSTEMD.strip()}" >&2; exit 1', "System has not been booted"), (None, "command not found")],
    ids=["another init", "no systemctl"],
)
def test_no_systemd(systemd, monkeypatch, program, said):
    monkeypatch.setattr(_unit_facts, "_BOOTED", str(systemd / "nowhere"))
    if program is None:
        monkeypatch.setenv("PATH", str(systemd / "nowhere"))
    else:
        write_tree(systemd, {"bin/systemctl": f"#!/bin/sh\n{program}\n"})
    with pytest.raises(StandbyError, match=said) as refused:
        look("postgresql-15", {})
    assert refused.value.code == "systemd_missing"


def test_a_systemd_that_lets_only_root_ask(systemd, monkeypatch):
    """As systemd 252 says it to others where there is no D-Bus."""
    monkeypatch.setattr(_unit_facts, "_BOOTED", str(systemd))
    said = "Failed to connect to bus: No such file or directory"
    write_tree(systemd, {"bin/systemctl": f"#!/bin/sh\necho '{said}' >&2; exit 1\n"})
    assert look("postgresql@15-main", {}) is None


def test_what_root_was_told_counts(systemd, monkeypatch):
    write_tree(systemd, {"bin/systemctl": "#!/bin/sh\nexit 1\n"})
    told = {
        "postgresql@15-main": {"LoadState": "masked"},
        "postgresql.service": {"LoadState": "loaded", "UnitFileState": "disabled"},
    }
    starter = look("postgresql@15-main", told)
    assert (starter.unit.load, starter.cluster.umbrella_at_boot) == ("masked", False)
