# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a standby is waited for. What one look sees is tested with real servers."""

from __future__ import annotations

import json
import os
from itertools import count

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._server import prove as _prove
from ansible_collections.pgfleet.standby.plugins.module_utils._server.last_words import last_words
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_lines import of_stderr
from ansible_collections.pgfleet.standby.plugins.module_utils._server.prove import _may_become_ready, prove


@pytest.fixture
def clock(monkeypatch):
    """Time passes only by sleeping."""
    now = [0.0]
    monkeypatch.setattr(_prove.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(_prove.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def at(replayed, received=None, **changed):
    """A look at a standby that streams as it should; ``ready`` is filled in by the looks."""
    position = f"0/{received or replayed:X}"
    instance = {"in_recovery": True, "replay_lsn": f"0/{replayed:X}", "receive_lsn": position, "receiver": {}}
    return {
        "ready": False,
        "catching_up": True,
        "running": True,
        "instance": instance,
        "upstream": {"lsn": "0/100"},
        "pgdata": {"pid": None, "path": "/srv/pg"},
        "error_code": "standby_not_ready",
        "msg": "It is not ready: it is late. Next: read the server's log.",
        **changed,
    }


class Looks:
    """What is seen at each look; the last for ever. It is ready when it has replayed what is asked for."""

    def __init__(self, *seen):
        self.seen = list(seen)
        self.asked = []

    def __call__(self, params):
        self.asked.append(params["min_replay_lsn"])
        status = dict(self.seen.pop(0) if len(self.seen) > 1 else self.seen[0])
        wanted = params["min_replay_lsn"] or (status["upstream"] or {}).get("lsn")
        if status["instance"] is not None and status["catching_up"] and wanted is not None:
            status["ready"] = int(status["instance"]["replay_lsn"][2:], 16) >= int(wanted[2:], 16)
        return status


SAID = last_words(of_stderr('FATAL:  could not start WAL streaming: ERROR:  replication slot "n1" does not exist\n'))


def run(looks, awaited="ready", timeout=60, minimum=None, **step):
    params = {"wait": awaited, "timeout": timeout, "min_replay_lsn": minimum, **step}
    return prove({**params, "data_directory": "/srv/pg", "state_directory": None}, looks, lambda _places, _pid: SAID)


def test_one_look_is_enough(clock):
    for awaited, seen in (("none", at(1)), ("replay", at(0x100)), ("ready", at(0x100))):
        looks = Looks(seen)
        run(looks, awaited)
        assert (len(looks.asked), clock[0]) == (1, 0)


def test_waits_for_what_the_upstream_had_written_at_the_first_look(clock):
    moving = [at(position, upstream={"lsn": f"0/{0x100 + position:X}"}) for position in range(0, 0x200, 0x10)]
    looks = Looks(*moving)
    assert run(looks, "replay")["instance"]["replay_lsn"] == "0/100"
    assert set(looks.asked[1:]) == {"0/100"}


def test_waits_without_a_limit_while_it_replays(clock):
    looks = Looks(*(at(position) for position in range(0x101)))
    assert run(looks, timeout=1)["ready"]
    assert clock[0] > 100


# The upstream goes on writing, which is received: that does not bring it nearer.
@pytest.mark.parametrize("seen", [[at(0x50)], [at(0x50, received) for received in range(0x100, 0x1000)]])
@pytest.mark.parametrize("awaited", ["replay", "ready"])
def test_gives_up_if_nothing_moves(clock, awaited, seen):
    status = run(Looks(*seen), awaited)
    assert not status["ready"]
    assert 60 < clock[0] < 70


def test_waits_while_it_receives_what_it_lacks(clock):
    receiving = [at(0x50, received) for received in range(0x50, 0x100)]
    assert run(Looks(*receiving, at(0x100)), timeout=1)["ready"]


def test_a_position_that_is_given_is_the_one(clock):
    looks = Looks(at(0x50), at(0x80))
    assert run(looks, minimum="0/80")["ready"]
    assert set(looks.asked) == {"0/80"}


def test_the_position_of_an_upstream_that_answers_late(clock):
    looks = Looks(at(0x50, upstream=None, catching_up=False), at(0x50), at(0x200))
    assert run(looks)["ready"]
    assert looks.asked == [None, None, "0/100"]


class TestSteps:
    """A wait that is cut into steps waits as one that is not."""

    @staticmethod
    def steps(clock, looks, between=3.0, **options):
        """The last step's result. Between two steps time passes in which nobody looks."""
        done = run(looks, attach_timeout=2, **options)
        while not done["finished"]:
            assert (done["ready"], done["progress"]["phase"]) == (False, "replaying")
            clock[0] += between
            done = run(looks, attach_timeout=2, waited=json.loads(json.dumps(done["waited"])), **options)
        return done

    def test_the_time_without_progress_goes_on_from_step_to_step(self, clock):
        status = self.steps(clock, Looks(at(0x50)))
        assert not status["ready"]
        assert 60 < clock[0] < 70

    def test_it_waits_without_a_limit_while_it_replays(self, clock):
        assert self.steps(clock, Looks(*map(at, range(0x101))), timeout=4)["ready"]
        assert clock[0] > 100

    def test_what_came_while_nobody_looked_is_progress(self, clock):
        looks = Looks(*(at(position) for position in range(0x80, 0x100, 8) for _look in range(5)), at(0x100))
        assert self.steps(clock, looks, between=100.0)["ready"]

    def test_the_position_of_the_first_look_is_that_of_all_steps(self, clock):
        written = ((replayed, f"0/{0x100 + replayed:X}") for replayed in range(0, 0x200, 0x10))
        looks = Looks(*(at(replayed, upstream={"lsn": lsn}) for replayed, lsn in written))
        assert self.steps(clock, looks)["instance"]["replay_lsn"] == "0/100"
        assert set(looks.asked) == {None, "0/100"}

    def test_a_step_looks_at_least_once_and_tells_what_it_saw(self, clock):
        looks = Looks(at(0x50))
        told = run(looks, attach_timeout=0)
        assert (told["finished"], len(looks.asked), clock[0]) == (False, 1, 0)
        assert told["progress"]["behind"] == 0xB0

    def test_after_a_reboot_the_time_begins_anew(self, clock):
        waited = run(Looks(at(0x50)), attach_timeout=0)["waited"]
        clock[0] = 1000.0
        assert run(Looks(at(0x50)), attach_timeout=0, waited=waited)["finished"]
        assert not run(Looks(at(0x50)), attach_timeout=0, waited={**waited, "boot": "before"})["finished"]

    @pytest.mark.parametrize(("seen", "awaited"), [(at(1), "none"), (at(0x100), "ready"), (at(0x100), "replay")])
    def test_what_is_not_waited_for_is_finished(self, clock, seen, awaited):
        assert run(Looks(seen), awaited, attach_timeout=0)["finished"]


def unasked(startup, kind="starting"):
    """A look at a server that cannot be asked yet."""
    said = {"kind": kind, "passes": kind != "refused", "startup": startup, "receiver": None}
    pgdata = {"pid": os.getpid(), "path": "/srv/pg"}
    return at(1, catching_up=False, instance=None, upstream=None, unasked=said, pgdata=pgdata)


@pytest.mark.parametrize("awaited", ["replay", "ready"])
def test_waits_without_a_limit_for_a_server_that_replays_before_it_can_be_asked(clock, monkeypatch, awaited):
    monkeypatch.setattr(_prove, "work_of", lambda _pid: 0)
    replaying = [unasked(f"recovering {number:024X}") for number in range(0x100)]
    assert run(Looks(*replaying, at(0x100)), awaited, timeout=1)["ready"]
    assert clock[0] > 100


@pytest.mark.parametrize("awaited", ["replay", "ready"])
def test_gives_up_on_a_server_that_looks_for_wal_that_does_not_come(clock, monkeypatch, awaited):
    """It asks again and again, which is work."""
    work = count()
    monkeypatch.setattr(_prove, "work_of", lambda _pid: next(work))
    status = run(Looks(unasked(f"waiting for {5:024X}")), awaited)
    assert not status["ready"]
    assert 60 < clock[0] < 70


@pytest.mark.parametrize(
    "seen",
    [
        at(1, catching_up=False),
        at(1, catching_up=False, instance={**at(1)["instance"], "receiver": None}),
        at(1, catching_up=False, instance=None, running=False),
    ],
    ids=["its receiver does not stream", "it has no receiver", "no server runs"],
)
def test_what_the_server_says_is_told_at_the_end(clock, seen):
    status = run(Looks(seen))
    assert status["msg"] == (
        'It is not ready: it is late. It says: FATAL:  could not start WAL streaming: ERROR:  replication slot "n1"'
        " does not exist. Next: run the role again, which makes the slot, or take primary_slot_name out of the"
        " standby's settings."
    )
    assert (status["error_code"], status["cause"]) == ("standby_not_ready", "slot_missing")
    assert status["server_log"] == list(SAID.lines)


@pytest.mark.parametrize(("seen", "awaited"), [(at(1), "none"), (at(0x100), "ready")], ids=["one look", "ready"])
def test_what_it_says_is_not_asked_of_one_that_is_ready_or_only_looked_at(clock, seen, awaited):
    assert "server_log" not in run(Looks(seen), awaited)


def test_what_one_that_streams_has_said_before_is_over(clock):
    streaming = {**at(1)["instance"], "receiver": {"status": "streaming"}}
    assert "server_log" not in run(Looks(at(1, instance=streaming)))


PRIMARY = {"in_recovery": False}


@pytest.mark.parametrize(
    ("status", "replay", "ready"),
    [
        pytest.param(at(1), True, True, id="it catches up"),
        pytest.param(unasked(None), True, True, id="it is starting"),
        pytest.param(unasked(None, "stopping"), True, True, id="it is stopping"),
        pytest.param(unasked(None, "refused"), False, True, id="it lets nobody in"),
        pytest.param(at(1, ready=True), False, False, id="it is ready"),
        pytest.param(at(1, error_code="replay_paused"), False, False, id="its replay is paused"),
        pytest.param(at(1, catching_up=False), False, True, id="its receiver is not as it should be"),
        pytest.param(at(1, catching_up=False, instance=None), False, True, id="it cannot be asked yet"),
        pytest.param(at(1, catching_up=False, instance=None, running=False), False, False, id="no server runs"),
        pytest.param(at(1, catching_up=False, instance=PRIMARY), False, False, id="it is a primary"),
    ],
)
def test_when_another_look_makes_sense(status, replay, ready):
    assert [_may_become_ready(status, awaited) for awaited in ("none", "replay", "ready")] == [False, replay, ready]
