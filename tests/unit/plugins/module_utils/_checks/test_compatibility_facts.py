# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen of host and upstream reaches the check that judges it; the checks have tests of their own."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import compatibility_facts as _compatibility_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.compatibility_facts import (
    Standby,
    suits_host,
    suits_upstream,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import (
    Clock,
    Database,
    Sender,
    Slot,
    UpstreamFacts,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._checks.verdicts import found
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import upstream

FACTS = UpstreamFacts(
    database="postgres",
    max_wal_senders=10,
    senders=(),
    max_replication_slots=10,
    slots_in_use=0,
    slot=Slot("n1", "physical", active=False, wal_status="reserved"),
    databases=(),
    collations=(),
    clock=Clock(0.0, 0.0),
    preload=(),
    block_sizes={"block_size": 8192},
    machine=os.uname().machine,
)


@pytest.fixture
def standby(host):
    host.program("postgres", "#!/bin/sh\necho 8192\n")
    return Standby("n1", "n1", str(host.programs), 15, {"data_directory": str(host.pgdata)})


@pytest.fixture
def judge(standby, monkeypatch):
    def ask(facts=FACTS, **changed):
        monkeypatch.setattr(_compatibility_facts, "read_facts", lambda keywords, slot, name: facts)
        monkeypatch.setattr(_compatibility_facts, "slot_by_replication", lambda keywords, slot: UpstreamFacts())
        verdicts, known = suits_upstream(replace(standby, **changed), upstream(), {}, None)
        return found(verdicts), known

    return ask


def test_what_suits(judge):
    assert judge() == ([], FACTS)


@pytest.mark.parametrize(
    ("facts", "changed", "expected"),
    [
        pytest.param({"slot": Slot("n1", "absent")}, {}, ("error", "slot_absent"), id="the slot"),
        pytest.param({"max_slot_wal_keep_size": 1}, {"backlog": 2}, ("warning", "slot_wal_limit"), id="the slot's WAL"),
        pytest.param({"max_wal_senders": 1}, {"walsenders": 2}, ("error", "walsenders_exhausted"), id="WAL senders"),
        pytest.param({"senders": (Sender(1, "n1"),)}, {}, ("warning", "application_name_taken"), id="the name"),
        pytest.param({"databases": (Database("d", "xx_XX", "C"),)}, {}, ("error", "locale_missing"), id="locales"),
        pytest.param({"machine": "sparc64"}, {}, ("error", "architecture_differs"), id="the machine"),
        pytest.param({"block_sizes": {"block_size": 4096}}, {}, ("error", "block_size_differs"), id="block sizes"),
        pytest.param(
            {"block_sizes": None}, {"block_size": 4096}, ("error", "block_size_differs"), id="block size of the files"
        ),
        pytest.param({"clock": Clock(60.0, 0.1)}, {}, ("warning", "clock_skew"), id="the clock"),
    ],
)
def test_what_does_not_suit(judge, facts, changed, expected):
    assert judge(replace(FACTS, **facts), **changed)[0] == [expected]


def test_this_standby_may_use_its_own_slot_and_name(judge):
    used = Slot("n1", "physical", active=True, pid=1, application_name="n1", wal_status="reserved")
    facts = replace(FACTS, slot=used, senders=(Sender(1, "n1"),))
    assert judge(facts, runs=True)[0] == []
    assert judge(facts)[0] == [("error", "slot_active"), ("warning", "application_name_taken")]


def test_a_role_that_is_not_let_in_is_asked_by_the_replication_protocol(judge):
    assert judge("no pg_hba.conf entry") == ([("warning", "upstream_sql_denied")], UpstreamFacts())


class TestHost:
    def test_files_that_have_no_inodes(self, host, standby, monkeypatch):
        monkeypatch.setattr(_compatibility_facts._host_facts, "free_inodes", lambda path: 3)
        assert found(suits_host(standby, {str(host.root): 4})) == [("error", "inodes_missing")]
        assert found(suits_host(standby, {str(host.root): 3})) == []

    @pytest.mark.parametrize(
        ("created", "read_only", "expected"),
        [(False, False, ["directory_not_writable"]), (True, False, []), (True, True, ["directory_not_writable"])],
        ids=["not ours", "will be made for us", "read-only"],
    )
    def test_a_place_that_cannot_be_written(self, standby, monkeypatch, created, read_only, expected):
        [place] = _compatibility_facts._host_facts.places(standby.places)
        there = replace(place, writable=False, read_only=read_only)
        monkeypatch.setattr(_compatibility_facts._host_facts, "places", lambda wanted: (there,))
        assert [code for _severity, code in found(suits_host(replace(standby, created=created), {}))] == expected
