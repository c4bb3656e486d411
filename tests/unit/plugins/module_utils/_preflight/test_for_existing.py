# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only matters if the cluster that is there goes on."""

from __future__ import annotations

import time

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.consent import _LEVELS
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.local_server import Answer
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import host_state as _host_state
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._preflight.examining import (
    LEFT,
    NO_WAL,
    codes,
    of_check,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import instance, receiver, upstream


@pytest.fixture(autouse=True)
def _finished(host):
    """A copy of ours, stopped, and on the upstream's timeline behind the upstream."""
    host.copy()


class TestCopyOfOurs:
    def test_only_has_to_be_started(self, examine, answers):
        examined = examine()
        assert (codes(examined), examined.plan["action"]) == ([], "start")
        assert examined.plan["wal_to_replay"] == 20 << 20
        assert answers.asked["begin_of_cluster"] == (1, 0x3000028)  # what its label says: it has not been started yet

    def test_needs_no_backup_and_no_barman_for_that(self, examine):
        examined = examine(without_job=True, no_backup=Refusal("ssh_refused", "Barman is down.", "start it"))
        assert (codes(examined), examined.plan["action"]) == ([], "start")

    def test_is_asked_nothing_of_a_copy(self, examine):
        checks = {verdict.check for verdict in examine().verdicts}
        assert not checks & {"backup", "rsync", "space"}

    def test_is_refused_if_the_wal_that_it_needs_is_gone(self, examine, answers):
        answers.wal_of_cluster = NO_WAL
        assert codes(examine()) == ["wal_missing"]

    def test_is_brought_to_the_backup_with_consent(self, host, examine, answers):
        answers.wal_of_cluster = NO_WAL
        examined = examine(host.job(overwrite="same_cluster", backup=host.second_backup()))
        assert (codes(examined), examined.plan["action"]) == ([], "delta")

    def test_has_its_settings_raised_if_the_upstreams_are_higher(self, examine, answers):
        answers.upstream = upstream(settings={"max_connections": 500})
        assert examine().plan["settings"] == {"max_connections": "500"}

    def test_keeps_its_directory_as_it_is(self, host, examine):
        host.pgdata.chmod(0o777)
        assert codes(examine()) == ["data_directory_mode"]

    def test_needs_the_programs(self, examine):
        examined = examine(bindir="/nowhere")
        assert (examined.plan["action"], codes(examined)) == ("refuse", ["postgresql_not_installed"])


def test_a_cluster_that_has_diverged_is_rewound_if_that_is_possible(host, examine, answers):
    answers.upstream, answers.no_rewind = upstream(**LEFT), []
    write_tree(host.pgdata, {"postgresql.conf": "max_connections = 20\n"})
    examined = examine(host.job(overwrite="same_cluster"))
    assert (examined.plan["action"], codes(examined)) == ("rewind", [])
    assert examined.plan["settings"] == {"max_connections": "100"}


@pytest.fixture
def server(host):
    """A process that works in the directory, with the postmaster.pid that a test wants."""
    process = host.start("postgres", host.pgdata)

    def says(status, pid=None, socket="/nowhere"):
        lines = [pid or process.pid, host.pgdata, int(time.time()), 5432, socket, "localhost", "1 2", status]
        write_tree(host.pgdata, {"postmaster.pid": "".join(f"{line}\n" for line in lines)})

    yield says
    process.communicate()


@pytest.mark.parametrize(
    ("told", "code"),
    [
        pytest.param({"status": "starting"}, "server_starting", id="it starts or replays"),
        pytest.param({"status": "stopping"}, "server_stopping", id="it stops"),
        pytest.param({"status": "standby "}, "hot_standby_off", id="hot_standby is off"),
        pytest.param({"status": "ready   "}, "instance_unreachable", id="it lets nobody in"),
        pytest.param({"status": "ready   ", "pid": 1}, "server_hidden", id="it runs in a container"),
    ],
)
@pytest.mark.parametrize("worst", [{}, {"wal_of_cluster": NO_WAL, "upstream": upstream(**LEFT)}], ids=["", "and worse"])
def test_a_running_server_that_cannot_be_asked_is_left_alone(host, server, examine, answers, told, code, worst):
    server(**told)
    for name, answer in worst.items():
        setattr(answers, name, answer)
    for overwrite in _LEVELS:
        examined = examine(host.job(overwrite=overwrite))
        assert code in codes(examined)
        plan = examined.plan
        assert (plan["action"], plan["copies"], plan["stop"]) == ("refuse", False, False)
        [said] = [verdict.msg for verdict in of_check(examined, "data_directory")]
        assert "Nothing was changed." in said
        assert "overwrite=" not in said


@pytest.fixture
def streaming(server, monkeypatch):
    """It streams from the wanted upstream, as it says itself."""
    server("ready")
    answer = Answer(instance(receiver=receiver(slot_name=None)))
    monkeypatch.setattr(_host_state, "ask_server", lambda *_login: answer)


@pytest.mark.parametrize(("code", "severity"), [("walsenders_exhausted", "warning"), ("upstream_unreachable", "error")])
def test_a_standby_that_streams_needs_no_spare_sender_and_a_login_that_works(
    streaming, examine, answers, code, severity
):
    """With a login that the upstream refuses it is not given settings with which it would not stream again."""
    answers.upstream = StandbyError(Refusal(code, "Not now.", "see the upstream"))
    examined = examine()
    assert codes(examined) == ([] if severity == "warning" else [code])
    [verdict] = of_check(examined, "upstream")
    assert (verdict.severity, verdict.error_code) == (severity, code)


@pytest.mark.parametrize("overwrite", _LEVELS)
def test_a_copy_of_ours_whose_upstream_cannot_be_asked_is_left_alone(host, examine, answers, overwrite):
    answers.upstream = StandbyError(Refusal("upstream_unreachable", "It is down.", "start it"))
    examined = examine(host.job(overwrite=overwrite))
    assert codes(examined) == ["upstream_unreachable"]
    assert (examined.plan["action"], examined.plan["stop"]) == ("refuse", False)
    assert "overwrite=" not in examined.plan["reason"]
