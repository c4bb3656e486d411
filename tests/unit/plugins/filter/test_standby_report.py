# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.filter.standby_report import FilterModule, human, standby_report

DOWN = {"starts": False, "why": "no unit starts it", "step": "name one"}


def record(host, **changed):
    return {
        "host": host,
        "action": "clone",
        "backup_id": "20261121T114827",
        "bytes": 434797563,
        "seconds": 4.07,
        "state": "streaming",
        "lag_bytes": 0,
        "after_reboot": {"starts": True, "why": "the unit pg is enabled", "step": ""},
        **changed,
    }


def test_is_a_filter():
    assert FilterModule().filters() == {"standby_report": standby_report}


def test_a_line_for_each_host():
    assert standby_report([record("n1"), record("standby-2", bytes=1, seconds=120, lag_bytes=5 << 30)]) == [
        "host       action  backup           bytes     seconds  state      lag     reboot",
        "n1         clone   20261121T114827  414.7 MB  4.1      streaming  0 B     starts",
        "standby-2  clone   20261121T114827  1 B       120.0    streaming  5.0 GB  starts",
    ]


def test_what_a_reboot_leaves_down_comes_first_and_is_told_with_its_reason():
    lines = standby_report([record("n1"), record("n2", after_reboot=DOWN), record("n3", after_reboot=None)])
    assert [line.split()[0] for line in lines[1:4]] == ["n2", "n1", "n3"]
    assert [line.rpartition("  ")[2] for line in lines[1:4]] == ["stays down", "starts", "-"]
    assert lines[4:] == ["n2 stays down after a reboot: no unit starts it. To have it started: name one."]


def test_of_several_clusters_that_which_stays_down_is_named():
    lines = standby_report([record("n1", data_directory="/a"), record("n1", data_directory="/b", after_reboot=DOWN)])
    assert lines[3].startswith("n1:/b stays down")


def test_of_a_host_with_several_clusters_the_cluster_is_named():
    records = [record("n1", data_directory="/data/b"), record("n1", data_directory="/data/a"), record("n2")]
    assert [line.split()[0] for line in standby_report(records)] == ["host", "n1:/data/b", "n1:/data/a", "n2"]


def test_what_is_not_known_is_a_dash():
    line = standby_report([{"host": "n1", "state": "failed"}])[1]
    assert line.split() == ["n1", "-", "-", "-", "-", "failed", "-", "-"]


@pytest.mark.parametrize(
    ("code", "shown"), [("standby_catching_up", "failed (catching up)"), ("replay_paused", "failed"), (None, "failed")]
)
def test_a_standby_that_was_late_is_told_from_one_that_went_wrong(code, shown):
    assert f"  {shown}  " in standby_report([record("n1", state="failed", error_code=code)])[1]


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
    assert standby_report([]) == ["host  action  backup  bytes  seconds  state  lag  reboot"]


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
