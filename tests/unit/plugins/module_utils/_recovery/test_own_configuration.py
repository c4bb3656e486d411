# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a configuration that are in the data directory, and how they come to speak of this host."""

from __future__ import annotations

import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.own_configuration import (
    localised,
    named_files,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree

FOREIGN = "hba_file = '/nowhere/pg_hba.conf'\n"
GONE = f"#(other host) {FOREIGN}"


@pytest.mark.parametrize(
    ("includes", "name"),
    [
        ({}, "postgresql.conf"),
        ({"postgresql.conf": "include 'tuning.inc'\n"}, "tuning.inc"),
        ({"postgresql.conf": "include_if_exists = tuning.inc\n"}, "tuning.inc"),
        ({"postgresql.conf": "include_dir 'pg.conf.d'\n"}, "pg.conf.d/10-places.conf"),
        ({"postgresql.conf": "include_dir '.'\n"}, "places.conf"),
        ({"postgresql.conf": "include 'a/first'\n", "a/first": "include 'second'\n"}, "a/second"),
        ({"postgresql.conf": "include 'a/first'\n", "a/first": "include '../b/second'\n"}, "b/second"),
        ({"postgresql.conf": "include_dir 'a'\n", "a/x.conf": "include_dir 'b'\n"}, "a/b/y.conf"),
        ({"postgresql.conf": "include '{here}/absolute'\n"}, "absolute"),
    ],
)
def test_a_foreign_place_goes_wherever_it_stands(tmp_path, includes, name):
    write_tree(tmp_path, {path: text.format(here=tmp_path) for path, text in includes.items()})
    write_tree(tmp_path, {name: FOREIGN})
    assert localised(str(tmp_path)) == {name: GONE}


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("conf.d/old.conf", "a directory"),
        ("conf.d/.hidden.conf", "hidden"),
        ("conf.d/places.off", "of another name"),
        ("conf.d/out.conf", "a link"),
    ],
)
def test_what_is_no_file_of_the_configuration_stays(tmp_path, name, made):
    pgdata, outside = tmp_path / "data", tmp_path / "outside.conf"
    write_tree(pgdata, {"postgresql.conf": "include_dir 'conf.d'\n", "conf.d/empty.conf": ""})
    outside.write_text(FOREIGN)
    if made == "a directory":
        write_tree(pgdata, {f"{name}/inside.conf": FOREIGN})
    elif made == "a link":
        os.symlink(outside, pgdata / name)
    else:
        write_tree(pgdata, {name: FOREIGN})
    assert localised(str(pgdata)) == {}


def test_a_line_that_includes_a_directory_as_a_file_is_left_to_the_server(tmp_path):
    write_tree(tmp_path, {"postgresql.conf": "include 'conf.d'\n", "conf.d/a.conf": FOREIGN})
    assert localised(str(tmp_path)) == {}


def test_files_that_include_each_other_have_an_end(tmp_path):
    both = "include 'postgresql.conf'\ninclude 'a'\n"
    write_tree(tmp_path, {"postgresql.conf": "include 'a'\n", "a": both + FOREIGN})
    assert localised(str(tmp_path)) == {"a": both + GONE}


def test_twice_is_once(tmp_path):
    write_tree(tmp_path, {"postgresql.conf": f"include 'a'\n{FOREIGN}", "a": f"include '/nowhere/b'\n{FOREIGN}"})
    write_tree(tmp_path, localised(str(tmp_path)))
    assert localised(str(tmp_path)) == {}


def test_in_a_copy_the_includes_by_its_later_path_lead_into_it(tmp_path):
    write_tree(tmp_path, {"postgresql.conf": "include '/srv/pg/a/b'\n", "a/b": FOREIGN})
    assert localised(str(tmp_path), "/srv/pg") == {
        "postgresql.conf": f"include = '{tmp_path}/a/b'\n",
        "a/b": GONE,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("include 'a'", ["a"]),
        ("include_if_exists 'b/c'", ["b/c"]),
        ("include '/srv/pg/b/c'", ["b/c"]),
        ("include '/elsewhere/a'", []),
        ("include '../pg/a'", ["a"]),
        ("include_dir 'd'", ["d/1.conf", "d/2.conf"]),
        ("include_dir = '/srv/pg/d/'", ["d/1.conf", "d/2.conf"]),
        ("include_dir '.'", ["top.conf"]),
        ("include 'missing'", []),
        ("#include 'a'", []),
    ],
)
def test_what_a_backup_has_of_what_is_included(tmp_path, text, expected):
    write_tree(tmp_path, {"postgresql.conf": f"{text}\n"})
    paths = ["a", "b/c", "d/.x.conf", "d/1.conf", "d/2.conf", "d/3", "d/e/4.conf", "postgresql.conf", "top.conf"]
    assert named_files(str(tmp_path), "/srv/pg", paths) == expected


def test_what_is_there_already_is_not_named_again_and_leads_on(tmp_path):
    write_tree(tmp_path, {"postgresql.conf": "include 'a/b.conf'\n", "a/b.conf": "include 'c'\n"})
    assert named_files(str(tmp_path), "/srv/pg", ["a/b.conf", "a/c", "c", "postgresql.conf"]) == ["a/c"]
