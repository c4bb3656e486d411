# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of an instance that is not there or cannot be asked; one that answers is tested with real servers."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.postmaster import Work
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import standby_status as _standby_status
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.local_server import Answer, Unasked
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.standby_status import standby_status
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    CONTROL_TEXT,
    instance,
    receiver,
)

STANDBY = {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT, "standby.signal": ""}


@pytest.fixture
def ask(host):
    def run(**changed):
        names = (
            "upstream_conninfo",
            "replication_user",
            "min_replay_lsn",
            "state_directory",
            "slot_name",
            "max_lag_bytes",
            "login_user",
        )
        params = {"data_directory": str(host.pgdata), "pg_bindir": str(host.programs), "login_db": "postgres"}
        return standby_status({**dict.fromkeys(names), **params, **changed})

    return run


@pytest.mark.parametrize(("files", "state"), [({}, "absent"), ({"file": ""}, "foreign"), (STANDBY, "standby")])
def test_that_nothing_runs(host, ask, files, state):
    write_tree(host.pgdata, files)
    said = ask()
    assert said.pop("pgdata")["state"] == state
    assert f"not ready: no server runs on {host.pgdata}, which is {state}. Next: " in said.pop("msg")
    assert said == {
        "error_code": "standby_not_ready",
        "ready": False,
        "state": "not_ready",
        "reasons": [f"no server runs on {host.pgdata}, which is {state}"],
        "catching_up": False,
        "running": False,
        "unasked": None,
        "instance": None,
        "upstream": None,
        "lag_bytes": None,
        "warnings_to_show": [],
    }


def test_that_the_upstream_does_not_answer_either(ask):
    reasons = ask(upstream_conninfo={"host": "/nowhere"})["reasons"]
    assert [reason.split()[0] for reason in reasons] == ["Cannot", "no"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"min_replay_lsn": "yesterday"}, "lsn_invalid"),
        ({"upstream_conninfo": "password=x"}, "conninfo_password"),
        ({"upstream_conninfo": {"hostname": "x"}}, "conninfo_invalid"),
        ({"pg_bindir": "/nowhere"}, "postgresql_not_installed"),
    ],
)
def test_that_the_options_are_wrong(host, ask, options, code):
    write_tree(host.pgdata, STANDBY)
    with pytest.raises(StandbyError) as refused:
        ask(**options)
    assert refused.value.code == code


class Seen:
    """A standby that runs, and the upstream, as a test wants them to answer."""

    def __init__(self):
        self.answer = Answer(instance(receiver=receiver(slot_name=None)))
        self.upstream = StandbyError(
            Refusal("walsenders_exhausted", "No WAL sender to spare.", "raise max_wal_senders")
        )
        self.found = DataDir("/pgdata", "standby", pid=7)

    def identify(self, _keywords):
        if isinstance(self.upstream, StandbyError):
            raise self.upstream
        return self.upstream


@pytest.fixture
def seen(monkeypatch):
    given = Seen()
    monkeypatch.setattr(_standby_status, "inspect", lambda *_where: given.found)
    monkeypatch.setattr(_standby_status, "ask_server", lambda *_login: given.answer)
    monkeypatch.setattr(_standby_status, "identify", given.identify)
    return given


FROM = {"upstream_conninfo": {"host": "primary"}}


@pytest.mark.parametrize("code", ["upstream_unreachable", "upstream_refuses"])
def test_that_it_streams_and_the_upstream_refuses_what_it_is_to_be_given(seen, ask, code):
    """With a user that is not known there, or a wrong password, it would not stream again."""
    seen.upstream = StandbyError(Refusal(code, "Not so.", "see the upstream"))
    said = ask(**FROM)
    assert (said["ready"], said["reasons"][0].startswith("Not so.")) == (False, True)


def test_that_it_streams_although_the_upstream_has_nothing_spare_for_a_question(seen, ask):
    """By its own WAL receiver, which has logged in there."""
    seen.upstream = StandbyError(Refusal("walsenders_exhausted", "Not now.", "see the upstream"))
    said = ask(**FROM)
    assert (said["ready"], said["state"], said["upstream"], said["lag_bytes"]) == (True, "streaming", None, None)
    assert "Not now." in said["warnings_to_show"][0]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"receiver": None}, id="it does not stream"),
        pytest.param({"receiver": receiver(status="waiting")}, id="it waits"),
        pytest.param({"receiver": receiver(sender_host="other")}, id="it streams from another"),
        pytest.param({"in_recovery": False, "receiver": None}, id="it is a primary"),
    ],
)
def test_that_the_upstream_cannot_be_asked_and_it_does_not_stream(seen, ask, changed):
    seen.answer = Answer(instance(**changed))
    said = ask(**FROM)
    assert not said["ready"]
    assert said["reasons"][0].startswith("No WAL sender to spare.")
    assert said["warnings_to_show"] == []


def test_that_it_has_not_replayed_what_it_has_received(seen, ask):
    seen.answer = Answer(instance(receiver=receiver(), receive_lsn=0x6000000, replay_lsn=0x5000000))
    said = ask(**FROM, wait="replay")
    assert (said["ready"], said["catching_up"]) == (False, True)


@pytest.mark.parametrize(("kind", "passes"), [("starting", True), ("stopping", True), ("refused", False)])
def test_that_it_cannot_be_asked(seen, ask, kind, passes):
    work = Work("recovering 000000010000000000000005")
    seen.answer = Answer(unasked=Unasked(kind, Refusal("some_code", "It is left alone.", "wait"), work))
    said = ask()
    assert (said["ready"], said["running"], said["reasons"]) == (False, True, ["It is left alone. Next: wait."])
    assert said["unasked"] == {
        "kind": kind,
        "error_code": "some_code",
        "passes": passes,
        "startup": work.startup,
        "receiver": None,
    }


def test_that_a_server_may_run(seen, ask):
    seen.found, seen.answer = DataDir("/pgdata", "standby", doubt="a file says so"), Answer()
    said = ask()
    assert (said["ready"], said["running"]) == (False, False)
    assert "is not certain: a file says so" in said["reasons"][0]
