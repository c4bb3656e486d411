# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen of a host; the servers are ones that a test describes."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.wal_proof import WalProof
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.consent import _LEVELS
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.postmaster import Work
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import local_server as _local_server
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import LocalServer
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import host_state as _host_state
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import decide
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.host_state import WantedStandby, observe
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    CONTROL,
    LABEL,
    SYSTEM_IDENTIFIER,
    instance,
    receiver,
    upstream,
    write_segments,
)

LEFT_LATER = {"timeline": 2, "history": ((1, 0x7000000),), "lsn": 0xA000000}
FORKED = {"timeline": 2, "history": ((1, 0x1741000),)}


def directory(path="/pgdata", **changed):
    return DataDir(**{"path": str(path), "state": "standby", "version": "15", "control": CONTROL, **changed})


def running(**changed):
    return directory(**{"pid": 7, "port": 5432, "socket_directory": "/run/postgresql", **changed})


@pytest.fixture
def wanted():
    def make(**changed):
        given = {
            "keywords": {"host": "primary", "user": "replicator"},
            "system_identifier": SYSTEM_IDENTIFIER,
            "slot_name": None,
            "overwrite": "same_cluster",
            "bindir": None,
            "barman": None,
            **changed,
        }
        return WantedStandby(**given)

    return make


@pytest.fixture(autouse=True)
def world(monkeypatch):
    said = {
        "instance": instance(),
        "use": [],
        "wal": Verdict("wal", "ok", "all is there"),
        "no_rewind": [],
        "asked": {},
    }

    def local(place, *_login):
        said["asked"]["place"] = place
        if said["instance"] is None:
            raise StandbyError(Refusal("instance_unreachable", "It lets nobody in.", "see its log"))
        return said["instance"]

    def prove(begin, *_rest):
        said["asked"]["begin"] = begin
        return WalProof((said["wal"],), "0" * 24, 1)

    def possible(found, keywords, bindir, server, restore_command):
        said["asked"]["user"] = keywords.get("user")
        return said["no_rewind"]

    monkeypatch.setattr(_local_server, "local_instance", local)
    monkeypatch.setattr(_local_server, "work_of_server", lambda _pid: Work())
    monkeypatch.setattr(_host_state, "signs_of_use", lambda *_where: said["use"])
    monkeypatch.setattr(_host_state, "prove", prove)
    monkeypatch.setattr(_host_state, "reasons_impossible", possible)
    monkeypatch.setattr(_host_state, "find_bindir", lambda *_where: "/bin")
    return said


@pytest.mark.parametrize("state", ["absent", "empty", "foreign"])
def test_where_nothing_is_nobody_is_asked(world, wanted, state):
    seen = observe(DataDir("/pgdata", state), upstream(), wanted())
    assert (seen.host_state.contents.state, seen.relation, world["asked"]) == (state, None, {})


@pytest.mark.parametrize(
    ("of", "same"),
    [({}, True), ({"has_backup": True}, True), ({"has_backup": True, "system_identifier": None}, False)],
    ids=["no backup", "a backup", "a backup of a cluster that is not known"],
)
def test_a_cluster_is_seen_from_the_backup_that_would_be_copied(wanted, of, same):
    now = observe(directory(), upstream(), wanted(**of)).host_state
    assert (now.same_cluster, now.contents.same_cluster) == (True, same)


def test_a_healthy_standby(world, wanted):
    seen = observe(running(), upstream(), wanted())
    assert seen.host_state.healthy
    assert world["asked"] == {"place": LocalServer("/run/postgresql", 5432, 7)}


@pytest.mark.parametrize(
    ("changed", "server"),
    [
        pytest.param({"receiver": None}, {}, id="no receiver"),
        pytest.param({"receiver": receiver(sender_host="other")}, {}, id="another upstream"),
        pytest.param(
            {"receiver": receiver(sender_host="other"), "replay_lsn": 0x9000000}, {}, id="beyond the upstream"
        ),
    ],
)
def test_a_running_standby_that_can_go_on(world, wanted, changed, server):
    world["instance"] = instance(**changed)
    now = observe(running(), upstream(**server), wanted()).host_state
    assert (now.healthy, now.primary, now.relation, now.wal_missing) == (False, False, "behind", False)
    assert world["asked"]["begin"] == (1, max(world["instance"].receive_lsn, world["instance"].replay_lsn))


