# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import parse_backup_label
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.divergence import (
    assumed_kind,
    is_clean,
    of_running,
    of_stopped,
    of_unstarted_backup,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    CONTROL,
    LABEL,
    instance,
    receiver,
    upstream,
)

# The upstream: promoted once, and twice.
ONE = {"timeline": 1, "lsn": 0x5000000}
TWO = {"timeline": 2, "lsn": 0x5000000, "history": ((1, 0x3000000),)}
THREE = {"timeline": 3, "lsn": 0x5000000, "history": ((1, 0x3000000), (2, 0x4000000))}


def found(state="shut down", timeline=1, checkpoint=0, replayed=0, replayed_timeline=0, **changed):
    control = replace(
        CONTROL,
        state=state,
        timeline=timeline,
        checkpoint_lsn=format_lsn(checkpoint),
        min_recovery_lsn=format_lsn(replayed),
        min_recovery_timeline=replayed_timeline,
    )
    return DataDir("/srv/pg", "cluster", version="15", control=control, **changed)


def standby(timeline, replayed, state="shut down in recovery", checkpoint=0x2000000):
    return found(state, 1, checkpoint, replayed, timeline)


@pytest.mark.parametrize(
    ("here", "there", "kind", "fork"),
    [
        # A primary that was shut down: its checkpoint's record begins where pg_control says.
        pytest.param(found(checkpoint=0x2FFFF80), TWO, "behind", 0x3000000, id="switchover"),
        pytest.param(found(checkpoint=0x3000000), TWO, "diverged", 0x3000000, id="only the last record is too much"),
        pytest.param(found(checkpoint=0x3000028), TWO, "diverged", 0x3000000, id="failover"),
        pytest.param(found(checkpoint=0x3000028), THREE, "diverged", 0x3000000, id="two failovers"),
        pytest.param(found(timeline=2, checkpoint=0x3800000), THREE, "behind", 0x4000000, id="second switchover"),
        pytest.param(found(timeline=2, checkpoint=0x4000028), THREE, "diverged", 0x4000000, id="second failover"),
        pytest.param(found(checkpoint=0x4FFFFFF), ONE, "behind", None, id="same timeline"),
        pytest.param(found(checkpoint=0x5000000), ONE, "ahead", None, id="upstream lacks the last record"),
        pytest.param(found(checkpoint=0x6000000), ONE, "ahead", None, id="upstream lost WAL"),
        pytest.param(found(timeline=3, checkpoint=0x3800000), TWO, "diverged", None, id="promoted elsewhere"),
        pytest.param(found(timeline=2, checkpoint=0x3800000), ONE, "diverged", None, id="upstream never promoted"),
        # A standby: what has been replayed ends there.
        pytest.param(standby(1, 0x3000000), TWO, "behind", 0x3000000, id="standby up to the fork"),
        pytest.param(standby(1, 0x3000001), TWO, "diverged", 0x3000000, id="standby beyond the fork"),
        pytest.param(standby(1, 0x5000000), ONE, "behind", None, id="standby level with the upstream"),
        pytest.param(standby(1, 0x5000001), ONE, "ahead", None, id="standby ahead"),
        pytest.param(standby(2, 0x3000100), TWO, "behind", None, id="standby that followed"),
        pytest.param(standby(1, 0x2800000, "in archive recovery"), TWO, "behind", 0x3000000, id="killed standby"),
        pytest.param(standby(1, 0x3800000, "in archive recovery"), TWO, "diverged", 0x3000000, id="killed beyond"),
        pytest.param(
            found("shut down in recovery", 1, 0x3800000, 0x2800000, 1),
            TWO,
            "diverged",
            0x3000000,
            id="checkpoint later",
        ),
        # A primary that was not shut down: there is more than pg_control tells of.
        pytest.param(found("in production", 1, 0x2800000), TWO, "unknown", 0x3000000, id="crashed before the fork"),
        pytest.param(found("in production", 1, 0x3000028), TWO, "diverged", 0x3000000, id="crashed after it"),
        pytest.param(found("shutting down", 1, 0x2800000), TWO, "unknown", 0x3000000, id="crashed at its end"),
        pytest.param(found("in crash recovery", 1, 0x2800000), TWO, "unknown", 0x3000000, id="crashed again"),
        pytest.param(found("in production", 1, 0x4000000), ONE, "unknown", None, id="crashed on the same timeline"),
        pytest.param(found("in production", 1, 0x5000000), ONE, "ahead", None, id="crashed ahead"),
        # Promoted, and ended before the first checkpoint on the new timeline (xlog.c, CreateEndOfRecoveryRecord).
        pytest.param(
            found("in production", 1, 0x2800000, 0x3000060, 2), TWO, "unknown", None, id="crashed right after promotion"
        ),
        pytest.param(
            found("in production", 1, 0x2800000, 0x3000060, 3), TWO, "diverged", None, id="promoted elsewhere, crashed"
        ),
    ],
)
def test_relation(here, there, kind, fork):
    told = of_stopped(here, upstream(**there))
    assert (told.kind, told.fork) == (kind, fork)
    assert not told.reason.endswith(".")


