# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy is to do, and what tells it from another one."""

from __future__ import annotations

import dataclasses

import pytest


class TestJob:
    @pytest.mark.parametrize(
        ("changed", "names"),
        [
            ({}, {"tablespace 16388"}),
            ({"waldir": "/srv/wal"}, {"tablespace 16388", "waldir"}),
            ({"state_directory": "/srv/state"}, {"tablespace 16388", "state_directory"}),
            ({"tablespaces": {}}, set()),
        ],
    )
    def test_names_what_is_written_beside_the_data_directory(self, host, changed, names):
        assert host.job(**changed).target.other_places.keys() == names

    @pytest.mark.parametrize(
        ("changed", "is_another"),
        [
            ({"tablespaces": {16388: "/srv/other"}}, True),
            ({"waldir": "/srv/wal"}, True),
            ({"data_directory": "/srv/pg"}, True),
            ({"jobs": 7, "verify": "none", "bwlimit": 1, "compress": "none"}, False),
        ],
    )
    def test_is_told_from_another_by_what_goes_where(self, host, changed, is_another):
        assert (host.job(**changed).identity != host.job().identity) is is_another

    def test_is_told_from_one_of_another_backup(self, host):
        other = dataclasses.replace(host.backup(), server="other")
        assert host.job(backup=host.second_backup()).identity != host.job().identity
        assert host.job(backup=other).identity != host.job().identity
