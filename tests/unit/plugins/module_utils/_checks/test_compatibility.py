# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import compatibility as _compatibility
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import (
    Clock,
    Collation,
    Database,
    HostPlace,
    Sender,
    Slot,
    UpstreamFacts,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._checks.verdicts import found

N1, N2, OTHER_N2 = Sender(1, "n1", "10.0.0.1"), Sender(2, "n2", "10.0.0.2"), Sender(3, "n2")


@pytest.mark.parametrize(
    ("limit", "senders", "ours", "expected"),
    [
        pytest.param(2, (N1,), False, [], id="one is free"),
        pytest.param(2, (N1, N2), False, [("error", "walsenders_exhausted")], id="none is free"),
        pytest.param(2, (N1, N2), True, [], id="we have one"),
        pytest.param(1, (N1,), True, [("error", "walsenders_exhausted")], id="we should have one"),
        pytest.param(0, (), False, [("error", "walsenders_exhausted")], id="none at all"),
        pytest.param(None, (N1,), False, [], id="limit not told"),
        pytest.param(2, None, False, [], id="use not told"),
    ],
)
def test_walsenders(limit, senders, ours, expected):
    facts = UpstreamFacts(max_wal_senders=limit, senders=senders)
    assert found(_compatibility.walsenders("primary", facts, "n2", ours)) == expected


TAKEN = [("warning", "application_name_taken")]


@pytest.mark.parametrize(
    ("senders", "ours", "expected"),
    [
        pytest.param((N1,), False, [], id="free"),
        pytest.param((N1, N2), False, TAKEN, id="taken"),
        pytest.param((N1, N2), True, [], id="ours"),
        pytest.param((N2, OTHER_N2), True, TAKEN, id="ours and another's"),
        pytest.param(None, False, [], id="not told"),
    ],
)
def test_application_name(senders, ours, expected):
    assert found(_compatibility.application_name("primary", "n2", UpstreamFacts(senders=senders), ours)) == expected


def test_application_name_names_the_others():
    [verdict] = _compatibility.application_name("primary", "n2", UpstreamFacts(senders=(N2, OTHER_N2)), ours=False)
    assert "2 clients already receive from primary as application_name n2: 10.0.0.2 and process 3." in verdict.msg


@pytest.mark.parametrize(
    ("slot_name", "slot", "said"),
    [
        pytest.param(None, None, "not proven: a free WAL sender", id="no slot"),
        pytest.param("n2", None, "not proven: that slot n2 is there and not in use, a free", id="nothing of the slot"),
        pytest.param("n2", Slot("n2", "physical"), "not proven: that slot n2 is not in use, a free", id="it is there"),
        pytest.param("n2", Slot("n2", "absent"), "not proven: a free WAL sender", id="it is not there"),
    ],
)
def test_sql_denied_is_one_warning(slot_name, slot, said):
    reason = 'FATAL:  permission denied for database "postgres"'
    verdicts = _compatibility.sql_denied("primary", reason, slot_name, UpstreamFacts(slot=slot))
    assert found(verdicts) == [("warning", "upstream_sql_denied")]
    assert said in verdicts[0].msg
    assert reason in verdicts[0].msg


def libc(recorded="2.36", actual="2.36", owner="database a"):
    return Collation(owner, "c", "de_DE.utf8", recorded, actual)


def icu(recorded="153.120", owner="database a"):
    return Collation(owner, "i", "de", recorded, recorded)


HERE = {("c", "de_DE.utf8"): "2.36", ("i", "de"): "153.120"}
DIFFERS = ("warning", "collation_version_differs")


@pytest.mark.parametrize(
    ("used", "here", "expected"),
    [
        pytest.param(None, HERE, [], id="not told"),
        pytest.param((), HERE, [], id="none"),
        pytest.param((libc(), icu()), HERE, [], id="same"),
        pytest.param((libc("2.28", "2.28"),), HERE, [DIFFERS], id="libc"),
        pytest.param((libc("2.28", "2.36"),), HERE, [DIFFERS], id="what indexes were built with counts"),
        pytest.param((libc(None, "2.28"),), HERE, [DIFFERS], id="nothing was recorded"),
        pytest.param((libc(None, None),), HERE, [], id="neither was told"),
        pytest.param((icu("153.112"),), HERE, [DIFFERS], id="ICU"),
        pytest.param((icu("153.112"),), {("i", "de"): None}, [], id="no ICU here"),
        pytest.param((icu("153.112"),), {}, [], id="not asked here"),
        pytest.param((libc("2.28"), icu("1")), HERE, [DIFFERS] * 2, id="both"),
        pytest.param((libc("2.28"), libc("2.28", owner="database b")), HERE, [DIFFERS], id="once for two databases"),
    ],
)
def test_collations(used, here, expected):
    assert found(_compatibility.collations("primary", used, here)) == expected


def test_collations_name_what_differs():
    used = [libc("2.28", owner=f"database d{number}") for number in range(7)]
    [verdict] = _compatibility.collations("primary", used, HERE)
    assert verdict.msg.startswith(
        "database d0, database d1, database d2, database d3, database d4 and 2 more:"
        " collation libc de_DE.utf8 is of version 2.28 on primary and of 2.36 here."
    )


def test_collations_say_what_could_not_be_compared():
    [verdict] = _compatibility.collations("primary", [icu(), libc(None, None, "database b")], HERE)
    assert (verdict.severity, verdict.msg) == ("ok", "not all collation versions are told: not of database b")


DATABASES = (Database("a", "de_DE.UTF-8", "de_DE.UTF-8"), Database("b", "C", "de_DE.UTF-8"), Database("c", "C", "C"))


@pytest.mark.parametrize(
    ("databases", "missing", "expected"),
    [
        pytest.param(None, {"C"}, 0, id="not told"),
        pytest.param(DATABASES, set(), 0, id="all here"),
        pytest.param(DATABASES, {"fr_FR"}, 0, id="another is missing"),
        pytest.param(DATABASES, {"de_DE.UTF-8"}, 1, id="one for two databases"),
        pytest.param(DATABASES, {"de_DE.UTF-8", "C"}, 2, id="both"),
    ],
)
def test_locales(databases, missing, expected):
    assert found(_compatibility.locales(databases, missing)) == [("error", "locale_missing")] * expected


def test_locales_name_the_databases():
    [verdict] = _compatibility.locales(DATABASES, {"de_DE.UTF-8"})
    assert "Locale de_DE.UTF-8 of database a, b is not on this host" in verdict.msg


MISSING = "preload_library_missing"


@pytest.mark.parametrize(
    ("configured", "there", "missing", "expected"),
    [
        pytest.param((), (), (), [], id="nothing"),
        pytest.param(("a",), ("a",), (), [], id="here and there"),
        pytest.param(("a",), ("a",), ("a",), [("error", MISSING)], id="configured, not here"),
        pytest.param((), ("a",), ("a",), [("warning", MISSING)], id="only there"),
        pytest.param((), ("a",), (), [], id="only there, but installed here"),
        pytest.param(("a",), ("$libdir/a",), ("$libdir/a",), [], id="the same by another name"),
        pytest.param(("a",), None, ("a",), [("error", MISSING)], id="the upstream does not tell"),
        pytest.param((), None, (), [], id="nothing known"),
    ],
)
def test_preload(configured, there, missing, expected):
    assert found(_compatibility.preload("primary", "/usr/lib/pg", configured, there, missing)) == expected


@pytest.mark.parametrize(
    ("here", "there", "severities"),
    [
        ("x86_64", "x86_64", []),
        ("x86_64", "amd64", []),
        ("arm64", "aarch64", []),
        ("x86_64", None, []),
        ("aarch64", "x86_64", ["warning"]),
        ("i686", "x86_64", ["error"]),
        ("s390x", "x86_64", ["error"]),
    ],
)
def test_architecture(here, there, severities):
    verdicts = _compatibility.architecture("primary", here, there)
    assert found(verdicts) == [(severity, "architecture_differs") for severity in severities]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"block_size": 8192}, []),
        ({"block_size": 8192, "wal_block_size": 8192}, []),
        ({"block_size": 16384}, [("error", "block_size_differs")]),
        ({"block_size": 16384, "wal_block_size": 4096}, [("error", "block_size_differs")]),
        ({"wal_segment_size": 1 << 26}, []),
        ({}, []),
    ],
)
def test_block_sizes(there, expected):
    assert found(_compatibility.block_sizes({"block_size": 8192, "wal_block_size": 8192}, there)) == expected


