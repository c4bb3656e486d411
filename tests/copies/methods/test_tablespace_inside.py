# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tablespace that is inside of the primary's data directory, at the standby's path, and mapped outside.

PostgreSQL sends such a directory empty among the data, and its files with the tablespace (seen with pg_basebackup 15 in
both formats); Barman's rsync leaves the directory out of the data, too (barman/backup_executor.py, 3.13.2).
"""

from __future__ import annotations

import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Tablespace
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    TABLESPACE,
    read_tree,
    write_tree,
)

INSIDE = "tablespaces/t"


@pytest.fixture(params=["by rsync", "by pg_basebackup", "in tars"])
def inside(request, host):
    """A host whose backup holds the tablespace, and how its copy is asked for."""
    (host.data / ("tablespaces" if request.param == "by rsync" else INSIDE)).mkdir(parents=True)
    if request.param == "in tars":
        host.pack()
    location = str(host.pgdata / INSIDE)
    backup = host.backup(tablespaces=(Tablespace("fast", 16388, location),), data_directory=str(host.pgdata))
    return host, {"backup": backup, "tablespaces": {16388: str(host.fast)}}


def assert_copied_once(host):
    assert read_tree(host.fast) == TABLESPACE
    assert os.readlink(host.pgdata / "pg_tblspc" / "16388") == str(host.fast)
    left = [path for path in (host.pgdata / "tablespaces").rglob("*") if not path.is_dir()]
    assert left == []


def test_its_files_are_copied_once(inside):
    host, wanted = inside
    assert host.copy(**wanted).action == "clone"
    assert_copied_once(host)
    assert host.copy(**wanted).action == "none"


def test_what_a_former_standby_had_of_it_in_the_data_directory_goes(inside):
    host, wanted = inside
    host.copy(**wanted)
    write_tree(host.pgdata / INSIDE, TABLESPACE)
    assert host.copy(**wanted, overwrite="same_cluster", again=True).action == "delta"
    assert_copied_once(host)


def test_a_former_standby_that_had_it_there_is_brought_to_the_mapped_place(inside):
    host, wanted = inside
    host.copy(**wanted)
    (host.pgdata / INSIDE).mkdir(parents=True, exist_ok=True)
    host.fast.replace(host.pgdata / INSIDE)
    link = host.pgdata / "pg_tblspc" / "16388"
    link.unlink()
    link.symlink_to(host.pgdata / INSIDE)
    assert host.copy(**wanted, overwrite="same_cluster", again=True).action == "delta"
    assert_copied_once(host)