@pytest.mark.parametrize(
    ("receive_lsn", "server", "begin"),
    [
        pytest.param(0x9000000, {"lsn": 0xA000000}, 0x9000000, id="delayed"),
        pytest.param(None, {"lsn": 0xA000000}, 0x5000000, id="nothing received since its start"),
        pytest.param(0x9000000, LEFT_LATER, 0x7000000, id="up to the fork"),
    ],
)
def test_a_running_standby_needs_what_it_has_not_received(world, wanted, receive_lsn, server, begin):
    """It replays later than it receives, and has the WAL between."""
    changed = {"receiver": None, "delayed": True, "replay_lsn": 0x5000000, "receive_lsn": receive_lsn}
    world["instance"] = instance(**changed)
    assert observe(running(), upstream(**server), wanted()).host_state.relation == "behind"
    assert world["asked"]["begin"] == (1, begin)


def test_a_running_standby_of_a_history_that_was_left(world, wanted):
    seen = observe(running(), upstream(**FORKED), wanted())
    assert seen.host_state.relation == "diverged"
    assert seen.host_state.no_rewind == "a server runs on the directory"


def test_a_wanted_slot_that_is_not_used(wanted):
    assert not observe(running(), upstream(), wanted(slot_name="another")).host_state.healthy


def test_a_primary_that_runs(world, wanted):
    world["instance"] = instance(in_recovery=False, receiver=None)
    assert observe(running(state="cluster"), upstream(), wanted()).host_state.primary


@pytest.mark.parametrize(
    ("state", "control", "primary"),
    [
        ("standby", "in archive recovery", False),
        ("standby", "in production", True),
        ("cluster", "in archive recovery", True),
    ],
)
def test_a_server_that_lets_nobody_in_is_what_its_directory_says(world, wanted, state, control, primary):
    world["instance"] = None
    files = {"state": state, "control": dataclasses.replace(CONTROL, state=control)}
    now = observe(running(**files), upstream(), wanted()).host_state
    assert (now.primary, now.healthy) == (primary, False)
    assert now.unasked.code == "instance_unreachable"
    assert control in now.unasked.found


@pytest.mark.parametrize("overwrite", _LEVELS)
@pytest.mark.parametrize(
    ("there", "code"),
    [
        pytest.param({}, "instance_unreachable", id="it lets nobody in"),
        pytest.param({"status": "starting"}, "server_starting", id="it starts or replays"),
        pytest.param({"status": "stopping"}, "server_stopping", id="it stops"),
        pytest.param({"status": "standby"}, "hot_standby_off", id="hot_standby is off"),
        pytest.param({"port": None, "socket_directory": None}, "server_hidden", id="it runs in a container"),
    ],
)
def test_a_running_standby_that_was_not_asked_is_left_alone(world, wanted, there, code, overwrite):
    world["instance"] = None
    for server in (upstream(), upstream(**FORKED), upstream(lsn=1), None):
        now = observe(running(**there), server, wanted(overwrite=overwrite)).host_state
        decision = decide(now, overwrite)
        assert (decision.action, decision.stop, decision.error_code) == ("refuse", False, code)
        assert "overwrite=" not in decision.reason
    assert "begin" not in world["asked"], "nothing is compared on a guess"


@pytest.mark.parametrize("overwrite", _LEVELS)
@pytest.mark.parametrize("state", ["standby", "cluster", "pristine", "incomplete", "foreign"])
def test_a_directory_on_which_a_server_may_run_is_left_alone(wanted, state, overwrite):
    now = observe(directory(state=state, doubt="a file says so"), upstream(), wanted(overwrite=overwrite)).host_state
    assert decide(now, overwrite).error_code == "server_uncertain"


@pytest.mark.parametrize("overwrite", _LEVELS)
@pytest.mark.parametrize("there", [directory(), directory(state="cluster"), running()], ids=["it", "a former", "runs"])
def test_without_an_answer_of_the_upstream_nothing_is_decided(world, wanted, there, overwrite):
    world["instance"] = instance(receiver=None)
    now = observe(there, None, wanted(overwrite=overwrite)).host_state
    assert decide(now, overwrite).error_code == "upstream_unreachable"


@pytest.mark.parametrize(
    ("changed", "wish", "healthy"),
    [
        pytest.param({}, {}, True, id="it streams from there"),
        pytest.param({"receiver": None}, {}, False, id="it does not stream"),
        pytest.param({"receiver": receiver(sender_host="other")}, {}, False, id="it streams from another"),
        pytest.param({}, {"slot_name": "another"}, False, id="by another slot"),
        pytest.param({}, {"system_identifier": "1"}, False, id="the backup is of another cluster"),
        pytest.param({"in_recovery": False, "receiver": None}, {}, False, id="it is a primary"),
    ],
)
def test_a_standby_that_streams_is_healthy_although_the_upstream_cannot_be_asked(world, wanted, changed, wish, healthy):
    """There may be no WAL sender to spare, or a limit of connections for its role."""
    world["instance"] = instance(**changed)
    assert observe(running(), None, wanted(**wish)).host_state.healthy == healthy


