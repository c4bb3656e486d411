# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.filter.standby_report import FilterModule, human, standby_report


def record(host, **changed):
    return {
        "host": host,
        "action": "clone",
        "backup_id": "20261121T114827",
        "bytes": 434797563,
        "seconds": 4.07,
        "state": "streaming",
        "lag_bytes": 0,
        **changed,
    }


def test_is_a_filter():
    assert FilterModule().filters() == {"standby_report": standby_report}


def test_a_line_for_each_host():
    assert standby_report([record("n1"), record("standby-2", bytes=1, seconds=120, lag_bytes=5 << 30)]) == [
        "host       action  backup           bytes     seconds  state      lag",
        "n1         clone   20261121T114827  414.7 MB  4.1      streaming  0 B",
        "standby-2  clone   20261121T114827  1 B       120.0    streaming  5.0 GB",
    ]


def test_of_a_host_with_several_clusters_the_cluster_is_named():
    records = [record("n1", data_directory="/data/b"), record("n1", data_directory="/data/a"), record("n2")]
    assert [line.split()[0] for line in standby_report(records)] == ["host", "n1:/data/b", "n1:/data/a", "n2"]


def test_what_is_not_known_is_a_dash():
    line = standby_report([{"host": "n1", "state": "failed"}])[1]
    assert line.split() == ["n1", "-", "-", "-", "-", "failed", "-"]


def test_what_is_not_well_comes_first():
    records = [
        record("b"),
        record("a"),
        record("d", state="failed"),
        record("c", state="not ready"),
        record("e", state="planned"),
    ]
    assert [line.split()[0] for line in standby_report(records)] == ["host", "c", "d", "a", "b", "e"]


def test_no_hosts_are_no_lines():
    assert standby_report([]) == ["host  action  backup  bytes  seconds  state  lag"]


def test_no_line_ends_in_blanks():
    assert all(
        line == line.rstrip() for line in standby_report([record("n1", lag_bytes=0), record("n2", lag_bytes=1 << 40)])
    )


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 kB"),
        ("2048", "2.0 kB"),
        (5 << 20, "5.0 MB"),
        (5 << 30, "5.0 GB"),
        (5 << 40, "5.0 TB"),
        (5 << 50, "5120.0 TB"),
    ],
)
def test_sizes(size, text):
    assert human(size) == text