def place(**changed):
    path = changed.get("path", "/srv/pg")
    return HostPlace(
        **{
            "role": "data_directory",
            "path": path,
            "existing": path,
            "user": "postgres",
            "owner": "postgres",
            "ours": True,
            "mode": 0o700,
            "writable": True,
            **changed,
        }
    )


FOREIGN = {"owner": "root", "ours": False, "mode": 0o755}
OWNER, MODE, WRITE = ("data_directory_owner", "data_directory_mode", "directory_not_writable")


@pytest.mark.parametrize(
    ("changed", "kept", "major", "expected"),
    [
        pytest.param({}, True, 15, [], id="as it should be"),
        pytest.param({"mode": 0o750}, True, 15, [], id="group may read"),
        pytest.param({"mode": 0o750}, True, 10, [MODE], id="group may read, before 11"),
        pytest.param({"mode": 0o770}, True, 15, [MODE], id="group may write"),
        pytest.param({"mode": 0o701}, True, 15, [MODE], id="others may enter"),
        pytest.param({"mode": 0o755}, False, 15, [], id="a copy sets the mode"),
        pytest.param({"mode": 0o500, "writable": False}, False, 15, [], id="a copy can make it writable"),
        pytest.param({"mode": 0o500, "writable": False}, True, 15, [WRITE], id="nobody makes it writable"),
        pytest.param({"mode": 0o500, "writable": False, "read_only": True}, False, 15, [WRITE], id="read-only"),
        pytest.param({"writable": False}, False, 15, [WRITE], id="immutable"),
        pytest.param(FOREIGN, False, 15, [OWNER], id="another's"),
        pytest.param({**FOREIGN, "writable": False}, False, 15, [OWNER], id="another's is told once"),
        pytest.param({**FOREIGN, "existing": "/srv"}, False, 15, [], id="not there, can be made"),
        pytest.param({**FOREIGN, "existing": "/srv", "writable": False}, False, 15, [WRITE], id="cannot be made"),
        pytest.param({**FOREIGN, "role": "waldir"}, False, 15, [], id="another's that we may write"),
        pytest.param({**FOREIGN, "role": "waldir", "writable": False}, False, 15, [WRITE], id="that we may not"),
        pytest.param({"role": "tablespace 1", "mode": 0o777}, True, 15, [], id="a tablespace's mode is free"),
    ],
)
def test_ownership(changed, kept, major, expected):
    verdicts = _compatibility.ownership([place(), place(**changed)], kept, major)
    assert found(verdicts) == [("error", code) for code in expected]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (FOREIGN, "/srv/pg belongs to root, not to postgres: "),
        ({**FOREIGN, "existing": "/srv", "writable": False}, "data_directory /srv/pg cannot be made by postgres in"),
        ({"writable": False, "read_only": True}, "cannot be written by postgres (the file system is read-only)."),
        ({**FOREIGN, "role": "waldir", "writable": False}, "written by postgres (owner root, mode 0755)."),
    ],
)
def test_ownership_names_the_reason(changed, said):
    [verdict] = _compatibility.ownership([place(**changed)], kept=False, major=15)
    assert said in verdict.msg


