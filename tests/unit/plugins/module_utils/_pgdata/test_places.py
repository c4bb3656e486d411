# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import places as _places
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL_TEXT

CLUSTER = {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT}


@pytest.fixture
def pgdata(tmp_path):
    return tmp_path / "pgdata"


class TestFindBindir:
    def test_takes_what_is_wanted(self, host):
        assert _places.find_bindir(15, str(host.programs)) == str(host.programs)

    def test_refuses_a_wanted_directory_without_programs(self, tmp_path):
        with pytest.raises(StandbyError, match="pg_bindir") as refused:
            _places.find_bindir(15, str(tmp_path))
        assert refused.value.code == "postgresql_not_installed"

    @pytest.mark.parametrize(
        "place",
        [
            "/usr/lib/postgresql/15/bin",
            "/usr/pgsql-15/bin",
            "/usr/lib/postgresql15/bin",
            "/usr/edb/as15/bin",
            "/usr/local/pgsql/bin",
        ],
        ids=["Debian", "PGDG for Red Hat", "SUSE", "EDB", "from source"],
    )
    def test_looks_where_packages_put_them(self, monkeypatch, place):
        """This machine is one that has them there alone."""
        monkeypatch.setattr("os.access", lambda path, _mode: path == f"{place}/postgres")
        assert _places.find_bindir(15) == place

    def test_looks_along_the_path_last(self, host):
        assert _places.find_bindir(99) == str(host.programs)

    def test_refuses_when_there_is_none(self, host, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(StandbyError, match="/usr/lib/postgresql/99/bin"):
            _places.find_bindir(99)


@pytest.mark.parametrize(
    ("name", "value", "exists"),
    [
        ("hba_file", "{top}/pg_hba.conf", True),
        ("hba_file", "pg_hba.conf", True),
        ("hba_file", "/etc/postgresql/15/absent/pg_hba.conf", False),
        ("include_dir", "conf.d", True),
        ("include", "absent.conf", False),
        ("data_directory", "{top}", True),
        ("data_directory", "{top}/", True),
        ("data_directory", "{top}-link", True),
        ("data_directory", "{top}/conf.d", False),
        ("data_directory", "/", False),
        ("external_pid_file", "{top}/absent.pid", True),
        ("external_pid_file", "/nowhere/absent.pid", False),
    ],
)
def test_place_exists(tmp_path, name, value, exists):
    top = tmp_path / "pgdata"
    write_tree(top, {"pg_hba.conf": "", "conf.d/a.conf": ""})
    (tmp_path / "pgdata-link").symlink_to(top)
    assert _places.place_exists(str(top), name, value.format(top=top)) is exists


@pytest.mark.parametrize(
    ("path", "state"),
    [
        ("/srv/pg", "/srv/.pg.standby"),
        ("/srv/pg/", "/srv/.pg.standby"),
        ("/var/lib/postgresql/15/main", "/var/lib/postgresql/15/.main.standby"),
    ],
)
def test_the_record_of_a_copy_lies_beside_the_data_directory(path, state):
    assert _places.default_state_directory(path) == state


class TestLinkedDirectories:
    @pytest.fixture
    def elsewhere(self, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        return tmp_path / "elsewhere"

    def test_are_where_the_tablespaces_and_the_wal_are(self, pgdata, elsewhere):
        (pgdata / "pg_tblspc").mkdir(parents=True)
        for place, link in (("fast", "pg_tblspc/16388"), ("it's $(id)", "pg_tblspc/16389"), ("wal", "pg_wal")):
            (elsewhere / place).mkdir()
            (pgdata / link).symlink_to(elsewhere / place)
        found = _places.linked_directories(str(pgdata))
        assert found == {str(elsewhere / name) for name in ("fast", "it's $(id)", "wal")}

    def test_are_real_paths(self, pgdata, elsewhere):
        (pgdata / "pg_tblspc").mkdir(parents=True)
        (elsewhere / "fast").mkdir()
        (elsewhere / "link").symlink_to("fast")
        (pgdata / "pg_tblspc/16388").symlink_to("../../elsewhere/link")
        assert _places.linked_directories(str(pgdata)) == {str(elsewhere / "fast")}

    def test_may_be_gone(self, pgdata, elsewhere):
        pgdata.mkdir()
        (pgdata / "pg_wal").symlink_to(elsewhere / "gone")
        assert _places.linked_directories(str(pgdata)) == {str(elsewhere / "gone")}

    @pytest.mark.parametrize(
        "files",
        [
            pytest.param({}, id="no directory"),
            pytest.param({"PG_VERSION": "15\n"}, id="no tablespaces and no WAL"),
            pytest.param({"pg_tblspc/16388/file": "", "pg_wal/file": ""}, id="plain directories"),
            pytest.param({"pg_tblspc": "", "pg_wal": ""}, id="files"),
            pytest.param({**CLUSTER, "base/1/2": ""}, id="a cluster"),
        ],
    )
    def test_are_none_without_links(self, pgdata, files):
        write_tree(pgdata, files)
        assert _places.linked_directories(str(pgdata)) == set()

    def test_are_not_looked_for_behind_a_link(self, pgdata, elsewhere):
        pgdata.mkdir()
        (elsewhere / "16388").symlink_to("/")
        (pgdata / "pg_tblspc").symlink_to(elsewhere)
        assert _places.linked_directories(str(pgdata)) == set()


def test_links_are_known_by_their_names(pgdata, tmp_path):
    (pgdata / "pg_tblspc").mkdir(parents=True)
    (pgdata / "pg_tblspc/16388").symlink_to(tmp_path / "fast")
    (pgdata / "pg_wal").symlink_to("../wal")
    assert _places.links(str(pgdata)) == {"pg_tblspc/16388": f"{tmp_path}/fast", "pg_wal": f"{tmp_path}/wal"}
