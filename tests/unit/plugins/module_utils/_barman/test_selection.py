# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup is chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.selection import (
    WAITING,
    _reasons_unusable,
    choose,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._barman.catalogue import (
    HOUR,
    INCREMENTAL,
    NOW,
    WAITS,
    WAITS_SAID,
    Catalogue,
    ended,
    wanted,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import backup


@pytest.mark.parametrize(
    "usable",
    [
        pytest.param({}, id="rsync"),
        pytest.param({"type": "full", "mode": "postgres"}, id="postgres"),
        pytest.param({"version": 120000}, id="PostgreSQL 12"),
        pytest.param({"version": 190001}, id="PostgreSQL 19"),
        pytest.param({"compression": ""}, id="no compression"),
        pytest.param({"mode": "passive", "type": "full"}, id="of another Barman"),
        *(pytest.param({"compression": kind}, id=kind) for kind in ("gzip", "lz4", "zstd", "none")),
        pytest.param({"tablespaces": ()}, id="no tablespaces"),
    ],
)
def test_nothing_speaks_against_a_plain_backup(usable):
    assert _reasons_unusable(backup(**usable)) == []


@pytest.mark.parametrize(
    ("unusable", "reasons"),
    [
        ({"status": "FAILED"}, ["its status is FAILED, not DONE"]),
        ({"status": "FAILED", "error": "no space"}, ["its status is FAILED, not DONE (no space)"]),
        ({"status": "WAITING_FOR_WALS"}, ["its status is WAITING_FOR_WALS, not DONE"]),
        ({"status": "STARTED", "type": None, "mode": None, "version": None}, ["its status is STARTED, not DONE"]),
        ({"type": "incremental"}, []),  # Barman makes plain backups of these
        ({"encryption": "gpg", "compression": "gzip"}, []),
        ({"mode": "rsync-exclusive"}, ["it was taken by method rsync-exclusive; supported are rsync and postgres"]),
        ({"compression": "snappy"}, ["it is compressed (snappy); supported are gzip, lz4, zstd, none"]),
        (
            {"compression": "gzip", "version": 120022},
            [
                "it is compressed (gzip) and of PostgreSQL 12, which writes no backup_manifest; of compressed ones"
                " supported are 13 and later"
            ],
        ),
        ({"version": 90624}, ["it is of PostgreSQL 9; supported are 10 and later"]),
        ({"version": None}, ["it is of PostgreSQL None; supported are 10 and later"]),
        (
            {"type": "snapshot", "mode": "snapshot", "compression": "snappy"},
            [
                "it is of type snapshot; supported are rsync, full and incremental",
                "it was taken by method snapshot; supported are rsync and postgres",
                "it is compressed (snappy); supported are gzip, lz4, zstd, none",
            ],
        ),
    ],
    ids=lambda value: ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_every_obstacle_is_told(unusable, reasons):
    assert _reasons_unusable(backup(**unusable)) == reasons


def test_latest_is_the_newest_backup_and_needs_no_other():
    catalogue = Catalogue(new={}, old={})
    assert catalogue.choose("latest") == (catalogue.details["new"], ())
    assert catalogue.asked == ["new"]


def test_latest_passes_over_what_cannot_be_cloned_and_says_why():
    catalogue = Catalogue(running={"status": "STARTED"}, packed={"compression": "snappy"}, good={}, old={})
    chosen, skipped = catalogue.choose("latest")
    assert chosen.backup_id == "good"
    assert skipped == (
        ("running", ["its status is STARTED, not DONE"]),
        ("packed", ["it is compressed (snappy); supported are gzip, lz4, zstd, none"]),
    )
    assert catalogue.asked == ["packed", "good"]


@pytest.mark.parametrize(
    ("backup_id", "options", "catalogue", "found"),
    [
        pytest.param("old", {}, {"new": {}, "old": {}}, ("old", []), id="an id, though others are newer"),
        pytest.param("oldest", {}, {"new": {}, "mid": {}, "old": {}}, ("old", []), id="oldest"),
        pytest.param(
            "oldest", {}, {"new": {}, "mid": {}, "old": {"type": "snapshot"}}, ("mid", ["old"]), id="oldest usable"
        ),
        pytest.param("latest-full", {}, {"inc": INCREMENTAL, "full": {}}, ("full", ["inc"]), id="latest-full"),
        pytest.param("latest", {}, {"inc": INCREMENTAL, "full": {}}, ("inc", []), id="latest is incremental"),
        pytest.param("release", {}, {"new": {}, "old": {"name": "release"}}, ("old", []), id="a name"),
        pytest.param("old", {}, {"new": {"name": "old"}, "old": {}}, ("old", []), id="an id wins over a name"),
        pytest.param(
            "latest", {}, {"new": {}, "old": {"name": "latest"}}, ("new", []), id="a keyword wins over a name"
        ),
        pytest.param(
            "release",
            {},
            {"b": {"name": "release", "status": "FAILED"}, "a": {"name": "release"}},
            ("a", ["b"]),
            id="a failed attempt does not take the name",
        ),
        pytest.param(
            "latest",
            {"before": "2026-11-21T20:26:40Z"},
            {"a": ended(1), "b": ended(2), "c": ended(3), "d": ended(4)},
            ("c", ["a", "b"]),
            id="before: not at that second either",
        ),
        pytest.param(
            "oldest",
            {"before": "2026-11-21T20:26:40Z"},
            {"a": ended(1), "c": ended(3), "d": ended(4)},
            ("d", []),
            id="the oldest before",
        ),
        pytest.param(
            "latest",
            {"max_age": "2h"},
            {"a": {"status": "FAILED"}, "b": ended(2)},
            ("b", ["a"]),
            id="as old as allowed",
        ),
        pytest.param(
            "oldest", {"max_age": "2h"}, {"a": ended(1), "b": ended(2), "c": ended(3)}, ("b", ["c"]), id="young"
        ),
        pytest.param("latest", {"max_age": "1h"}, {"a": ended(-1)}, ("a", []), id="of the future, by our clock"),
        pytest.param(
            "latest",
            {"before": "2026-11-21 21:26:40Z", "max_age": "3h"},
            {"a": ended(1), "b": ended(2), "c": ended(4)},
            ("b", ["a"]),
            id="a window",
        ),
    ],
)
@pytest.mark.parametrize("timeless", [False, True], ids=["", "the list is timeless"])
def test_chooses(backup_id, options, catalogue, found, timeless):
    assert Catalogue(timeless, **catalogue).chosen(backup_id, **options) == found


@pytest.mark.parametrize(
    ("before", "found"),
    [
        # Neither the host's zone nor ours matters: Barman's words are compared with Barman's words.
        ("Sat Nov 21 13:00:01 2026", "a"),
        ("Sat Nov 21 13:00:00 2026", "b"),
        ("2026-11-21T12:00:01Z", "a"),
        ("2026-11-21T12:00:00Z", "b"),
        ("2026-11-21T13:00:01+01:00", "a"),
        ("2026-11-21 13:00:00+01", "b"),
    ],
)
def test_a_time_may_be_one_that_barman_prints(before, found):
    def row(name, hour):
        listed = backup(backup_id=name, end_time=f"Sat Nov 21 {hour}:00:00 2026", end_timestamp=None)
        return listed, replace(
            listed, end_time=f"2026-11-21 {hour}:00:00.750000+01:00", end_timestamp=NOW - 37600 + (hour - 13) * HOUR
        )

    rows = [row("a", 13), row("b", 12)]
    details = {full.backup_id: full for _listed, full in rows}
    choice = choose([listed for listed, _full in rows], wanted("latest", before=before), "pg", details.__getitem__)
    assert choice.backup.backup_id == found


def test_what_the_list_rules_out_by_its_type_is_not_asked_for():
    snapshots = {f"s{number}": {"type": "snapshot", "mode": "snapshot"} for number in range(500)}
    catalogue = Catalogue(**snapshots, good={})
    backup, skipped = catalogue.choose("latest")
    assert (backup.backup_id, catalogue.asked) == ("good", ["good"])
    assert dict(skipped) == {
        name: ["it is of type snapshot; supported are rsync, full and incremental"] for name in snapshots
    }


def test_what_the_list_rules_out_by_its_time_is_not_asked_for():
    catalogue = Catalogue(a=ended(1, compression="snappy"), b=ended(30), c=ended(40))
    assert catalogue.chosen("latest", before="2026-11-21T00:00:00Z") == ("b", ["a"])
    assert catalogue.asked == ["b"]


class TestWaiting:
    def test_latest_waits_for_the_newest(self):
        catalogue = Catalogue(new=WAITS, old={}, becomes={"new": {"status": "DONE"}})
        chosen, skipped = catalogue.choose("latest", wait=60)
        assert (chosen.backup_id, chosen.status, skipped) == ("new", "DONE", ())
        assert catalogue.waited == ["new"]

    def test_an_id_is_waited_for(self):
        catalogue = Catalogue(new={}, old=WAITS, becomes={"old": {"status": "DONE"}})
        assert catalogue.chosen("old", wait=60) == ("old", [])

    @pytest.mark.parametrize(
        ("becomes", "reason"),
        [
            ({}, "its status is WAITING_FOR_WALS, not DONE, even after wait=60 seconds"),
            ({"status": "FAILED"}, "its status is FAILED, not DONE"),
            ({"status": "FAILED", "error": "gone"}, "its status is FAILED, not DONE (gone)"),
        ],
    )
    def test_one_that_does_not_become_ready_is_passed_over(self, becomes, reason):
        catalogue = Catalogue(new=WAITS, old={}, becomes={"new": becomes})
        assert catalogue.choose("latest", wait=60).skipped == (("new", [reason]),)

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"wait": 0}, WAITS_SAID),
            (
                {"wait": 60, "may_wait": False},
                "its status is WAITING_FOR_WALS, not DONE; check mode does not wait for it",
            ),
        ],
        ids=["by default", "check mode"],
    )
    def test_nobody_waits_unasked(self, options, reason):
        catalogue = Catalogue(new=WAITS, old={})
        assert catalogue.choose("latest", **options).skipped == (("new", [reason]),)
        assert catalogue.waited == []

    @pytest.mark.parametrize(
        "unfit",
        [
            pytest.param({"compression": "snappy", **WAITS}, id="compressed"),
            pytest.param({"type": "snapshot", **WAITS}, id="a snapshot"),
            pytest.param(ended(50, **WAITS), id="too old"),
            pytest.param({"status": "STARTED"}, id="not copied yet"),
            pytest.param({"status": "SYNCING"}, id="comes from another Barman"),
            pytest.param({"status": "FAILED"}, id="failed"),
        ],
    )
    def test_what_will_not_do_anyway_is_not_waited_for(self, unfit):
        catalogue = Catalogue(new=unfit, old=ended(1))
        assert catalogue.chosen("latest", wait=60, max_age="2h") == ("old", ["new"])
        assert catalogue.waited == []

    def test_one_that_is_ready_by_now_is_not_waited_for(self):
        catalogue = Catalogue(new={})
        catalogue.listed[0] = replace(catalogue.listed[0], status=WAITING)
        assert catalogue.chosen("latest", wait=60) == ("new", [])
        assert catalogue.waited == []

    def test_one_that_failed_since_the_list_is_never_used(self):
        catalogue = Catalogue(new={"status": "FAILED"}, old={})
        catalogue.listed[0] = replace(catalogue.listed[0], status="DONE")
        assert catalogue.choose("latest", wait=60).skipped == (("new", ["its status is FAILED, not DONE"]),)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"before": "yesterday"}, "time_invalid"),
        ({"before": "2026-11-21"}, "time_invalid"),
        ({"before": "2026-11-21 12:00:00"}, "time_invalid"),
        ({"before": " 2026-11-21T12:00:00"}, "time_invalid"),
        ({"before": "2026-02-30T12:00:00Z"}, "time_invalid"),
        ({"before": " "}, "time_invalid"),
        ({"max_age": "0"}, "time_invalid"),
        ({"max_age": "-1"}, "time_invalid"),
        ({"max_age": "5m"}, "time_invalid"),
        ({"max_age": "P1D"}, "time_invalid"),
        ({"wait": -1}, "option_out_of_range"),
    ],
)
def test_what_makes_no_sense_is_refused(options, code):
    with pytest.raises(StandbyError, match="Next: ") as refused:
        wanted("latest", **options)
    assert refused.value.code == code
