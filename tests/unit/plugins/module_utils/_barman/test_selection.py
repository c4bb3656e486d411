# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.selection import (
    WAITING,
    _reasons_unusable,
    choose,
    request_of,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
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


NOW = 1_795_300_000  # 2026-11-21 22:26:40 UTC
HOUR = 3600
WAITS = {"status": WAITING}
WAITS_SAID = (
    "its status is WAITING_FOR_WALS, not DONE: Barman has not yet archived all WAL that it needs;"
    " with wait=SECONDS it would be waited for"
)


def wanted(backup_id, **options):
    return request_of({"backup_id": backup_id, "before": None, "max_age": None, "wait": 0, **options}, NOW)


def ended(hours_ago, **fields):
    """When it ended, as the list tells it to the second and the backup itself with its zone."""
    return {"end_timestamp": NOW - hours_ago * HOUR, "end_time": f"{hours_ago} h ago", **fields}


class Catalogue:
    """Backups by id, newest first, and the record of which of them were looked at and waited for.

    The list tells little; ``timeless``, as of an old Barman, not even when they ended. ``becomes`` is what a backup is
    after waiting.
    """

    def __init__(self, timeless=False, becomes=None, **details):
        self.details = {name: backup(backup_id=name, **fields) for name, fields in details.items()}
        self.listed = [
            backup(
                backup_id=name,
                status=full.status,
                mode=None,
                name=full.name,
                type=full.type,
                end_time=full.end_time,
                end_timestamp=None if timeless else full.end_timestamp,
            )
            for name, full in self.details.items()
        ]
        self.becomes = becomes or {}
        self.asked = []
        self.waited = []

    def choose(self, backup_id, may_wait=True, **options):
        ready = self.ready if may_wait else None
        return choose(self.listed, wanted(backup_id, **options), "pg", self.detail, ready)

    def chosen(self, backup_id, **options):
        """The id, and those passed over in the order in which they were."""
        chosen, skipped = self.choose(backup_id, **options)
        return chosen.backup_id, [name for name, _reasons in skipped]

    def detail(self, name):
        self.asked.append(name)
        return self.details[name]

    def ready(self, name):
        self.waited.append(name)
        return replace(self.details[name], **self.becomes.get(name, {}))


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


INCREMENTAL = {"type": "incremental", "mode": "postgres", "name": "nightly"}


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


def test_what_the_list_rules_out_by_its_time_is_not_asked_for():
    catalogue = Catalogue(a=ended(1, compression="snappy"), b=ended(30), c=ended(40))
    assert catalogue.chosen("latest", before="2026-11-21T00:00:00Z") == ("b", ["a"])
    assert catalogue.asked == ["b"]


@pytest.mark.parametrize(
    ("options", "catalogue", "reasons"),
    [
        pytest.param(
            {"before": "2026-11-21T20:26:40Z"},
            {"a": ended(1)},
            ["it ended at 1 h ago, not before 2026-11-21T20:26:40Z: 1 h after it"],
            id="too new",
        ),
        pytest.param(
            {"max_age": "90min"},
            {"a": ended(26)},
            ["it is 1 d 2 h old, ended at 26 h ago; max_age is 90min"],
            id="too old",
        ),
        pytest.param(
            {"max_age": "90min", "before": "2026-11-21T20:26:40Z"},
            {"a": ended(2, status=WAITING)},
            [
                "it ended at 2 h ago, not before 2026-11-21T20:26:40Z: 0 s after it",
                "it is 2 h old, ended at 2 h ago; max_age is 90min",
                "its status is WAITING_FOR_WALS, not DONE",
            ],
            id="everything",
        ),
        pytest.param(
            {"max_age": "1h"}, {"a": {"status": "FAILED"}}, ["its status is FAILED, not DONE"], id="failed, timeless"
        ),
        pytest.param({"max_age": "1h"}, {"a": {}}, ["Barman does not tell when it ended"], id="max_age, no end"),
        pytest.param(
            {"before": "2026-11-21T20:26:40Z"}, {"a": {}}, ["Barman does not tell when it ended"], id="before, no end"
        ),
        pytest.param(
            {"before": "Sat Nov 21 13:00:00 2026"},
            {"a": {"compression": "snappy", "end_time": "then"}},
            ["Barman does not tell when it ended", "it is compressed (snappy); supported are gzip, lz4, zstd, none"],
            id="no end, and more",
        ),
        pytest.param({}, {"a": WAITS}, [WAITS_SAID], id="waits for WAL"),
        pytest.param(
            {},
            {"a": {**WAITS, "compression": "snappy"}},
            [
                "its status is WAITING_FOR_WALS, not DONE",
                "it is compressed (snappy); supported are gzip, lz4, zstd, none",
            ],
            id="waits for WAL in vain",
        ),
    ],
)
def test_every_reason_is_told(options, catalogue, reasons):
    for backup_id in ("latest", "a"):
        with pytest.raises(StandbyError) as refused:
            Catalogue(**catalogue).choose(backup_id, **options)
        assert refused.value.result["passed_over"] == [{"backup_id": "a", "reasons": reasons}]


