# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen of a host; the servers are ones that a test describes."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.wal_proof import WalProof
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import host_state as _host_state
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.host_state import WantedStandby, observe
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    CONTROL,
    LABEL,
    SYSTEM_IDENTIFIER,
    instance,
    receiver,
    upstream,
)

FORKED = {"timeline": 2, "history": ((1, 0x1741000),)}


def directory(path="/pgdata", **changed):
    return DataDir(**{"path": str(path), "state": "standby", "version": "15", "control": CONTROL, **changed})


def running(**changed):
    return directory(pid=7, port=5432, socket_directory="/run/postgresql", **changed)


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

    def local(*_where):
        if said["instance"] is None:
            raise StandbyError(Refusal("instance_unreachable", "It lets nobody in.", "see its log"))
        return said["instance"]

    def prove(begin, *_rest):
        said["asked"]["begin"] = begin
        return WalProof((said["wal"],), "0" * 24, 1)

    def possible(found, keywords, bindir, server, restore_command):
        said["asked"]["user"] = keywords.get("user")
        return said["no_rewind"]

    monkeypatch.setattr(_host_state, "local_instance", local)
    monkeypatch.setattr(_host_state, "signs_of_use", lambda *_where: said["use"])
    monkeypatch.setattr(_host_state, "prove", prove)
    monkeypatch.setattr(_host_state, "reasons_impossible", possible)
    monkeypatch.setattr(_host_state, "find_bindir", lambda *_where: "/bin")
    return said


@pytest.mark.parametrize("state", ["absent", "empty", "foreign"])
def test_where_nothing_is_nobody_is_asked(world, wanted, state):
    seen = observe(DataDir("/pgdata", state), upstream(), wanted())
    assert (seen.host_state.state, seen.relation, world["asked"]) == (state, None, {})


def test_a_healthy_standby(world, wanted):
    seen = observe(running(), upstream(), wanted())
    assert seen.host_state.healthy
    assert world["asked"] == {}


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
    assert world["asked"]["begin"] == (1, world["instance"].replay_lsn)


def test_a_running_standby_of_a_history_that_was_left(world, wanted):
    seen = observe(running(), upstream(**FORKED), wanted())
    assert seen.host_state.relation == "diverged"
    assert seen.host_state.no_rewind == "a server runs on the directory"


def test_a_wanted_slot_that_is_not_used(wanted):
    assert not observe(running(), upstream(), wanted(slot_name="another")).host_state.healthy


def test_a_primary_that_runs(world, wanted):
    world["instance"] = instance(in_recovery=False, receiver=None)
    assert observe(running(state="cluster"), upstream(), wanted()).host_state.primary


@pytest.mark.parametrize(("state", "primary"), [("standby", False), ("cluster", True)])
def test_a_server_that_lets_nobody_in_is_what_its_directory_says(world, wanted, state, primary):
    world["instance"] = None
    seen = observe(running(state=state), upstream(), wanted())
    assert (seen.host_state.primary, seen.host_state.healthy) == (primary, False)
    assert [verdict.error_code for verdict in seen.verdicts] == ["instance_unreachable"]


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
    (tmp_path / "pg_wal").mkdir()
    if kept:
        (tmp_path / "pg_wal" / "000000010000000000000001").touch()
    observe(directory(tmp_path, control=control), upstream(), wanted())
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


def test_without_an_upstream_nothing_is_known(wanted):
    assert observe(directory(), None, wanted()).host_state.relation == "unknown"