@pytest.mark.parametrize(
    ("timeline", "own", "there", "kind", "fork"),
    [
        pytest.param(2, ((1, 0x3000000),), TWO, "behind", None, id="the same timeline"),
        pytest.param(2, ((1, 0x2000000),), TWO, "diverged", 0x2000000, id="another one of that number, earlier"),
        pytest.param(2, ((1, 0x3100000),), TWO, "diverged", 0x3000000, id="another one of that number, later"),
        pytest.param(2, ((1, 0x3200000),), ONE, "diverged", 0x3200000, id="upstream never promoted"),
        pytest.param(
            4, ((1, 0x3000000), (2, 0x3800000)), THREE, "diverged", 0x3800000, id="parted on a later timeline"
        ),
        pytest.param(2, ((7, 0x3000000),), TWO, "diverged", None, id="nothing in common"),
    ],
)
def test_relation_with_its_own_history(timeline, own, there, kind, fork):
    told = of_stopped(found(timeline=timeline, checkpoint=0x4800000), upstream(**there), own)
    assert (told.kind, told.fork) == (kind, fork)


@pytest.mark.parametrize(
    ("here", "kind"),
    [
        pytest.param(found("in production", 1, 0x2800000, entries=("backup_label",)), "unknown", id="of a primary"),
        pytest.param(
            found("in archive recovery", 1, 0x2800000, 0x2900000, 1, entries=("backup_label",)),
            "behind",
            id="of a standby, or rewound",
        ),
    ],
)
def test_a_backup_that_has_not_been_started(here, kind):
    assert of_stopped(here, upstream(**TWO)).kind == kind


@pytest.mark.parametrize(
    "here",
    [found(pid=1), DataDir("/srv/pg", "empty"), DataDir("/srv/pg", "foreign")],
    ids=["running", "empty", "foreign"],
)
def test_where_there_is_no_end_to_be_read(here):
    assert of_stopped(here, upstream()).kind == "unknown"


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        (
            found(checkpoint=0x3000028),
            TWO,
            "it went on to 0/3000028 on timeline 1, which the upstream left at 0/3000000",
        ),
        (found(checkpoint=0x2000000), TWO, "it ends at 0/2000000 on timeline 1, which the upstream's history holds"),
        (
            found(checkpoint=0x6000000),
            ONE,
            "it ends at 0/6000000 on timeline 1, the upstream on the same timeline at 0/5000000 already",
        ),
        (
            found(timeline=3, checkpoint=0x6000000),
            TWO,
            "it ends at 0/6000000 on timeline 3, and timeline 2 of the upstream does not descend from that",
        ),
        (
            found("in production", 1, 0x2000000),
            TWO,
            "its server was not shut down (pg_control says 'in production'), and what it wrote after 0/2000000"
            " on timeline 1 is not known",
        ),
    ],
    ids=["diverged", "behind", "ahead", "elsewhere", "crashed"],
)
def test_reasons(here, there, said):
    assert of_stopped(here, upstream(**there)).reason == said


def test_where_the_pages_end():
    told = of_stopped(standby(2, 0x3000100), upstream(**TWO))
    assert (told.timeline, told.lsn) == (2, 0x3000100)
    told = of_stopped(found(timeline=1, checkpoint=0x3000028), upstream(**TWO))
    assert (told.timeline, told.lsn) == (1, 0x3000028)


@pytest.mark.parametrize(
    ("state", "clean"),
    [("shut down", True), ("shut down in recovery", True), ("in production", False), ("in archive recovery", False)],
)
def test_is_clean(state, clean):
    assert is_clean(replace(CONTROL, state=state)) == clean


@pytest.mark.parametrize(
    ("server", "there", "kind", "timeline"),
    [
        pytest.param({"replay_lsn": 0x4000000}, ONE, "behind", 1, id="on the upstream's timeline"),
        pytest.param({"replay_lsn": 0x9000000}, ONE, "behind", 1, id="beyond what the upstream had written"),
        pytest.param({"replay_lsn": 0x3000000}, TWO, "behind", 1, id="up to the fork"),
        pytest.param({"replay_lsn": 0x3000001}, TWO, "diverged", 1, id="beyond the fork"),
        pytest.param({"timeline": 3}, TWO, "diverged", 3, id="a timeline that the upstream does not know"),
        pytest.param(
            {"replay_lsn": 0x3000001, "receiver": receiver(timeline=2)}, TWO, "behind", 2, id="it streams the next one"
        ),
        pytest.param({"replay_lsn": None, "receiver": None}, ONE, "behind", 1, id="it has replayed nothing"),
    ],
)
def test_a_running_standby(server, there, kind, timeline):
    found = of_running(instance(**server), upstream(**there))
    assert (found.kind, found.timeline) == (kind, timeline)
    assert found.reason.startswith("it has replayed ")


@pytest.mark.parametrize(
    ("label", "there", "kind", "timeline"),
    [
        pytest.param(LABEL, TWO, "diverged", 1, id="begun beyond the fork"),
        pytest.param(LABEL, {**TWO, "history": ((1, 0x4000000),)}, "behind", 1, id="begun before the fork"),
        pytest.param(LABEL.replace("START TIMELINE: 1\n", ""), ONE, "behind", 1, id="the timeline is in the file name"),
    ],
)
def test_a_backup_on_which_no_server_has_been_started(label, there, kind, timeline):
    found = of_unstarted_backup(parse_backup_label(label), upstream(**there))
    assert (found.kind, found.timeline, found.lsn) == (kind, timeline, 0x3000028)
    assert found.reason.startswith("it begins at 0/3000028 on timeline 1, ")


@pytest.mark.parametrize(("state", "kind"), [("standby", "behind"), ("cluster", "unknown")])
def test_only_a_standby_is_taken_to_be_behind_an_upstream_that_is_not_asked(state, kind):
    assert assumed_kind(state) == kind
