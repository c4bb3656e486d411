# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house: what each folder is for, who may import whom, what is pure, and who may end a module."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
UTILS_DIRECTORY = PLUGINS / "module_utils"
PACKAGE = "ansible_collections.pgfleet.standby.plugins.module_utils"

# What everybody may import.
GROUND = {"_errors", "_model", "_times", "_verdict"}
# From the ground up: each folder with its one sentence, and the folders that it may import beside the ground.
FOLDERS = {
    "_files": ("Small files and directories here, read and written with care.", set()),
    "_commands": ("Programs, here and on the Barman host: started, quoted, judged by their exit codes.", set()),
    "_formats": ("PostgreSQL's own file formats and notations, read and written; pure.", set()),
    "_pgdata": (
        "A data directory on disk and the state directory beside it: what they hold, and careful changes.",
        {"_files", "_commands", "_formats"},
    ),
    "_backup": (
        "A backup's files: which there are, which a clone takes, which of them are here.",
        {"_files", "_commands", "_formats"},
    ),
    "_barman": ("Barman asked: its versions, its answers, and which backup is chosen.", {"_commands"}),
    "_repmgr": ("repmgr.conf as inputs of the role.", {"_files", "_formats"}),
    "_barman_host": (
        "What is done on the Barman host for all who copy a backup: kept against retention, or staged.",
        {"_commands", "_barman"},
    ),
    "_postgres": (
        "PostgreSQL servers and their programs, asked: the standby's own and its upstream's.",
        {"_files", "_commands", "_formats", "_pgdata"},
    ),
    "_server": (
        "The server of one data directory: started, stopped, restarted and told to reload.",
        {"_files", "_commands", "_formats", "_pgdata", "_postgres"},
    ),
    "_transfer": (
        "A backup's bytes, pulled in parallel by rsync or as tars.",
        {"_commands", "_formats", "_pgdata", "_backup"},
    ),
    "_recovery": (
        "What makes a directory a standby: recovery settings and restore_command.",
        {"_files", "_commands", "_formats", "_pgdata", "_postgres"},
    ),
    "_rewind": (
        "A diverged cluster rewound to the upstream's history by pg_rewind.",
        {"_files", "_commands", "_formats", "_pgdata", "_postgres", "_recovery"},
    ),
    "_clone": (
        "A data directory filled safely, whatever brings the files: startable only when verified and durable.",
        {"_files", "_commands", "_formats", "_pgdata", "_backup", "_recovery"},
    ),
    "_methods": (
        "One file for each value of standby_from_barman_method.",
        {
            "_files",
            "_commands",
            "_formats",
            "_pgdata",
            "_backup",
            "_barman",
            "_barman_host",
            "_postgres",
            "_transfer",
            "_clone",
        },
    ),
    "_checks": (
        "One question each before anything changes: a namesake of *_facts judges what that has seen.",
        {
            "_files",
            "_commands",
            "_formats",
            "_pgdata",
            "_backup",
            "_barman",
            "_postgres",
            "_recovery",
            "_clone",
            "_methods",
        },
    ),
    "_preflight": (
        "All checks asked, and the smallest change planned that makes the host a standby.",
        {
            "_files",
            "_formats",
            "_pgdata",
            "_backup",
            "_barman",
            "_postgres",
            "_transfer",
            "_rewind",
            "_clone",
            "_checks",
        },
    ),
    "_argspec": ("The options of modules.", set()),
    "_module": (
        "From a module's options to the work, and the one way in which a module ends.",
        {"_commands", "_formats", "_pgdata", "_backup", "_recovery", "_clone"},
    ),
}
# The modules' own side: nobody below may know them.
MODULE_SIDE = {"_argspec", "_module"}
# All that may be sent to the Barman host.
SENT = {"_barman_host", "_barman", "_commands"}
# A forked process must not go on as its parent would.
ENDS_ITS_FORK = {"_clone.detached": {"_exit"}}
ASKS_SERVERS = ["_postgres.connect", "_postgres.libpq", "_postgres.upstream_facts", "_postgres.walsender"]

