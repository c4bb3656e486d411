# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.filter.standby_records import FilterModule, standby_records


def host(name, record=None, earlier=None):
    recorded = {"record": record, "earlier_records": earlier}
    kept = {f"__standby_from_barman_{key}": value for key, value in recorded.items() if value is not None}
    return {"inventory_hostname": name, **kept}


def test_is_a_filter():
    assert FilterModule().filters() == {"standby_records": standby_records}


def test_each_cluster_of_each_host():
    hosts = [host("a", {"state": "failed"}, [{"state": "streaming"}]), host("b", {"state": "planned"})]
    states = [record["state"] for record in standby_records(hosts, ["a", "b"])]
    assert states == ["streaming", "failed", "planned"]


def test_a_host_that_the_play_has_lost():
    [record] = standby_records([host("a", {}), host("b")], ["b"])
    assert (record["host"], record["state"], record["error_code"]) == ("a", "unreachable", "host_unreachable")
    assert "Next: " in record["msg"]


def test_a_host_that_failed_in_the_role_says_so_itself():
    assert standby_records([host("a", {"host": "a", "state": "failed"})], []) == [{"host": "a", "state": "failed"}]


def test_a_host_of_a_batch_that_has_not_come_has_no_record():
    assert standby_records([host("a")], ["a"]) == []
