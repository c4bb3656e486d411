# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import configured
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.stray_config import apply_strays, find_strays
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree

CARRIED = {
    "postgresql.conf": "port = 5433\ndata_directory = '/of/the/primary'\ninclude_dir = 'conf.d'\nwork_mem = 8MB\n",
    "pg_hba.conf": "local all all peer\n",
    "pg_ident.conf": "",
}
LOCAL = {"postgresql.conf": "port = 5432\nexternal_pid_file = '/run/15.pid'\n", "pg_hba.conf": "# local\n"}


@pytest.fixture
def places(tmp_path):
    write_tree(tmp_path / "data", {**CARRIED, "PG_VERSION": "15\n"})
    write_tree(tmp_path / "etc", LOCAL)
    return [str(tmp_path / name) for name in ("data", "etc", "state")]


def found(data, etc, state, from_backup):
    return find_strays(data, etc, configured(f"{etc}/postgresql.conf"), state, from_backup)


def run(places, from_backup):
    strays = found(*places, from_backup)
    apply_strays(places[0], strays)
    return strays


def test_what_came_along_is_moved_aside(places, tmp_path):
    assert run(places, from_backup=False).names == tuple(CARRIED)
    assert read_tree(tmp_path) == {
        "data/PG_VERSION": "15\n",
        **{f"etc/{name}": text for name, text in LOCAL.items()},
        **{f"state/from_backup/{name}": text for name, text in CARRIED.items()},
    }
    assert run(places, from_backup=False).names == ()


def test_what_came_along_replaces_the_hosts_own(places, tmp_path):
    (tmp_path / "etc/postgresql.conf").chmod(0o644)
    run(places, from_backup=True)
    there = read_tree(tmp_path)
    assert there["etc/postgresql.conf"] == (
        "port = 5433\n#(other host) data_directory = '/of/the/primary'\n#(other host) include_dir = 'conf.d'\n"
        "work_mem = 8MB\n"
        f"data_directory = '{places[0]}'\nexternal_pid_file = '/run/15.pid'\n"
    )
    assert there["etc/pg_hba.conf"] == CARRIED["pg_hba.conf"]
    assert there["state/from_backup/pg_hba.conf.local"] == LOCAL["pg_hba.conf"]
    # Debian's own programs read it as other users.
    assert (tmp_path / "etc/postgresql.conf").stat().st_mode & 0o777 == 0o644
    # Once: what somebody changes there later is theirs.
    write_tree(tmp_path, {"etc/postgresql.conf": "# mine\n"})
    assert run(places, from_backup=True).names == ()
    assert read_tree(tmp_path)["etc/postgresql.conf"] == "# mine\n"


def test_what_the_configuration_names_is_no_stray(places, tmp_path):
    write_tree(tmp_path, {"etc/postgresql.conf": f"hba_file = '{places[0]}/pg_hba.conf'\n"})
    assert run(places, from_backup=False).names == ("postgresql.conf", "pg_ident.conf")


def test_a_data_directory_that_holds_the_configuration_has_no_strays(places):
    assert found(places[0], places[0], places[2], from_backup=False).names == ()
