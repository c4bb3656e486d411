# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code is built as the table in ``house`` says: folders, imports, purity, and who may end a module."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.tests.unit.house import (
    ASKS_SERVERS,
    BELOW_MODULES,
    FILE_LINES,
    FOLDER_FILES,
    FOLDERS,
    GROUND,
    MAIN_LINES,
    MAKES_HOSTS,
    MODULE_SIDE,
    NEVERS,
    PACKAGE,
    SENT,
    STARTS_PROGRAMS,
    TOP_FILES,
)
from ansible_collections.pgfleet.standby.tests.unit.house_rules import (
    arrows_against,
    arrows_up,
    beside_the_folders,
    calls,
    crowded,
    definitions,
    libraries,
    makers,
    offered,
    ours,
    read,
    says_pure,
    starters,
    strangers_met,
    top,
    unused_names,
    unused_permissions,
    wrong_of_purity,
)

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "plugins"
FORCED_COMMAND = ROOT / "roles" / "standby_from_barman" / "files" / "pgfleet_barman_only.py"
# A forked process must not go on as its parent would.
ENDS_ITS_FORK = {"_clone.detached": {"_exit"}}
UTILS = read(PLUGINS / "module_utils")
MODULES = read(PLUGINS / "modules")
OTHERS = [*MODULES.values(), *read(PLUGINS / "action").values(), *read(PLUGINS / "filter").values()]


def forced_programs():
    """What the forced command lets run on the Barman host: functions, each with its file and an option."""
    return ast.literal_eval(definitions(ast.parse(FORCED_COMMAND.read_text(encoding="utf-8")))["PROGRAMS"])


def called_there():
    """The files whose functions are handed to ``remote_call.call``."""
    for tree in UTILS.values():
        files = {
            alias.asname or alias.name: f"{node.module}"[len(PACKAGE) + 1 :]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        if files.get("call") == "_commands.remote_call":
            calls_there = [
                node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "call"
            ]
            yield from (files[node.args[1].id] for node in calls_there)


# --- folders and arrows ---------------------------------------------------------------
def test_every_folder_is_in_the_table():
    assert {top(name) for name in UTILS} == {*GROUND, *FOLDERS}


def test_arrows_lead_down_only():
    assert arrows_up(FOLDERS) == []


def test_a_unit_imports_only_what_its_folder_may():
    assert arrows_against(UTILS, FOLDERS) == []


def test_no_permission_is_left_unused():
    assert unused_permissions(UTILS, FOLDERS) == []


def test_a_folder_is_seen_at_one_glance():
    assert crowded(UTILS, FOLDER_FILES) == []


def test_few_files_are_beside_the_folders():
    assert len(beside_the_folders(UTILS)) <= TOP_FILES


def test_what_is_offered_is_used_by_another_file():
    assert unused_names(UTILS, OTHERS, told=forced_programs().keys()) == []


# --- nevers ---------------------------------------------------------------------------
@pytest.mark.parametrize("never", [never for never in NEVERS if never.who], ids=lambda never: never.sentence)
def test_strangers_stay_strangers(never):
    assert strangers_met(UTILS, never.who, never.whom) == []


@pytest.mark.parametrize("never", NEVERS, ids=lambda never: never.sentence)
def test_every_never_is_checked(never):
    assert callable(globals()[never.checked_by])
    assert bool(never.who) == bool(never.whom) == (never.checked_by == "test_strangers_stay_strangers")
    assert {*never.who, *never.whom} <= {*GROUND, *FOLDERS}


def test_a_unit_says_that_it_is_pure_if_and_only_if_it_is():
    assert wrong_of_purity(UTILS) == []


def test_formats_are_pure():
    assert [name for name, tree in UTILS.items() if top(name) == "_formats" and not says_pure(tree)] == []


@pytest.mark.parametrize("name", [name for name in UTILS if top(name) in BELOW_MODULES])
def test_a_unit_knows_nothing_of_ansible(name):
    tree = UTILS[name]
    assert not set(MODULE_SIDE) & ours(tree, UTILS)
    assert libraries(tree) <= sys.stdlib_module_names | {"ansible_collections", "psycopg2"}
    ends = {"exit_json", "fail_json", "exit", "print"} | ({"_exit"} - ENDS_ITS_FORK.get(name, set()))
    assert not ends & set(calls(tree))


def test_what_is_sent_to_the_barman_host_is_known():
    waiting, sent = [file for file, _option in forced_programs().values()], set()
    while waiting:
        name = waiting.pop()
        sent.add(name)
        waiting += ours(UTILS[name], UTILS) - sent
    assert tuple(sorted(sent)) == SENT
    assert {name for name in called_there() if name not in sent} == set()


def test_psycopg2_is_known_to_those_who_ask_servers():
    assert tuple(name for name, tree in UTILS.items() if "psycopg2" in libraries(tree)) == ASKS_SERVERS


def test_programs_are_started_in_one_file():
    assert starters({**UTILS, **{f"modules.{name}": tree for name, tree in MODULES.items()}}) == [STARTS_PROGRAMS]


@pytest.mark.parametrize("name", ["BarmanHost", "SshShell"])
def test_a_barman_host_is_made_in_one_place(name):
    assert makers({**UTILS, **{f"modules.{name}": tree for name, tree in MODULES.items()}}, name) == [MAKES_HOSTS]


def test_no_unit_runs_a_shell():
    for name, tree in UTILS.items():
        keywords = {word.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords}
        assert not {"shell", "system", "popen"} & keywords, name
        assert not {"system", "popen"} & set(calls(tree)), name


# --- one file -------------------------------------------------------------------------
@pytest.mark.parametrize("name", UTILS)
def test_a_unit_says_what_it_is_for_and_what_it_offers(name):
    tree = UTILS[name]
    assert ast.get_docstring(tree)
    names = offered(tree)
    assert names == sorted(names, key=lambda word: (not word.isupper(), not word[0].isupper(), word))
    defined = {
        word: node for word, node in definitions(tree).items() if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    public = {word for word in defined if not word.startswith("_")}
    assert public <= set(names)
    assert [word for word in public if not ast.get_docstring(defined[word])] == []


def test_only_what_is_offered_is_imported():
    for name, tree in {**UTILS, **MODULES}.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
                private = [
                    a.name
                    for a in node.names
                    if a.name.startswith("_") and f"{node.module}.{a.name}"[len(PACKAGE) + 1 :] not in UTILS
                ]
                assert private == [], name


@pytest.mark.parametrize("name", MODULES)
def test_a_module_ends_in_one_place(name):
    tree = MODULES[name]
    [main] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    assert main.end_lineno - main.lineno < MAIN_LINES
    assert calls(main).count("finish") == 1
    assert not {"exit_json", "fail_json"} & set(calls(tree))
    assert "_module" in ours(tree, UTILS)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_acts_only_through_its_units(name):
    assert not libraries(MODULES[name]) & {"subprocess", "shutil", "psycopg2", "time", "signal"}
    assert not {"open", "run_command"} & set(calls(MODULES[name]))


def test_a_file_is_read_at_one_sitting():
    lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PLUGINS.rglob("*.py")}
    assert {name: count for name, count in lines.items() if count >= FILE_LINES} == {}
