# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL, Files, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.manifest_index import ManifestIndex
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import ManifestEntry
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import BACKUP_ID, file

TABLE = "PG_15_202209061/5/16390"
DATA = Root(None, "/b/data", "/pgdata", Files([file("PG_VERSION", 3), file("base/1/2", 8192), file("unknown", 7)]), ())
WITHOUT_UNKNOWN = Root(
    None,
    "/b/data",
    "/pgdata",
    Files(
        [
            file("PG_VERSION", 3),
            file("base/1/2", 8192),
            *(file(name, 9) for name in ("backup_manifest", "backup_label")),
        ]
    ),
    (),
)
FAST = Root(16388, "/b/16388", "/fast", Files([file(TABLE, 50)]), ())
HOSTILE = [" ", "it's", "$(id)", "-rf", "line\nfeed", "ä", "\udcff"]


def manifest_entry(path, size, checksum=b"\1\2\3\4"):
    return ManifestEntry(path, size, "CRC32C" if checksum else "", checksum)


WHOLE = [
    manifest_entry("PG_VERSION", 3, b"vvvv"),
    manifest_entry("base/1/2", 8192, b"tttt"),
    manifest_entry(f"pg_tblspc/16388/{TABLE}", 50, b"ffff"),
    manifest_entry(CONTROL, 8192, b"cccc"),
]


def promises_of(*manifest_entries, roots=(DATA, FAST)):
    return ManifestIndex(BACKUP_ID, roots, manifest_entries)


def test_a_shard_has_what_is_promised_of_its_files_by_their_paths_in_its_tree():
    found = promises_of(*WHOLE)
    assert found.of(Shard(DATA, [1, 0])) == [
        manifest_entry("base/1/2", 8192, b"tttt"),
        manifest_entry("PG_VERSION", 3, b"vvvv"),
    ]
    assert found.of(Shard(FAST, [0])) == [manifest_entry(TABLE, 50, b"ffff")]


def test_nothing_is_promised_of_a_file_that_the_manifest_does_not_name():
    found = promises_of(*WHOLE)
    assert found.of(Shard(DATA, [2])) == []
    assert [found.covers(DATA, position) for position in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("entries", "roots", "unknown"),
    [
        pytest.param(WHOLE, (DATA, FAST), [True, False], id="a file that the manifest does not know"),
        pytest.param(WHOLE, (WITHOUT_UNKNOWN, FAST), [False, False], id="whole"),
        pytest.param(
            [entry for entry in WHOLE if TABLE not in entry.path],
            (WITHOUT_UNKNOWN, FAST),
            [False, True],
            id="as Barman makes it",
        ),
        pytest.param(
            [entry._replace(algorithm="", checksum=b"") for entry in WHOLE],
            (WITHOUT_UNKNOWN, FAST),
            [True, True],
            id="without checksums",
        ),
    ],
)
def test_a_tree_is_known_if_the_contents_of_all_its_files_are_promised(entries, roots, unknown):
    index = promises_of(*entries, roots=roots)
    assert [index.unknown(root) for root in roots] == unknown


def test_a_promise_without_a_checksum_is_of_the_size_alone():
    found = promises_of(manifest_entry("PG_VERSION", 3, b""))
    assert (found.of(Shard(DATA, [0])), found.covers(DATA, 0), found.algorithms) == ([], False, set())


def test_pg_control_is_kept_apart():
    assert promises_of(*WHOLE).control == WHOLE[-1]
    assert promises_of(*WHOLE[:-1]).control is None


def test_algorithms_are_all_that_are_needed():
    assert promises_of(*WHOLE).algorithms == {"CRC32C"}
    mixed = [WHOLE[0], ManifestEntry("base/1/2", 8192, "SHA256", bytes(32)), manifest_entry("unknown", 7, b"")]
    assert promises_of(*mixed).algorithms == {"CRC32C", "SHA256"}


@pytest.mark.parametrize(
    "path",
    [
        "pg_wal/000000010000000000000003",
        "log/postgresql.log",
        "postmaster.opts",
        "standby.signal",
        "base/1/pg_internal.init",
        "base/pgsql_tmp/pgsql_tmp1.0",
        "pg_tblspc/16388/PG_15_202209061/pgsql_tmp/x",
        "pg_tblspc/16388",
        "pg_tblspc/x/y",
        "pg_tblspc/\u00b2/y",
    ],
)
def test_what_no_copy_takes_may_be_missing(path):
    assert promises_of(*WHOLE, manifest_entry(path, 1)).of(Shard(DATA, [0])) == [WHOLE[0]]


def test_a_tablespace_may_hold_a_name_that_is_left_out_of_the_data_directory():
    root = Root(16388, "/b/16388", "/fast", Files([file("standby.signal", 5)]), ())
    found = promises_of(manifest_entry("pg_tblspc/16388/standby.signal", 5), roots=(DATA, root))
    assert found.covers(root, 0)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_kept_as_they_are(name):
    root = Root(None, "/b/data", "/pgdata", Files([file(f"base/{name}", 1)]), ())
    assert promises_of(manifest_entry(f"base/{name}", 1), roots=[root]).of(Shard(root, [0])) == [
        manifest_entry(f"base/{name}", 1)
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param([manifest_entry("base/1/3", 1)], "base/1/3 is missing", id="file missing"),
        pytest.param([manifest_entry("base/1/2", 8191)], "base/1/2 has 8192 bytes, not 8191", id="another size"),
        pytest.param([manifest_entry("base/1/2", 1, b"")], "base/1/2 has 8192 bytes, not 1", id="of the size alone"),
        pytest.param(
            [manifest_entry(f"pg_tblspc/16388/{TABLE}", 49)], f"{TABLE} has 50 bytes, not 49", id="in a tablespace"
        ),
        pytest.param(
            [manifest_entry("pg_tblspc/16388/x", 1)], "pg_tblspc/16388/x is missing", id="missing in a tablespace"
        ),
        pytest.param([manifest_entry("pg_tblspc/99/x", 1)], "pg_tblspc/99/x is missing", id="no such tablespace"),
        pytest.param(
            [manifest_entry("a", 1), manifest_entry("b", 1)], "2 files differ, such as a is missing; b is", id="two"
        ),
        pytest.param([manifest_entry(f"{n}", 1) for n in range(9)], "9 files differ.* 4 is missing\\. Next", id="many"),
    ],
)
def test_a_backup_that_does_not_hold_what_is_promised_is_refused(wrong, said):
    with pytest.raises(StandbyError, match=said) as refused:
        promises_of(*wrong)
    assert refused.value.code == "backup_inconsistent"
    assert BACKUP_ID in str(refused.value)
