# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a backup are a part of the configuration."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.roots import plan
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.carried import _carried, bring


@pytest.mark.parametrize(
    ("path", "size", "taken"),
    [
        ("postgresql.conf", 30000, True),
        ("pg_hba.conf", 5000, True),
        ("conf.d/10-memory.conf", 100, True),
        ("certs/server.key", 1700, True),
        ("included", 10, True),
        ("base/1/1259", 8192, False),
        ("global/pg_control", 8192, False),
        ("pg_wal/000000010000000000000001", 100, False),
        ("log/postgresql.log", 100, False),
        ("backup_label", 200, False),
        ("standby.signal", 0, False),
        ("recovery.conf", 100, False),
        ("core.4711", 1 << 30, False),
    ],
)
def test_what_may_be_configuration_is_taken(path, size, taken):
    assert _carried([(path, size)]) == ([path] if taken else [])


def test_modes_are_those_of_the_copy(host):
    (host.data / "server.key").write_text("key")
    (host.data / "server.key").chmod(0o640)
    target = host.root / "target"
    target.mkdir()
    job = host.job()
    root = plan(job.barman_host, job.backup, job.target)[0]
    bring(job.barman_host, root, str(target))
    assert (target / "server.key").stat().st_mode & 0o777 == root.file_mode(0o640)


def test_too_many_are_not_fetched(host):
    for number in range(501):
        (host.data / f"mine{number}").touch()
    job = host.job()
    root = plan(job.barman_host, job.backup, job.target)[0]
    with pytest.raises(StandbyError) as failed:
        bring(job.barman_host, root, str(host.root / "target"))
    assert failed.value.code == "rehearsal_failed"
