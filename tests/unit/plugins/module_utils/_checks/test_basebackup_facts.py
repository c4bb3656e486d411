# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import basebackup_facts as _basebackup_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.basebackup_facts import (
    UpstreamSource,
    roots_of_upstream,
    size_unknown,
    upstream_files,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Tablespace
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import ClusterFiles
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import upstream

FAST = Tablespace("fast", 16388, "/srv/tablespaces/fast")


@pytest.fixture
def files_of(host):
    def make(answer):
        source = UpstreamSource(lambda backup: host.job(backup=backup), mapped=("/srv/tablespaces/fast",))
        return upstream_files(upstream(), answer, source)

    return make


def test_the_upstream_is_the_backup_of_the_job(files_of):
    files = files_of(ClusterFiles((), 9, {}))
    assert (files.job.backup.backup_id, files.refused) == ("pg_basebackup", None)
    assert files.files.bytes == 9


def test_tablespaces_that_are_not_told_are_those_of_the_mapping(files_of):
    files = files_of("no pg_hba.conf entry")
    assert (files.files, files.refused) == (None, "no pg_hba.conf entry")
    assert [one.location for one in files.job.backup.tablespaces] == ["/srv/tablespaces/fast"]
    assert roots_of_upstream(files) == ()


class TestSize:
    @pytest.mark.parametrize(
        ("answer", "devices", "unknown"),
        [
            pytest.param("denied", 1, "the size of its databases", id="nothing is told"),
            pytest.param(ClusterFiles((), None, {}), 1, "the size of its databases", id="no size is told"),
            pytest.param(ClusterFiles((FAST,), 9, {}), 1, None, id="a tablespace on the same file system"),
            pytest.param(ClusterFiles((FAST,), 9, {}), 2, "the size of tablespace fast", id="a tablespace elsewhere"),
            pytest.param(ClusterFiles((FAST,), 9, {16388: 4}), 2, None, id="all is told"),
        ],
    )
    def test_may_be_unknown(self, files_of, monkeypatch, answer, devices, unknown):
        monkeypatch.setattr(_basebackup_facts, "_devices", lambda paths: set(range(devices)))
        said = size_unknown(files_of(answer))
        assert said is None if unknown is None else unknown in said

    @pytest.mark.parametrize(
        ("sizes", "expected"), [({16388: 4}, [5, 4]), ({}, [9, 0]), ({16388: 10}, [0, 10])], ids=str
    )
    def test_of_every_tree(self, files_of, sizes, expected):
        assert [root.bytes for root in roots_of_upstream(files_of(ClusterFiles((FAST,), 9, sizes)))] == expected
