# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a standby has come that is waited for, as one look after the other tells it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict
from ansible_collections.pgfleet.standby.plugins.module_utils._server.waiting import (
    Sight,
    Waited,
    progress_of,
    waited_from,
)

PID = 4711
CONTROL = {"wal_segment_size": 16 << 20, "min_recovery_lsn": "0/0"}


def asked(replayed, received=None, receiver=None, **instance):
    """A look at a server that answers."""
    seen = {"replay_lsn": replayed, "receive_lsn": received, "receiver": receiver, **instance}
    return {"pgdata": {"pid": PID}, "instance": seen, "catching_up": True}


def titled(startup=None, receiver=None, pid=PID, **control):
    """A look at a server that is only seen from outside."""
    return {
        "pgdata": {"pid": pid, "control": {**CONTROL, **control}},
        "instance": None,
        "unasked": {"kind": "starting", "startup": startup, "receiver": receiver},
        "catching_up": False,
    }


def waited(*looks, minimum="0/8000000"):
    """What is known after these looks, one a second, with work that grows at each."""
    first, *more = (Sight.of(look, minimum, work) for work, look in enumerate(looks))
    known = Waited.begun("boot", minimum, first, 0.0)
    for second, sight in enumerate(more, 1):
        known = known.after(sight, minimum, float(second))
    return known


N5, N6 = (f"{1:08X}{0:08X}{number:08X}" for number in (5, 6))
N5_ON_2 = f"{2:08X}{0:08X}{5:08X}"
RECEIVING = {"status": "streaming"}


@pytest.mark.parametrize(
    ("looks", "moved_at"),
    [
        pytest.param([asked("0/1"), asked("0/2")], 1, id="replays"),
        pytest.param([asked("0/1", "0/1"), asked("0/1", "0/2")], 1, id="receives"),
        pytest.param([asked("0/1"), asked("0/1")], 0, id="does nothing"),
        pytest.param([asked("0/1", "0/8000000"), asked("0/1", "0/9000000")], 0, id="receives beyond what it lacks"),
        pytest.param(
            [asked("0/1"), asked("0/1", receiver=RECEIVING), asked("0/1"), asked("0/1", receiver=RECEIVING)],
            0,
            id="its receiver begins again and again",
        ),
        pytest.param(
            [asked("0/1", "0/5"), asked("0/1"), asked("0/1", "0/5")], 0, id="what it received is forgotten and received"
        ),
        pytest.param([titled(f"recovering {N5}"), titled(f"recovering {N6}")], 1, id="replays another segment"),
        pytest.param([titled(f"recovering {N5}"), titled(f"recovering {N5}")], 1, id="works within a segment"),
        pytest.param([titled(), titled(), titled()], 2, id="works before it replays"),
        pytest.param([titled(f"waiting for {N5}"), titled(f"waiting for {N5}")], 0, id="looks for WAL in vain"),
        pytest.param(
            [titled(f"{word} {N5}") for word in ("recovering", "waiting for") * 3],
            0,
            id="looks for WAL in vain and shows the segment that it has a part of",
        ),
        pytest.param(
            [titled(f"waiting for {N5_ON_2}"), titled(f"recovering {N5}"), titled(f"recovering {N6}")],
            2,
            id="looks on a newer timeline first",
        ),
        pytest.param(
            [
                titled(f"waiting for {N5}"),
                titled(f"recovering {N5}"),
                titled(f"recovering {N5}", min_recovery_lsn="0/9"),
            ],
            2,
            id="writes pages of a long segment",
        ),
        pytest.param(
            [titled(f"waiting for {N5}"), titled(f"waiting for {N5}", "streaming 0/5000100")], 1, id="receives unasked"
        ),
        pytest.param([titled(f"recovering {N6}"), asked("0/5000000")], 1, id="can be asked"),
        pytest.param(
            [titled(f"waiting for {N6}"), titled(f"waiting for {N5}", pid=PID + 1)], 1, id="was started again"
        ),
    ],
)
def test_when_it_last_came_nearer(looks, moved_at):
    # Without work at the first look that of the second is more.
    assert waited(*looks).moved_at == moved_at


def test_what_is_handed_on_survives_as_json():
    known = waited(titled(f"waiting for {N5}"), titled(f"recovering {N5}"), asked("0/5000000"))
    assert waited_from(json.loads(json.dumps(as_dict(known))), "boot") == known


def test_after_a_reboot_its_times_mean_nothing():
    assert waited_from(as_dict(waited(asked("0/1"))), "another boot") is None


@pytest.mark.parametrize("given", [{}, {"boot": "boot"}, {**as_dict(waited(asked("0/1"))), "furthest": [1]}])
def test_what_no_step_has_made_is_refused(given):
    with pytest.raises(StandbyError) as refused:
        waited_from(given, "boot")
    assert refused.value.code == "option_invalid"


def progress(*looks, minimum="0/8000000"):
    known = waited(*looks, minimum=minimum)
    told = progress_of(waited(looks[0], minimum=minimum), known, looks[-1], None)
    return tuple(told[name] for name in ("phase", "behind", "rate", "eta", "still"))


MB = 1 << 20


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([asked("0/1000000"), asked("0/2000000")], ("replaying", 96 * MB, 16 * MB, 6, 0)),
        ([asked("0/1000000"), asked("0/1000000")], ("replaying", 112 * MB, 0, None, 1)),
        ([asked("0/1000000")], ("replaying", 112 * MB, None, None, 0)),
        (
            [asked("0/1000000", "0/2000000", delayed=True), asked("0/1000000", "0/4000000", delayed=True)],
            ("receiving", 64 * MB, 32 * MB, 2, 0),
        ),
        ([{**asked("0/8000000"), "catching_up": False}], ("connecting", 0, None, None, 0)),
        ([asked("0/8000000")], ("catching up", 0, None, None, 0)),
        ([asked(None)], ("catching up", None, None, None, 0)),
        ([titled(f"recovering {N5}"), titled(f"recovering {N6}")], ("replaying", 32 * MB, 16 * MB, 2, 0)),
        ([titled()], ("starting", None, None, None, 0)),
        ([titled(f"recovering {'F' * 24}")], ("starting", None, None, None, 0)),
    ],
)
def test_how_far_it_is(looks, told):
    assert progress(*looks) == pytest.approx(told)


def test_without_a_position_that_is_waited_for_it_is_behind_nothing_known():
    assert progress(asked("0/1"), minimum=None)[:2] == ("catching up", None)
