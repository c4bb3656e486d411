# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked and what becomes of the answers; a described server answers. Real ones do in the lab."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace

import psycopg2
import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import upstream_facts as _upstream_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import (
    Collation,
    Database,
    Sender,
    Slot,
    UpstreamFacts,
)

KEYWORDS = {"host": "primary", "user": "replicator", "application_name": "n2"}
VERSION = "PostgreSQL 15.18 on x86_64-pc-linux-gnu, compiled by gcc, 64-bit"
SETTINGS = {
    "max_replication_slots": "20",
    "max_wal_senders": "10",
    "max_slot_wal_keep_size": "-1",
    "block_size": "8192",
    "segment_size": "131072",
    "wal_block_size": "8192",
}


class Unsupported(psycopg2.Error):
    pgcode = "0A000"


class Cursor:
    def __init__(self, server):
        self.server = server
        self.answer = []

    def __enter__(self):
        return self

    def __exit__(self, *_why):
        pass

    def execute(self, question, values=None):
        question = " ".join(question.split())
        self.server.questions.append((question, values))
        for beginning, answer in self.server.answers.items():
            if beginning in question:
                if isinstance(answer, Exception):
                    raise answer
                self.answer = answer(values) if callable(answer) else answer
                return
        raise psycopg2.ProgrammingError(f"nobody described {question}")

    def fetchall(self):
        return self.answer

    def fetchone(self):
        return self.answer[0] if self.answer else None


class Server:
    """An upstream. ``answers`` are by what a question contains; a question without one is refused."""

    def __init__(self, monkeypatch, version=150018):
        self.server_version = version
        self.info = SimpleNamespace(dbname="postgres")
        self.refused = {}
        self.logins = []
        self.questions = []
        self.closed = 0
        self.line = socket.socketpair()
        self.settings = dict(SETTINGS)
        self.answers = {
            "SET search_path": [],
            "clock_timestamp())::float8": lambda _values: [(time.time() + 100,)],
            "FROM pg_settings": lambda _values: list(self.settings.items()),
            "count(*) FROM pg_replication_slots": [(4,)],
            "FROM pg_replication_slots s": [],
            "FROM pg_database": [],
            "FROM pg_index": [],
            "ILIKE": [],
            "version()": [(VERSION,)],
            "FROM pg_stat_replication": [],
        }
        monkeypatch.setattr(_upstream_facts.psycopg2, "connect", self.connect)

    def connect(self, dsn, connect_timeout, **_factory):
        keywords = psycopg2.extensions.parse_dsn(dsn)
        self.logins.append(keywords.get("dbname"))
        failed = self.refused.get(keywords.get("dbname"))
        if failed:
            raise psycopg2.OperationalError(failed)
        return self

    def set_session(self, **how):
        assert how == {"isolation_level": "READ COMMITTED", "readonly": True, "autocommit": True}

    def cursor(self):
        return Cursor(self)

    def fileno(self):
        return self.line[0].fileno()

    def close(self):
        self.closed += 1

    def asked(self, part):
        [question] = [question for question, _values in self.questions if part in question]
        return question


@pytest.fixture
def server(monkeypatch):
    return Server(monkeypatch)


def ask(slot_name=None):
    return _upstream_facts.read_facts(KEYWORDS, slot_name, "n2")


class TestLogin:
    def test_is_to_postgres_and_is_closed(self, server):
        assert isinstance(ask(), UpstreamFacts)
        assert (server.logins, server.closed) == (["postgres"], 1)

    def test_makes_names_safe_before_anything_is_asked(self, server):
        ask()
        assert server.questions[0][0] == "SET search_path = pg_catalog; SET statement_timeout = '2s'"

    def test_is_to_template1_where_postgres_is_closed(self, server):
        server.refused = {"postgres": 'FATAL:  database "postgres" does not exist'}
        assert isinstance(ask(), UpstreamFacts)
        assert server.logins == ["postgres", "template1"]

    def test_that_is_denied_gives_the_first_reason(self, server):
        server.refused = {
            "postgres": 'FATAL:  permission denied for database "postgres"\nDETAIL:  User does not have CONNECT.',
            "template1": "FATAL:  something else",
        }
        assert ask() == 'FATAL:  permission denied for database "postgres"'

    def test_that_takes_long_is_not_tried_again(self, server, monkeypatch):
        server.refused = {"postgres": "timeout expired"}
        ticks = iter([0.0, 4.0])
        monkeypatch.setattr(_upstream_facts.time, "monotonic", lambda: next(ticks))
        assert ask() == "timeout expired"
        assert server.logins == ["postgres"]

    def test_that_is_told_nothing(self, server):
        server.refused = {"postgres": "\n", "template1": "\n"}
        assert ask() == "the server said nothing"

    def test_needs_psycopg2(self, monkeypatch):
        monkeypatch.setattr("ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq.psycopg2", None)
        with pytest.raises(StandbyError) as refused:
            ask()
        assert refused.value.code == "psycopg2_missing"


