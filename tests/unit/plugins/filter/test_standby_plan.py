# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.filter.standby_plan import FilterModule, standby_plan


def plan(**changed):
    return {
        "action": "clone",
        "reason": "the data directory is empty",
        "stop": False,
        "backup_id": "20261121T114827",
        "server": "pg",
        "files": 1586,
        "bytes": 434789371,
        "bytes_to_copy": 434789371,
        "bytes_per_second": 398458880,
        "seconds": 1.1,
        "tablespaces": [{"name": "fast", "oid": 16388, "location": "/srv/fast", "bytes": 20 << 20}],
        "removed": 0,
        "removed_names": [],
        "free_after": {"/var": 74 << 30, "/srv": 1 << 30},
        "settings": {},
        "wal_to_replay": 128 << 20,
        "upstream": {"host": "primary", "port": "5432", "timeline": 1},
        **changed,
    }


def test_is_a_filter():
    assert FilterModule().filters() == {"standby_plan": standby_plan}


def test_a_clone():
    assert standby_plan(plan()) == [
        "clone: the data directory is empty",
        "copy 414.6 MB of backup 20261121T114827 of pg (414.6 MB in 1586 files), about 1 s at 380.0 MB/s (an estimate)",
        "tablespace fast: 20.0 MB to /srv/fast",
        "free afterwards on /srv: 1.0 GB",
        "free afterwards on /var: 74.0 GB",
        "replay 128.0 MB of WAL, then follow primary:5432 on timeline 1",
    ]


def test_a_backup_that_is_staged_first():
    space = {"name": "fast", "oid": 16388, "location": "/srv/fast", "bytes": None}
    assert standby_plan(plan(staged=True, tablespaces=[space], kept_old=["/x.old"]))[1:5] == [
        "have Barman restore backup 20261121T114827 on its host first, once for all standbys",
        "copy 414.6 MB of it, as much as the cluster had when it was taken",
        "tablespace fast to /srv/fast",
        "keep what is there now as /x.old",
    ]


def test_whom_to_follow_where_nobody_said_it():
    derived = {"conninfo": {"host": "primary"}, "source": "conninfo of Barman's server pg", "left_out": ["password"]}
    told = "the upstream was not given and is taken from conninfo of Barman's server pg"
    assert standby_plan(plan(upstream_derived=derived))[-2] == f"{told}, without its password"
    assert standby_plan(plan(upstream_derived={**derived, "left_out": []}))[-2] == told


def test_what_is_there_and_has_to_go():
    lines = standby_plan(plan(action="delta", stop=True, removed=3, removed_names=["/a", "/b"], kept_old=["/x.old"]))
    assert lines[1] == "the server that runs there is stopped first"
    assert "remove 3 entries that the backup does not have: /a, /b, ..." in lines
    assert "keep what is there now as /x.old" in lines


@pytest.mark.parametrize(
    ("most", "said"), [(-1, "WAL without a limit"), (None, "WAL without a limit"), (1 << 30, "at most 1.0 GB of WAL")]
)
def test_a_slot_that_will_be_made(most, said):
    slot = {"name": "n1", "create": True, "max_wal_bytes": most}
    assert f"make slot n1 there, which keeps {said} for this standby" in standby_plan(plan(slot=slot))
    assert not any("slot" in line for line in standby_plan(plan(slot={**slot, "create": False})))


def test_without_a_copy_nothing_is_said_of_it():
    assert standby_plan(plan(action="start", reason="it can go on", settings={"max_connections": "200"})) == [
        "start: it can go on",
        "replay 128.0 MB of WAL, then follow primary:5432 on timeline 1",
        "raise max_connections to 200, which would be below the primary's",
    ]


@pytest.mark.parametrize(
    ("changed", "absent"),
    [
        ({"bytes_per_second": None, "seconds": None}, "estimate"),
        ({"upstream": None}, "replay"),
        ({"free_after": None}, "free afterwards"),
    ],
)
def test_what_is_not_known_is_not_said(changed, absent):
    assert absent not in " ".join(standby_plan(plan(**changed)))