OUTSIDE_WORLD = {
    "ctypes", "datetime", "errno", "fcntl", "glob", "io", "mmap", "multiprocessing", "os", "pathlib", "psycopg2", "pwd",
    "random", "resource", "secrets", "select", "selectors", "shutil", "signal", "socket", "subprocess", "sys", "syslog",
    "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
MAIN_LINES = 40
FILE_LINES = 400


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def unit_of(path):
    return ".".join(path.relative_to(UTILS_DIRECTORY).with_suffix("").parts)


UTILS = {unit_of(path): parsed(path) for path in sorted(UTILS_DIRECTORY.rglob("*.py"))}
MODULES = {path.stem: parsed(path) for path in sorted((PLUGINS / "modules").glob("*.py"))}


def imports(tree):
    """Every module that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import that is relative says less"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(tree):
    """The units of ours that a tree imports, a name's or themselves."""
    for name in imports(tree):
        if name.startswith(f"{PACKAGE}."):
            path = name[len(PACKAGE) + 1 :]
            yield path if path in UTILS else path.rpartition(".")[0]


def top(name):
    return name.partition(".")[0]


def tops(tree):
    return {top(name) for name in imports(tree)}


def calls(tree):
    """The last name of everything that is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", None))


def is_pure(tree):
    return not tops(tree) & OUTSIDE_WORLD and not {"open", "input", "print"} & set(calls(tree))


def says_pure(name):
    return " Pure" in (ast.get_docstring(UTILS[name]) or "")


def test_every_folder_has_its_sentence_and_its_place():
    assert {top(name) for name in UTILS} == GROUND | FOLDERS.keys()


def test_arrows_lead_down_only():
    below = set()
    for folder, (_sentence, may) in FOLDERS.items():
        assert may <= below, folder
        below.add(folder)


@pytest.mark.parametrize("name", sorted(UTILS))
def test_a_unit_imports_only_what_its_folder_may(name):
    folder = top(name)
    may = GROUND | {folder} | (FOLDERS[folder][1] if folder in FOLDERS else set())
    assert {other for other in ours(UTILS[name]) if top(other) not in may} == set()


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_no_permission_is_left_unused(folder):
    used = {top(other) for name in UTILS if top(name) == folder for other in ours(UTILS[name])}
    assert FOLDERS[folder][1] - used == set()


@pytest.mark.parametrize("name", sorted(UTILS))
def test_a_unit_says_that_it_is_pure_if_and_only_if_it_is(name):
    pure = is_pure(UTILS[name]) and all(says_pure(other) for other in ours(UTILS[name]) if other not in GROUND)
    assert says_pure(name) == pure or name in GROUND or name in MODULE_SIDE


def test_formats_are_pure():
    assert [name for name in UTILS if top(name) == "_formats" and not says_pure(name)] == []


@pytest.mark.parametrize("name", sorted(set(UTILS) - MODULE_SIDE))
def test_a_unit_knows_nothing_of_ansible(name):
    tree = UTILS[name]
    assert not MODULE_SIDE & set(ours(tree))
    assert tops(tree) <= sys.stdlib_module_names | {"ansible_collections", "psycopg2"}
    ends = {"exit_json", "fail_json", "exit", "print"} | ({"_exit"} - ENDS_ITS_FORK.get(name, set()))
    assert not ends & set(calls(tree))


def test_what_is_sent_to_the_barman_host_is_known():
    waiting, sent = ["_barman_host.keep", "_barman_host.staging"], set()
    while waiting:
        name = waiting.pop()
        sent.add(name)
        waiting += set(ours(UTILS[name])) - sent
    assert {top(name) for name in sent} <= SENT | GROUND


def test_psycopg2_is_known_to_those_who_ask_servers():
    assert sorted(name for name, tree in UTILS.items() if "psycopg2" in tops(tree)) == ASKS_SERVERS


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
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
                private = [
                    a.name
                    for a in node.names
                    if a.name.startswith("_") and f"{node.module}.{a.name}"[len(PACKAGE) + 1 :] not in UTILS
                ]
                assert private == [], name


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_ends_in_one_place(name):
    tree = MODULES[name]
    [main] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    assert main.end_lineno - main.lineno < MAIN_LINES
    assert list(calls(main)).count("finish") == 1
    assert not {"exit_json", "fail_json"} & set(calls(tree))
    assert "_module" in set(ours(tree))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_acts_only_through_its_units(name):
    assert not tops(MODULES[name]) & {"subprocess", "shutil", "psycopg2", "time", "signal"}
    assert not {"open", "run_command"} & set(calls(MODULES[name]))


def test_a_file_is_read_at_one_sitting():
    lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PLUGINS.rglob("*.py")}
    assert {name: count for name, count in lines.items() if count >= FILE_LINES} == {}


def test_a_folder_is_seen_at_one_glance():
    counts = {folder: sum(top(name) == folder for name in UTILS) for folder in FOLDERS}
    assert {folder: count for folder, count in counts.items() if count > 14} == {}