class TestFacts:
    def test_of_limits(self, server):
        facts = ask()
        assert (facts.max_replication_slots, facts.slots_in_use, facts.max_wal_senders) == (20, 4, 10)
        assert facts.max_slot_wal_keep_size == -1
        assert facts.block_sizes == {"block_size": 8192, "segment_size": 131072, "wal_block_size": 8192}
        assert facts.machine == "x86_64"
        assert facts.preload is None

    def test_of_wal_kept_are_in_bytes(self, server):
        server.settings["max_slot_wal_keep_size"] = "64"
        assert ask().max_slot_wal_keep_size == 64 << 20

    def test_of_wal_kept_are_missing_before_13(self, server):
        del server.settings["max_slot_wal_keep_size"]
        assert ask().max_slot_wal_keep_size is None

    @pytest.mark.parametrize(("setting", "names"), [("", ()), ("a, b", ("a", "b"))])
    def test_of_libraries_where_the_role_may_see_them(self, server, setting, names):
        server.settings["shared_preload_libraries"] = setting
        assert ask().preload == names

    def test_of_the_clock(self, server):
        clock = ask().clock
        assert clock.offset == pytest.approx(100, abs=1)
        assert 0 <= clock.round_trip < 1

    def test_that_are_refused_are_missing_and_nothing_else(self, server):
        for part in server.answers:
            if part != "SET search_path":
                server.answers[part] = psycopg2.errors.InsufficientPrivilege("permission denied")
        assert ask("n2") == UpstreamFacts(database="postgres")


class TestSlot:
    def test_that_is_absent(self, server):
        assert ask("n2").slot == Slot("n2", "absent")

    def test_that_is_there(self, server):
        server.answers["FROM pg_replication_slots s"] = [("physical", True, 71, "n9", "10.0.0.9", "reserved", None)]
        assert ask("n2").slot == Slot("n2", "physical", True, 71, "n9", "10.0.0.9", "reserved", None)
        assert dict(server.questions)[server.asked("FROM pg_replication_slots s")] == ["n2"]

    def test_that_nobody_wants(self, server):
        assert ask().slot is None

    @pytest.mark.parametrize(
        ("version", "columns"),
        [(120000, "NULL, NULL"), (130000, "s.wal_status, NULL"), (170000, "s.wal_status, s.invalidation_reason")],
    )
    def test_is_asked_for_what_the_version_has(self, monkeypatch, version, columns):
        server = Server(monkeypatch, version)
        ask("n2")
        assert f"host(r.client_addr), {columns} FROM" in server.asked("FROM pg_replication_slots s")


class TestSenders:
    def test_are_told_by_name_and_place(self, server):
        server.answers["FROM pg_stat_replication"] = [(1, "n1", "10.0.0.1", False), (2, "n2", None, False)]
        assert ask().senders == (Sender(1, "n1", "10.0.0.1"), Sender(2, "n2", None))

    @pytest.mark.parametrize("stays", [False, True])
    def test_a_login_of_ours_has_time_to_go(self, server, stays):
        looks = []

        def answer(_values):
            looks.append(1)
            return [(2, "n2", "10.0.0.2", True)] if stays or len(looks) == 1 else []

        server.answers["FROM pg_stat_replication"] = answer
        assert len(ask().senders) == stays
        assert len(looks) > 1

    def test_nobody_waits_for_one_that_streams(self, server):
        server.answers["FROM pg_stat_replication"] = [(2, "n2", "10.0.0.2", False), (3, "n3", None, True)]
        ask()
        assert server.asked("FROM pg_stat_replication")


