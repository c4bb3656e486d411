# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pg_basebackup has brought of which the upstream did not tell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.holding_directory import HoldingDirectory
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._methods import pg_basebackup as _pg_basebackup


@pytest.fixture
def brought(host):
    """A job without known tablespaces, and the directory of links in what was brought for it."""
    job = host.job()
    job = replace(job, backup=replace(job.backup, tablespaces=()), target=replace(job.target, tablespaces={}))
    holding = HoldingDirectory(job.target.data_directory, {}, "x", None)
    links = host.root.joinpath(holding.data, "pg_tblspc")
    links.mkdir(parents=True)
    return job, holding, links


def test_a_tablespace_is_where_its_link_leads(brought):
    job, holding, links = brought
    (links / "16400").symlink_to("/srv/new")
    found = _pg_basebackup._known_by_oid(job, holding)
    assert found.target.tablespaces == {16400: "/srv/new"}
    assert list(links.iterdir()) == []


def test_one_in_place_is_refused_and_never_left_out(brought):
    job, holding, links = brought
    (links / "16400" / "PG_15_202209061").mkdir(parents=True)
    with pytest.raises(StandbyError, match=r"16400 \(oid 16400\)") as refused:
        _pg_basebackup._known_by_oid(job, holding)
    assert refused.value.code == "tablespace_in_place"
    assert (links / "16400").is_dir()
