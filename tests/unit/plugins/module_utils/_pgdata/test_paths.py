# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import posixpath

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _verdict
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.paths import overlaps, paths, written_once
from hypothesis import given
from hypothesis import strategies as st

HOMES = ["/root", "/home/ann", "/srv/app/", "/var/lib/postgresql"]
PATHS = st.lists(st.sampled_from(["a", "a-b", "a!", "b", "."]), min_size=1, max_size=3).map(lambda p: "/" + "/".join(p))


@pytest.mark.parametrize(
    "path",
    [
        "/var/lib/postgresql/15/main",
        "/var/lib/pgsql/15/data",
        "/srv/pgdata",
        "/srv/pgdata/",
        "/data",
        "/home/ann/pgdata",
        "/tmp/pgdata",
        "/mnt/disk1/pgdata",
        "/usr2/pgdata",
        "/etcetera",
        "/srv/..pgdata",
        "/srv/two words/-rf",
    ],
)
def test_a_directory_of_its_own_may_be_used(path):
    assert [verdict.severity for verdict in paths(path, {}, HOMES)] == ["ok"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "not absolute"),
        ("pgdata", "not absolute"),
        ("./pgdata", "not absolute"),
        ("~/pgdata", "not absolute"),
        ("host:/pgdata", "not absolute"),
        ("/srv/pg\ndata", "line break"),
        ("/srv/pg\rdata", "line break"),
        ("/srv/pg\0data", "line break"),
        ("/srv/../etc", "`..`"),
        ("/srv/pgdata/..", "`..`"),
        ("/", "the system"),
        ("//", "the system"),
        ("///", "the system"),
        ("/.", "the system"),
        ("/etc", "the system"),
        ("//etc", "the system"),
        ("/etc/", "the system"),
        ("/./etc/.", "the system"),
        ("/etc/postgresql", "the system"),
        ("/usr/lib/pgdata", "the system"),
        ("/dev/shm/pgdata", "the system"),
        ("/proc/1", "the system"),
        ("/run/pgdata", "the system"),
        ("/var", "the system"),
        ("/var//lib", "the system"),
        ("/var/lib/postgresql", "the system"),
        ("/var/lib/pgsql/", "the system"),
        ("/home", "the system"),
        ("/srv", "the system"),
        ("/mnt", "the system"),
        ("/tmp", "the system"),
        ("/home/ann", "home directory"),
        ("/home//ann/", "home directory"),
        ("/srv/app", "home directory"),
    ],
)
def test_a_hostile_path_may_not(path, why):
    [verdict] = paths("/srv/pgdata", {"waldir": path}, HOMES)
    assert (verdict.severity, verdict.error_code) == ("error", "path_dangerous")
    assert verdict.msg.startswith(f"waldir={path!r} cannot be used: ")
    assert why in verdict.msg


@pytest.mark.parametrize(
    ("paths", "clash"),
    [
        ([], None),
        (["/a"], None),
        (["/a", "/b"], None),
        (["/srv/pg", "/srv/pg2"], None),
        (["/srv/pg", "/srv/pg-fast"], None),
        (["/a", "/a"], ("/a", "/a")),
        (["/a", "/a/"], ("/a", "/a")),
        (["/a/b", "/a"], ("/a", "/a/b")),
        (["/a/./b", "/a"], ("/a", "/a/b")),
        (["/", "/a"], ("/", "/a")),
        (["/srv/pg", "/srv/pg-fast", "/srv/pg/slow"], ("/srv/pg", "/srv/pg/slow")),
    ],
)
def test_overlaps(paths, clash):
    assert overlaps(paths) == clash


@given(st.lists(PATHS, max_size=6))
def test_overlaps_is_what_comparing_all_pairs_tells(paths):
    def contains(one, other):
        one, other = posixpath.normpath(one), posixpath.normpath(other)
        return posixpath.commonpath([one, other]) == one

    pairs = [(a, b) for n, a in enumerate(paths) for m, b in enumerate(paths) if n != m and contains(a, b)]
    assert (overlaps(paths) is not None) == bool(pairs)


def codes(verdicts):
    """The errors by their codes; every error has one and tells the next step."""
    found = _verdict.errors(verdicts)
    assert all(verdict.error_code and "Next: " in verdict.msg for verdict in found)
    return [verdict.error_code for verdict in found]


@pytest.mark.parametrize(
    ("data_directory", "others", "expected"),
    [
        pytest.param("/srv/pg", {}, [], id="alone"),
        pytest.param("/srv/pg", {"tablespace 1": "/srv/fast", "waldir": "/srv/wal"}, [], id="apart"),
        pytest.param("/etc", {}, ["path_dangerous"], id="system"),
        pytest.param("/home/ann", {}, ["path_dangerous"], id="home"),
        pytest.param("/srv/pg", {"waldir": "wal"}, ["path_dangerous"], id="relative waldir"),
        pytest.param("/etc", {"tablespace 1": "/", "waldir": "wal"}, ["path_dangerous"] * 3, id="all of them"),
        pytest.param("/srv/pg", {"waldir": "/srv/pg/wal"}, ["path_overlap"], id="inside"),
        pytest.param("/srv/pg", {"tablespace 1": "/srv/t", "tablespace 2": "/srv/t/"}, ["path_overlap"], id="same"),
    ],
)
def test_paths(data_directory, others, expected):
    assert codes(paths(data_directory, others, ["/home/ann"])) == expected


@pytest.mark.parametrize(
    ("others", "step"),
    [
        ({"tablespace 16388": "/srv/pg/tablespaces/t"}, "set tablespace_mapping, from the tablespace's"),
        ({"tablespace 1": "/srv/t", "tablespace 2": "/srv/t/"}, "set tablespace_mapping, from the tablespace's"),
        ({"waldir": "/srv/pg/wal"}, "map them to separate directories"),
    ],
)
def test_an_overlap_says_how_to_separate_the_two(others, step):
    [verdict] = paths("/srv/pg", others, [])
    assert verdict.refusal.next_step.startswith(step)


def test_paths_name_the_option():
    [verdict] = paths("/srv/pg", {"waldir": "wal"}, [])
    assert verdict.msg.startswith("waldir='wal' cannot be used: it is not absolute.")


@pytest.mark.parametrize(
    ("path", "once"),
    [
        ("/srv/pg", "/srv/pg"),
        ("/srv/pg/", "/srv/pg"),
        ("//srv//pg//", "/srv/pg"),
        ("/srv/./pg/.", "/srv/pg"),
        ("/", "/"),
        ("//", "/"),
        ("/srv/..pg/", "/srv/..pg"),
        ("/srv/pg/../x/", "/srv/pg/../x/"),
        ("srv/pg/", "srv/pg/"),
        ("", ""),
    ],
)
def test_a_path_is_written_in_one_way(path, once):
    assert written_once(path) == once
    assert written_once(once) == once
