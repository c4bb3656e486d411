# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL, Entry, Files, is_copied
from hypothesis import given
from hypothesis import strategies as st


class TestFiles:
    ENTRIES = st.lists(
        st.builds(
            Entry,
            kind=st.just("f"),
            size=st.integers(0, 2**62),
            mtime_ns=st.integers(-(2**62), 2**62),
            path=st.one_of(
                st.text(min_size=1),
                st.binary(min_size=1).map(lambda name: name.decode("utf-8", "surrogateescape")),
            ),
            mode=st.just(0),
        ),
        unique_by=lambda entry: entry.path,
    )

    @given(ENTRIES)
    def test_are_all_that_was_given_in_the_order_of_their_paths(self, entries):
        files = Files(entries)
        assert list(files) == sorted(entries, key=lambda entry: entry.path)
        assert [files[position] for position in range(len(files))] == list(files)

    @given(ENTRIES)
    def test_are_found_by_their_paths(self, entries):
        files = Files(entries)
        assert {path: files[position] for path, position in files.positions().items()} == {e.path: e for e in entries}

    @given(ENTRIES, ENTRIES)
    def test_can_be_added_and_sorted_later(self, first, then):
        then = [entry for entry in then if entry.path not in {other.path for other in first}]
        files = Files(first)
        for entry in then:
            files.append(entry)
        files.sort()
        assert list(files) == list(Files([*then, *first]))


@pytest.mark.parametrize(
    ("path", "in_data", "in_tablespace"),
    [
        pytest.param("base/1/1259", True, True, id="a table"),
        pytest.param(CONTROL, False, True, id="pg_control"),
        pytest.param("pg_wal", True, True, id="an emptied directory itself"),
        pytest.param("pg_wal/archive_status", False, True, id="what is in it"),
        pytest.param("base/1/pg_internal.init", False, False, id="a cache"),
        pytest.param("PG_15_202209061/pgsql_tmp/x", False, False, id="temporary files"),
        pytest.param("backup_manifest", True, True, id="the manifest"),
    ],
)
def test_is_copied(path, in_data, in_tablespace):
    assert (is_copied(path, in_data=True), is_copied(path, in_data=False)) == (in_data, in_tablespace)