class TestCollations:
    def test_of_databases(self, server):
        server.answers["FROM pg_database"] = [
            ("bytes", "c", None, "C.UTF-8", "C.UTF-8", None, None),
            ("german", "c", None, "de_DE.utf8", "de_DE.utf8", "2.31", "2.36"),
            ("icu", "i", "sv", "C", "de_DE.utf8", "153.112", "153.120"),
            ("own", "b", "C.UTF-8", "C", "C", "1", "1"),
        ]
        facts = ask()
        assert facts.databases == (
            Database("bytes", "C.UTF-8", "C.UTF-8"),
            Database("german", "de_DE.utf8", "de_DE.utf8"),
            Database("icu", "C", "de_DE.utf8"),
            Database("own", "C", "C"),
        )
        assert facts.collations == (
            Collation("database german", "c", "de_DE.utf8", "2.31", "2.36"),
            Collation("database icu", "i", "sv", "153.112", "153.120"),
        )

    def test_of_databases_before_15_have_the_version_of_libc(self, monkeypatch):
        server = Server(monkeypatch, 140000)
        server.answers["FROM pg_database"] = [("german", "c", None, "de_DE.utf8", "de_DE.utf8", None, None)]
        server.answers["ILIKE"] = [("2.31",)]
        facts = ask()
        assert facts.collations == (Collation("database german", "c", "de_DE.utf8", None, "2.31"),)

    def test_of_indexes(self, server):
        server.answers["FROM pg_index"] = [("collation german of database postgres", "i", "de", "1", "1")]
        assert ask().collations == (Collation("collation german of database postgres", "i", "de", "1", "1"),)

    @pytest.mark.parametrize(
        ("version", "of_database", "of_index"),
        [
            (140000, "'c', NULL", "collprovider::text, collcollate,"),
            (150000, "daticulocale", "coalesce(colliculocale, collcollate)"),
            (170000, "datlocale", "coalesce(colllocale, collcollate)"),
        ],
    )
    def test_are_where_the_version_has_them(self, monkeypatch, version, of_database, of_index):
        server = Server(monkeypatch, version)
        ask()
        assert of_database in server.asked("FROM pg_database")
        assert of_index in server.asked("FROM pg_index")


class TestByReplication:
    @pytest.fixture
    def limits(self, server):
        server.answers = {"SHOW max_replication_slots": [("20",)], "SHOW max_wal_senders": [("10",)]}
        return server

    @pytest.mark.parametrize(
        ("answer", "slot"),
        [
            pytest.param([("physical", "0/3000000", 1)], Slot("n2", "physical"), id="there"),
            pytest.param([(None, None, None)], Slot("n2", "absent"), id="not there"),
            pytest.param(Unsupported(), Slot("n2", "logical"), id="logical"),
            pytest.param(psycopg2.errors.InsufficientPrivilege("no"), None, id="not told"),
        ],
    )
    def test_slots(self, limits, answer, slot):
        limits.answers['READ_REPLICATION_SLOT "n2"'] = answer
        assert _upstream_facts.slot_by_replication(KEYWORDS, "n2") == UpstreamFacts(
            max_replication_slots=20, max_wal_senders=10, slot=slot
        )
        assert limits.closed == 1

    def test_before_15_a_slot_is_not_asked_for(self, limits):
        limits.server_version = 140023
        limits.answers["READ_REPLICATION_SLOT"] = Unsupported()  # as of SQL
        assert _upstream_facts.slot_by_replication(KEYWORDS, "n2").slot is None

    def test_no_slot_is_asked_for(self, limits):
        assert _upstream_facts.slot_by_replication(KEYWORDS, None).slot is None
        assert len(limits.questions) == 2

    def test_a_name_stays_a_name(self, limits):
        _upstream_facts.slot_by_replication(KEYWORDS, 'n2" x')
        assert limits.questions[-1][0] == 'READ_REPLICATION_SLOT "n2"" x"'

    def test_nothing_is_known_when_that_is_refused_too(self, server):
        server.refused = {None: "FATAL: no"}
        assert _upstream_facts.slot_by_replication(KEYWORDS, "n2") == UpstreamFacts()
