# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a backup is not chosen, as it is told."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.selection import WAITING
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._barman.catalogue import (
    INCREMENTAL,
    WAITS,
    WAITS_SAID,
    Catalogue,
    ended,
)


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