def test_a_new_cluster_that_runs_and_is_the_wanted_one_is_no_new_one(world, wanted):
    world["instance"] = instance(in_recovery=False, receiver=None)
    for overwrite in _LEVELS:
        now = observe(running(state="pristine"), upstream(), wanted(overwrite=overwrite)).host_state
        assert decide(now, overwrite).error_code == "primary_running"


@pytest.mark.parametrize(("use", "unused"), [([], True), (["role app"], False)])
def test_a_new_cluster_that_runs_is_unused_if_the_server_says_so(world, wanted, use, unused):
    world.update(use=use, instance=instance(in_recovery=False, receiver=None))
    control = dataclasses.replace(CONTROL, system_identifier="1")
    now = observe(running(state="pristine", control=control), upstream(), wanted()).host_state
    assert (now.unused, now.same_cluster) == (unused, False)


def test_a_stopped_cluster_that_can_go_on(world, wanted):
    seen = observe(directory(), upstream(), wanted())
    assert (seen.host_state.relation, seen.host_state.running) == ("behind", False)
    assert world["asked"]["begin"] == (1, 0x17414C8)


@pytest.mark.parametrize(("kept", "begin"), [(True, 0x4000000), (False, 0x1000028)])
def test_a_standby_needs_what_comes_after_the_wal_that_it_has_kept(tmp_path, world, wanted, kept, begin):
    places = {"redo_lsn": "0/1000028", "min_recovery_lsn": "0/4000000", "min_recovery_timeline": 1}
    control = dataclasses.replace(CONTROL, state="shut down in recovery", **places)
    if kept:
        write_segments(tmp_path, 1)
    observe(directory(tmp_path, control=control), upstream(), wanted())
    assert world["asked"]["begin"] == (1, begin)


@pytest.mark.parametrize(
    ("has", "begin"),
    [
        pytest.param((1, 4, 5, 6), 0x6000000, id="all up to the last, which may be written in part"),
        pytest.param((1, 4, 6), 0x4000000, id="a hole"),
        pytest.param((1,), 0x4000000, id="none after what it has replayed"),
        pytest.param((4, 5, 6), 0x1000028, id="not what its replay begins with"),
    ],
)
def test_a_stopped_standby_needs_what_comes_after_its_own_wal(tmp_path, world, wanted, has, begin):
    """As one that replays hours later than it receives."""
    places = {"redo_lsn": "0/1000028", "min_recovery_lsn": "0/4000000", "min_recovery_timeline": 1}
    control = dataclasses.replace(CONTROL, state="shut down in recovery", **places)
    write_segments(tmp_path, *has)
    observe(directory(tmp_path, control=control), upstream(lsn=0xA000000), wanted())
    assert world["asked"]["begin"] == (1, begin)


def test_wal_that_is_gone(world, wanted):
    world["wal"] = problem("wal", Refusal("wal_missing", "It is gone.", "clone"))
    assert observe(directory(), upstream(), wanted()).host_state.wal_missing


@pytest.mark.parametrize(
    ("server", "relation"),
    [({}, "behind"), (FORKED, "diverged"), ({"timeline": 2, "history": ((1, 0x4000000),)}, "behind")],
)
def test_a_backup_that_was_never_started_goes_where_its_label_says(tmp_path, world, wanted, server, relation):
    (tmp_path / "backup_label").write_text(LABEL, encoding="utf-8")
    seen = observe(directory(tmp_path, entries=("backup_label",)), upstream(**server), wanted())
    assert seen.host_state.relation == relation
    if relation == "behind":
        assert world["asked"]["begin"] == (1, 0x3000028)


@pytest.mark.parametrize(
    ("reasons", "overwrite", "said"),
    [
        ([], "same_cluster", None),
        (["no checksums", "no right"], "same_cluster", "no checksums; no right"),
        ([], "never", "it was not asked"),
    ],
)
def test_pg_rewind_is_asked_where_there_is_consent(world, wanted, reasons, overwrite, said):
    world["no_rewind"] = reasons
    now = observe(directory(), upstream(**FORKED), wanted(overwrite=overwrite, rewind_user="rewinder")).host_state
    assert (now.relation, now.no_rewind) == ("diverged", said)
    assert world["asked"].get("user") == ("rewinder" if overwrite == "same_cluster" else None)


def test_an_upstream_that_is_not_to_be_asked_is_taken_to_be_ahead_of_a_standby(wanted):
    assert observe(directory(), None, wanted(upstream_asked=False)).host_state.relation == "behind"
    assert observe(directory(state="cluster"), None, wanted(upstream_asked=False)).host_state.relation == "unknown"