@pytest.mark.parametrize(
    ("enforcing", "restore_command", "told"),
    [(True, "fetch %f %p", True), (True, None, False), (False, "fetch %f %p", False)],
)
def test_what_a_confined_server_may_do_is_not_known(enforcing, restore_command, told):
    unseen = _compatibility.confined(enforcing, restore_command)
    assert ["restore_command" in one and "ausearch -m avc" in one for one in unseen] == [True] * told


@pytest.mark.parametrize(
    ("enforcing", "kinds", "expected"),
    [
        (True, ["postgresql_db_t", None], []),
        (True, ["postgresql_db_t", "default_t"], [("warning", "selinux_context")]),
        (True, ["var_t", "default_t"], [("warning", "selinux_context")]),
        (False, ["default_t"], []),
    ],
)
def test_selinux(enforcing, kinds, expected):
    assert found(_compatibility.selinux(enforcing, [place(selinux_type=kind) for kind in kinds])) == expected


@pytest.mark.parametrize(
    ("needed", "free", "expected"),
    [
        pytest.param({"/a": 10}, {"/a": 10}, 0, id="exactly"),
        pytest.param({"/a": 11}, {"/a": 10}, 1, id="one short"),
        pytest.param({"/a": 11, "/b": 1}, {"/a": 10, "/b": 0}, 2, id="on both"),
        pytest.param({"/a": 1 << 40}, {"/a": None}, 0, id="no limit"),
        pytest.param({}, {"/a": 0}, 0, id="nothing is needed"),
    ],
)
def test_inodes(needed, free, expected):
    assert found(_compatibility.inodes(needed, free)) == [("error", "inodes_missing")] * expected


@pytest.mark.parametrize(
    ("others", "said"),
    [
        pytest.param({"primary": Clock(0.01, 0.001)}, [], id="same"),
        pytest.param({"primary": Clock(5.0, 0.0)}, [], id="at the limit"),
        pytest.param({"primary": Clock(6.0, 0.01)}, ["primary is 6 s ahead of"], id="ahead"),
        pytest.param({"primary": Clock(-3600.0, 0.01)}, ["primary is 3600 s behind"], id="behind"),
        pytest.param({"primary": Clock(6.0, 4.0)}, [], id="not proven over a slow way"),
        pytest.param({"primary": None}, [], id="not told"),
        pytest.param(
            {"primary": Clock(9, 0), "barman": Clock(-9, 0)},
            ["primary is 9 s ahead of", "barman is 9 s behind"],
            id="both",
        ),
    ],
)
def test_clocks(others, said):
    verdicts = _compatibility.clocks(others)
    assert found(verdicts) == [("warning", "clock_skew")] * len(said)
    assert all(words in verdict.msg for words, verdict in zip(said, verdicts, strict=False))
