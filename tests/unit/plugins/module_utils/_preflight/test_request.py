# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.basebackup_facts import UpstreamSource
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request


@pytest.mark.parametrize("method", ["rsync", "barman"])
def test_the_method_is_that_of_the_job(host, method):
    assert Request("/srv/pg", "/srv/.pg", {}, host.job(method=method)).method == method


@pytest.mark.parametrize(
    ("source", "method"), [(UpstreamSource(lambda backup: None), "pg_basebackup"), (None, "rsync")]
)
def test_the_method_without_a_job(source, method):
    assert Request("/srv/pg", "/srv/.pg", {}, None, basebackup=source).method == method
