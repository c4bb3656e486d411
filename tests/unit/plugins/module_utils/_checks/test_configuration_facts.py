# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server is one that prints what a file sets, or its default."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.configuration_facts import (
    ConfigurationPlaces,
    of_backup,
    of_directory,
    of_upstream,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.roots import plan
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.fake_postgres import POSTGRES
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL

# As POSTGRES, and follows includes as a server does.
FOLLOWS_INCLUDES = f"""\
#!{sys.executable}
import os, re, sys
found = dict(max_connections=100, max_wal_senders=10, max_worker_processes=8, shared_preload_libraries="")
found.update(max_locks_per_transaction=64, max_prepared_transactions=0)
def read(path):
    for line in open(path):
        name, value = re.fullmatch("(\\\\w+)[ =]+'?([^']*)'?\\n", line).groups() if line[0] != "#" else ("", "")
        place = os.path.join(os.path.dirname(path), value)
        if name == "include_dir":
            inside = [os.path.join(place, one) for one in sorted(os.listdir(place)) if one.endswith(".conf")]
            [read(one) for one in inside if os.path.isfile(one)]
        elif name.startswith("include"):
            read(place)
        elif name.endswith("_file"):
            sys.exit("FATAL: " + line)
        elif name:
            found[name] = value
read(sys.argv[4].split("=")[1])
print(found.get(sys.argv[2], ""))
"""


@pytest.fixture
def places(host):
    host.program("postgres", POSTGRES)

    def make(**changed):
        return ConfigurationPlaces(str(host.pgdata), str(host.programs), **changed)

    return make


@pytest.fixture
def read_backup(host, places):
    def read(**changed):
        job = host.job()
        return of_backup(
            job.barman_host, job.backup, plan(job.barman_host, job.backup, job.target)[0], places(**changed)
        )

    return read


def codes(configuration):
    return [verdict.error_code for verdict in configuration.verdicts]


class TestOfBackup:
    def test_its_own_is_read_with_its_pg_control(self, host, read_backup):
        write_tree(host.data, {"postgresql.conf": "max_connections = 20\nshared_preload_libraries = 7\n"})
        read = read_backup()
        assert (codes(read), read.limits["max_connections"], read.preload) == ([None], 20, "7")
        assert read.control.system_identifier == CONTROL.system_identifier

    def test_includes_of_conf_d_come_with_it(self, host, read_backup):
        write_tree(host.data, {"postgresql.conf": "max_connections = 20\n", "conf.d/a.conf": "x", "conf.d/not": "x"})
        assert codes(read_backup()) == [None]

    @pytest.mark.parametrize(
        "files",
        [
            {"postgresql.conf": "include_dir 'pg.conf.d'\n", "pg.conf.d/1.conf": "max_connections = 500\n"},
            {"postgresql.conf": "include 'tuning.inc'\n", "tuning.inc": "max_connections = 500\n"},
            {
                "postgresql.conf": "include_if_exists '{pgdata}/a/b'\n",
                "a/b": "include 'c'\n",
                "a/c": "max_connections = 500\n",
            },
            {
                "postgresql.conf": "include_dir 'conf.d'\n",
                "conf.d/1.conf": "max_connections = 500\nhba_file = '/nowhere/pg_hba.conf'\n",
                "conf.d/old.conf/kept": "",
            },
        ],
        ids=["a directory of another name", "a file of another name", "nested", "a directory among the files"],
    )
    def test_what_it_includes_comes_with_it(self, host, read_backup, files):
        """The server is one that follows includes, and refuses places of another host and missing files."""
        host.program("postgres", FOLLOWS_INCLUDES)
        write_tree(host.data, {name: text.format(pgdata=host.pgdata) for name, text in files.items()})
        read = read_backup()
        assert (codes(read), read.limits["max_connections"]) == ([None], 500)

    def test_from_backup_it_includes_what_is_here(self, host, read_backup):
        host.program("postgres", FOLLOWS_INCLUDES)
        write_tree(host.data, {"postgresql.conf": "include_dir 'conf.d'\n", "conf.d/1.conf": "max_connections = 20\n"})
        write_tree(host.root / "etc", {"conf.d/1.conf": "max_connections = 500\n"})
        read = read_backup(directory=str(host.root / "etc"), from_backup=True)
        assert (codes(read), read.limits["max_connections"]) == ([None], 500)

    def test_all_that_is_preloaded_is_one_list(self, host, read_backup):
        text = (
            "shared_preload_libraries = a, b\nsession_preload_libraries = c\nlocal_preload_libraries = d, $libdir/e\n"
        )
        write_tree(host.data, {"postgresql.conf": text})
        assert read_backup().preload == 'a, b, c, "$libdir/plugins/d", "$libdir/e"'

    def test_none_is_a_problem(self, host, read_backup):
        (host.data / "postgresql.conf").unlink()
        read = read_backup()
        assert (codes(read), read.limits) == (["configuration_missing"], None)

    def test_one_elsewhere_has_to_name_this_directory(self, host, read_backup):
        elsewhere = host.root / "etc"
        host.program(
            "postgres",
            POSTGRES.replace('echo "$value"', '[ "$2" != data_directory ] || value=/srv/other\necho "$value"'),
        )
        write_tree(elsewhere, {"postgresql.conf": "max_connections = 20\n"})
        assert codes(read_backup(directory=str(elsewhere))) == ["configuration_other_directory"]
        assert codes(read_backup(directory=str(elsewhere), from_backup=True)) == [None]

    @pytest.mark.parametrize(("created", "expected"), [(True, [None]), (False, ["configuration_missing"])])
    def test_one_elsewhere_may_still_have_to_be_made(self, host, read_backup, created, expected):
        read = read_backup(directory=str(host.root / "etc"), created=created)
        assert codes(read) == expected
        assert (read.limits is not None) == created

    def test_of_tars_is_what_the_catalogue_tells(self, host, read_backup):
        host.pack()
        read = read_backup()
        assert (codes(read), read.limits) == ([None], None)
        assert (read.control.block_size, read.control.timeline) == (0, 1)

    def test_one_that_the_server_refuses(self, host, read_backup):
        host.program("postgres", "#!/bin/sh\necho 'syntax error' >&2; exit 1\n")
        with pytest.raises(StandbyError, match="syntax error") as refused:
            read_backup()
        assert refused.value.code == "configuration_invalid"


def test_of_a_directory(host, places):
    write_tree(host.pgdata, {"postgresql.conf": "max_connections = 20\n"})
    read = of_directory(CONTROL, places())
    assert (codes(read), read.limits["max_connections"], read.control) == ([None], 20, CONTROL)
    (host.pgdata / "postgresql.conf").unlink()
    assert codes(of_directory(CONTROL, places())) == ["configuration_missing"]


@pytest.mark.parametrize("changed", [{}, {"directory": "/etc/pg", "from_backup": True}])
def test_of_an_upstream_it_comes_with_the_copy(places, changed):
    read = of_upstream(places(**changed))
    assert (codes(read), read.control, read.limits) == ([None], None, None)


def test_of_an_upstream_it_is_here_if_it_is_kept_here(host, places):
    write_tree(host.root / "etc", {"postgresql.conf": "max_connections = 20\n"})
    read = of_upstream(places(directory=str(host.root / "etc")))
    assert (codes(read), read.limits["max_connections"], read.control) == ([None], 20, None)
