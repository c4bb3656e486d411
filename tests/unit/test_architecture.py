# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers: who may import what, and who may end a module."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
PACKAGE = "ansible_collections.pgfleet.standby.plugins.module_utils"

# No clock, no files, no processes: what they return follows from their arguments.
PURE = {
    "_archives",
    "_guc",
    "_barman_parse",
    "_barman_versions",
    "_basebackup",
    "_basebackup_judge",
    "_choice",
    "_claims",
    "_conf",
    "_conninfo",
    "_control_file",
    "_diagnosis",
    "_errors",
    "_history",
    "_inventory",
    "_ladder",
    "_lsn",
    "_manifest",
    "_model",
    "_passfile",
    "_paths",
    "_pgdata_parse",
    "_preflight",
    "_promises",
    "_quote",
    "_readiness",
    "_recovery",
    "_repmgr_conf",
    "_repmgr_inputs",
    "_repmgr_names",
    "_restoring",
    "_segments",
    "_shards",
    "_slots",
    "_suitability",
    "_suitability_facts",
    "_times",
    "_transport",
    "_unasked",
}
# They act, raise StandbyError, and know nothing of Ansible.
ACTING = {
    "_barman_cli",
    "_barman_files",
    "_basebackup_check",
    "_basebackup_copy",
    "_basebackup_run",
    "_choosing",
    "_claim_files",
    "_clone",
    "_clone_state",
    "_command",
    "_commit",
    "_config_files",
    "_configuration",
    "_connection",
    "_contents",
    "_copy",
    "_datadir",
    "_derived",
    "_detached",
    "_examine",
    "_far_side",
    "_filling",
    "_fitness",
    "_host",
    "_keep",
    "_live",
    "_login",
    "_missing",
    "_nested",
    "_outcome",
    "_own_files",
    "_packed",
    "_pin",
    "_pipeline",
    "_plan",
    "_pristine",
    "_probe",
    "_progress",
    "_recovery_files",
    "_repmgr_files",
    "_restore",
    "_restore_command",
    "_restored",
    "_rewind",
    "_rewind_proof",
    "_room",
    "_server",
    "_server_config",
    "_silence",
    "_situation",
    "_snapshot",
    "_stage",
    "_syncing",
    "_takeover",
    "_transfer",
    "_transports",
    "_tree",
    "_unpacking",
    "_untar",
    "_upstream_sql",
    "_upstream_wal",
    "_verification",
    "_wal_check",
    "_wal_proof",
    "_wish",
    "_workers",
}
# A forked process must not go on as its parent would.
ENDS_ITS_FORK = {"_detached": {"_exit"}}
# The modules' own helper.
MODULE_SIDE = {"_argspec"}

OUTSIDE_WORLD = {
    "ctypes", "datetime", "errno", "fcntl", "glob", "io", "mmap", "multiprocessing", "os", "pathlib", "pwd", "random",
    "resource", "secrets", "select", "selectors", "shutil", "signal", "socket", "subprocess", "sys", "syslog",
    "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
MAIN_LINES = 40
FILE_LINES = 400


def trees(directory):
    return {
        path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((PLUGINS / directory).glob("*.py"))
    }


UTILS = trees("module_utils")
MODULES = trees("modules")


def imports(tree):
    """Every module that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import that is relative says less"
            if node.module == PACKAGE:
                yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def calls(tree):
    """The last name of everything that is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", None))


def ours(tree):
    return {name.rpartition(".")[2] for name in imports(tree) if name.startswith("ansible_collections")}


def tops(tree):
    return {name.partition(".")[0] for name in imports(tree)}


def test_every_unit_has_its_layer():
    assert sorted(UTILS) == sorted([*PURE, *ACTING, *MODULE_SIDE])


@pytest.mark.parametrize("name", sorted(PURE))
def test_a_pure_unit_imports_nothing_of_the_outside_world(name):
    tree = UTILS[name]
    assert ours(tree) <= PURE
    assert tops(tree) - {"ansible_collections"} <= sys.stdlib_module_names - OUTSIDE_WORLD
    assert not {"open", "input", "print"} & set(calls(tree))


@pytest.mark.parametrize("name", sorted(ACTING))
def test_an_acting_unit_knows_nothing_of_ansible(name):
    tree = UTILS[name]
    assert ours(tree) <= PURE | ACTING
    assert tops(tree) <= sys.stdlib_module_names | {"ansible_collections", "psycopg2"}
    ends = {"exit_json", "fail_json", "exit", "print"} | ({"_exit"} - ENDS_ITS_FORK.get(name, set()))
    assert not ends & set(calls(tree))


def test_psycopg2_is_known_to_those_who_ask_servers():
    found = sorted(name for name, tree in UTILS.items() if "psycopg2" in tops(tree))
    assert found == ["_server", "_upstream_sql", "_upstream_wal"]


def test_no_unit_runs_a_shell():
    for name, tree in UTILS.items():
        keywords = {word.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords}
        assert not {"shell", "system", "popen"} & (keywords | set(calls(tree))), name


@pytest.mark.parametrize("name", sorted(UTILS))
def test_a_unit_says_what_it_is_for_and_what_it_offers(name):
    tree = UTILS[name]
    assert ast.get_docstring(tree)
    [offered] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__"
    ]
    assert offered == sorted(offered, key=lambda word: (not word.isupper(), not word[0].isupper(), word))
    defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    public = {word for word in defined if not word.startswith("_")}
    assert public <= set(offered)
    assert [word for word in public if not ast.get_docstring(defined[word])] == []


def test_only_what_is_offered_is_imported():
    for name, tree in {**UTILS, **MODULES}.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith(f"{PACKAGE}."):
                assert [alias.name for alias in node.names if alias.name.startswith("_")] == [], name


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_ends_in_one_place(name):
    tree = MODULES[name]
    [main] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    assert main.end_lineno - main.lineno < MAIN_LINES
    assert list(calls(main)).count("finish") == 1
    assert not {"exit_json", "fail_json"} & set(calls(tree))
    assert "_argspec" in ours(tree)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_acts_only_through_its_units(name):
    assert not tops(MODULES[name]) & {"subprocess", "shutil", "psycopg2", "time", "signal"}
    assert not {"open", "run_command"} & set(calls(MODULES[name]))


def test_a_file_is_read_at_one_sitting():
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in PLUGINS.rglob("*.py")}
    assert {name: count for name, count in lines.items() if count >= FILE_LINES} == {}
