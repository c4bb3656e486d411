# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import host_state as _host_state
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.examination import run
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._preflight.examining import Answers
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.fake_postgres import POSTGRES


@pytest.fixture
def answers(monkeypatch):
    """What other servers answer."""
    given = Answers()
    monkeypatch.setattr(_host_state, "prove", given.of_cluster)
    monkeypatch.setattr(_host_state, "reasons_impossible", lambda *asked, **more: given.no_rewind)
    return given


@pytest.fixture
def request_of(host):
    """A request for the host of the test, for a job or for ``without_job``."""
    host.program("postgres", POSTGRES)

    def make(job=None, without_job=False, **changed):
        job = None if without_job else job or host.job()
        return Request(
            **{
                "job": job,
                "data_directory": str(host.pgdata),
                "state_directory": str(host.state),
                "overwrite": "never" if job is None else job.overwrite,
                "keywords": {"host": "primary", "application_name": "n1"},
                "restore_command": "barman-wal-restore barman pg %f %p",
                "bindir": str(host.programs),
                **changed,
            }
        )

    return make


@pytest.fixture
def examine(request_of, answers):
    """The whole preflight."""

    def ask(job=None, **changed):
        return run(request_of(job, **changed), answers.questions())

    return ask
