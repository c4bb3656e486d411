# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import (
    libraries_of,
    library_name,
    machine_of,
    sorts_by_bytes,
)


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("", ()),
        ("pg_stat_statements", ("pg_stat_statements",)),
        ("pg_stat_statements,auto_explain", ("pg_stat_statements", "auto_explain")),
        (" a , b ", ("a", "b")),
        ("a,,b", ("a", "b")),
        ('"/opt/a, b/lib.so",c', ("/opt/a, b/lib.so", "c")),
        ('"say ""x"""', ('say "x"',)),
        ("$libdir/plugins/a", ("$libdir/plugins/a",)),
        ("/srv/my lib/a.so", ("/srv/my lib/a.so",)),
    ],
)
def test_libraries(setting, names):
    assert libraries_of(setting) == names


@pytest.mark.parametrize("library", ["a", "a.so", "$libdir/a", "$libdir/plugins/a.so", "/opt/x/a.so"])
def test_a_library_is_the_same_wherever_it_is(library):
    assert library_name(library) == "a"


@pytest.mark.parametrize(
    ("version", "machine"),
    [
        ("PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc, 64-bit", "x86_64"),
        ("PostgreSQL 16.4 on aarch64-unknown-linux-gnu, compiled by gcc (GCC) 11.5.0, 64-bit", "aarch64"),
        ("PostgreSQL 10.23 on powerpc64le-unknown-linux-gnu, compiled by gcc, 64-bit", "powerpc64le"),
        ("PostgreSQL 15 for something else", None),
        ("", None),
    ],
)
def test_machine(version, machine):
    assert machine_of(version) == machine


@pytest.mark.parametrize(
    ("locale", "expected"),
    [("C", True), ("POSIX", True), ("C.UTF-8", True), ("c.utf8", True), ("en_US.UTF-8", False), ("Cs_CZ", False)],
)
def test_some_locales_need_no_library_to_sort(locale, expected):
    assert sorts_by_bytes(locale) is expected