def test_latest_full_says_what_an_incremental_one_is():
    [(name, reasons)] = Catalogue(inc=INCREMENTAL, full={}).choose("latest-full").skipped
    assert (name, reasons) == ("inc", ["it is incremental, and a full one is asked for"])


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
    ("catalogue", "asked", "code", "said"),
    [
        pytest.param(Catalogue(), "latest", "no_usable_backup", "its catalogue is empty", id="empty"),
        pytest.param(Catalogue(), "oldest", "no_usable_backup", "its catalogue is empty", id="empty, oldest"),
        pytest.param(
            Catalogue(a={"status": "FAILED"}, b={"compression": "snappy"}),
            "latest",
            "no_usable_backup",
            r"a: its status is FAILED, not DONE; b: it is compressed \(snappy\); supported are gzip, lz4, zstd, none",
            id="none usable",
        ),
        pytest.param(
            Catalogue(a={"status": "FAILED"}, b={"compression": "snappy"}),
            "oldest",
            "no_usable_backup",
            r"b: it is compressed \(snappy\); supported are gzip, lz4, zstd, none; a: its status is FAILED, not DONE",
            id="none usable, from the oldest on",
        ),
        pytest.param(Catalogue(a=INCREMENTAL), "latest-full", "no_usable_backup", "a: it is incremental", id="no full"),
        pytest.param(Catalogue(a={}), "b", "backup_unknown", "no backup 'b', neither by id nor by name", id="unknown"),
        pytest.param(Catalogue(), "", "backup_unknown", "no backup ''", id="nothing"),
        pytest.param(
            Catalogue(a={}, b={"type": "snapshot"}),
            "b",
            "backup_unsupported",
            "Backup b: it is of type snapshot",
            id="id of an unusable one",
        ),
        pytest.param(
            Catalogue(a={}, b={"type": "snapshot", "name": "release"}),
            "release",
            "backup_unsupported",
            "Backup b: it is of type snapshot",
            id="name of an unusable one",
        ),
        pytest.param(
            Catalogue(c={"name": "x"}, b={"name": "x", "status": "FAILED"}, a={"name": "x", "status": WAITING}),
            "x",
            "backup_ambiguous",
            "2 backups with the name 'x': c, a[.] Next: give the id",
            id="ambiguous name",
        ),
    ],
)
def test_refuses_with_every_reason(catalogue, asked, code, said):
    with pytest.raises(StandbyError, match=said) as refused:
        catalogue.choose(asked)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("catalogue", "asked", "options", "code", "step"),
    [
        pytest.param(
            Catalogue(a=ended(1)),
            "latest",
            {"before": "2026-11-21T00:00:00Z"},
            "no_usable_backup",
            "let before be later, or take one with `barman backup pg --wait`.",
            id="before",
        ),
        pytest.param(
            Catalogue(b=ended(20), a=ended(30)),
            "latest",
            {"max_age": "2h"},
            "no_usable_backup",
            "let max_age be longer, or take one with `barman backup pg --wait`.",
            id="max_age",
        ),
        pytest.param(
            Catalogue(a=ended(30)),
            "a",
            {"max_age": "2h"},
            "backup_unsupported",
            "let max_age be longer, or choose another backup_id, or latest.",
            id="an id that is too old",
        ),
        pytest.param(
            Catalogue(a=WAITS),
            "latest",
            {},
            "no_usable_backup",
            "set wait to give it time, or take one with `barman backup pg --wait`.",
            id="wait",
        ),
        pytest.param(
            Catalogue(a=WAITS),
            "a",
            {"wait": 5},
            "backup_unsupported",
            "let wait be longer, or choose another backup_id, or latest.",
            id="waited",
        ),
    ],
)
def test_the_next_step_is_what_would_help(catalogue, asked, options, code, step):
    with pytest.raises(StandbyError) as refused:
        catalogue.choose(asked, **options)
    assert (refused.value.code, refused.value.msg.partition("Next: ")[2]) == (code, step)


def test_the_reasons_are_data_too():
    with pytest.raises(StandbyError) as refused:
        Catalogue(a={"status": "FAILED"}).choose("latest")
    assert refused.value.result["passed_over"] == [{"backup_id": "a", "reasons": ["its status is FAILED, not DONE"]}]


def test_a_long_catalogue_is_told_in_short_and_what_matters_first():
    young = {f"young{number:03}": ended(1) for number in range(200)}
    with pytest.raises(StandbyError) as refused:
        Catalogue(**young, old={"status": "FAILED"}).choose("latest", before="2026-11-20T00:00:00Z")
    assert "(old: its status is FAILED, not DONE; young000: it ended" in refused.value.msg
    assert "; and 196 more)" in refused.value.msg
    assert len(refused.value.result["passed_over"]) == 201


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
