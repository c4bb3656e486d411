# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Archive, Entry
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.tar_roots import archives_of, packed_roots
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import ManifestEntry
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import backup

TARGETS = {16388: "/srv/fast"}
PROMISED = {
    "backup_label": 200,
    "PG_VERSION": 3,
    "global/pg_control": 8192,
    "base/1/1259": 16384,
    "base/1/pg_internal.init": 5,
    "tablespace_map": 40,
    "pg_tblspc/16388/PG_15_202209061/5/16390": 8192,
}


def tar(name, size=10, time=7):
    return Entry("f", size, time, f"data/{name}")


def manifest_entries(**changed):
    return [ManifestEntry(path, size, "", b"") for path, size in {**PROMISED, **changed}.items() if size is not None]


class TestArchives:
    @pytest.mark.parametrize(
        ("suffix", "program"), [(".tar", None), (".tar.gz", "gzip"), (".tar.lz4", "lz4"), (".tar.zst", "zstd")]
    )
    def test_of_every_tree(self, suffix, program):
        found = archives_of(backup(), [tar(f"base{suffix}"), tar(f"16388{suffix}", 20, 8)])
        top = f"{backup().directory}/data"
        assert found == {
            None: Archive(f"{top}/base{suffix}", program, 10, 7),
            16388: Archive(f"{top}/16388{suffix}", program, 20, 8),
        }

    @pytest.mark.parametrize(
        ("names", "code", "said"),
        [
            (["base.tar.gz"], "backup_files_missing", "no tar of 16388"),
            (["16388.tar.gz"], "backup_files_missing", "no tar of base"),
            (["base.tar.gz.gpg", "16388.tar.gz.gpg"], "backup_unsupported", "base.tar.gz.gpg, which is compressed"),
            (["base.tar.bz2", "16388.tar.bz2"], "backup_unsupported", "Known are .tar, .tar.gz, .tar.lz4, .tar.zst"),
        ],
    )
    def test_refuses_others(self, names, code, said):
        with pytest.raises(StandbyError, match=said) as refused:
            archives_of(backup(), map(tar, names))
        assert refused.value.code == code

    @pytest.mark.parametrize(
        ("archive", "there", "here"),
        [
            (Archive("/b/base.tar", None, 1, 1), ("cat", "/b/base.tar"), ()),
            (Archive("/b/base.tar.gz", "gzip", 1, 1), ("cat", "/b/base.tar.gz"), ("gzip", "-dc")),
            (Archive("/b/base.tar.zst", "zstd", 1, 1, True), ("zstd", "-dc", "/b/base.tar.zst"), ()),
        ],
    )
    def test_are_decompressed_at_one_end(self, archive, there, here):
        assert (archive.there, archive.here) == (there, here)


class TestRoots:
    ARCHIVES = archives_of(backup(), [tar("base.tar.gz"), tar("16388.tar.gz", 20, 8)])

    def roots(self, given):
        return packed_roots(backup(), self.ARCHIVES, given, "/pgdata", TARGETS, True)

    def test_hold_what_the_manifest_promises_and_a_copy_takes(self):
        data, fast = self.roots(manifest_entries())
        assert list(data.files) == [
            Entry("f", 3, 7, "PG_VERSION"),
            Entry("f", 200, 7, "backup_label"),
            Entry("f", 16384, 7, "base/1/1259"),
        ]
        assert list(fast.files) == [Entry("f", 8192, 8, "PG_15_202209061/5/16390")]
        assert (data.target, fast.target, fast.name, fast.oid) == ("/pgdata", "/srv/fast", "fast", 16388)
        assert {root.archive for root in (data, fast)} == set(self.ARCHIVES.values())
        assert {root.file_mode(0o644) for root in (data, fast)} == {0o640}

    def test_hold_the_directories_of_files_and_those_that_a_server_needs(self):
        data, fast = self.roots(manifest_entries())
        assert {"base", "base/1", "pg_wal/archive_status", "pg_tblspc"} <= set(data.directories)
        assert fast.directories == ("PG_15_202209061", "PG_15_202209061/5")

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"global/pg_control": None}, "does not name global/pg_control"),
            ({"PG_VERSION": None, "backup_label": None}, "does not name PG_VERSION, backup_label"),
            ({"pg_tblspc/999/PG_15_1/1/2": 1}, "of a tablespace that the catalogue does not know"),
        ],
    )
    def test_are_refused_of_another_manifest(self, changed, said):
        with pytest.raises(StandbyError, match=said) as refused:
            self.roots(manifest_entries(**changed))
        assert refused.value.code == "backup_inconsistent"
