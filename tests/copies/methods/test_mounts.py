# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies where other file systems are mounted: in a mount namespace of the test's own, with real mounts."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import inspect_target, preview
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.copies.methods.whole_copy import CONTROL, assert_copied, refused
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.mounts import in_own_mounts, mount_tmpfs


@pytest.mark.parametrize("where", ["pgdata/dumps", "pgdata/base/1/deep", "fast/PG_15_202209061/deep"])
def test_what_is_mounted_where_the_backup_has_nothing_is_refused_before_anything_changes(used, where):
    place = used.root / "standby" / where

    def work():
        mount_tmpfs(place)
        write_tree(place, {"monday.dump": "precious"})
        before = [read_tree(top) for top in (used.pgdata, used.fast)]
        with pytest.raises(StandbyError) as told:
            preview(used.job(**used.overwrite))
        error = refused(used, **used.overwrite)
        changed = [read_tree(top) for top in (used.pgdata, used.fast)] != before
        return told.value.code, error.code, str(place) in error.msg, changed

    assert in_own_mounts(work) == ("mount_point_inside", "mount_point_inside", True, False)


def test_pg_wal_may_be_a_file_system_of_its_own(used):
    """What is in it goes, and what belongs to the file system stays."""

    def work():
        mount_tmpfs(used.pgdata / "pg_wal")
        write_tree(used.pgdata / "pg_wal", {"000000010000000000000009": "x", "archive_status/9.done": "x"})
        used.copy(**used.overwrite)
        assert_copied(used)
        return sorted(path.name for path in (used.pgdata / "pg_wal").iterdir())

    assert in_own_mounts(work) == ["archive_status", "lost+found"]


def test_a_new_host_whose_place_for_the_wal_is_mounted_is_filled_without_consent(host):
    def work():
        mount_tmpfs(host.pgdata / "pg_wal")
        mount_tmpfs(host.fast)
        device = (host.pgdata / "pg_wal").stat().st_dev
        assert inspect_target(host.job().target).state == "empty"
        action = host.copy().action
        assert_copied(host)
        return action, (host.pgdata / "pg_wal").stat().st_dev == device

    assert in_own_mounts(work) == ("clone", True)


def test_what_is_mounted_at_pg_wal_is_in_the_way_of_waldir(older):
    def work():
        mount_tmpfs(older.pgdata / "pg_wal")
        error = refused(older, waldir=str(older.root / "standby" / "wal"), overwrite="same_cluster")
        return error.code, (older.pgdata / CONTROL).exists()

    assert in_own_mounts(work) == ("mount_point_inside", True)
