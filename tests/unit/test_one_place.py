# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one file alone does in plugins: who makes a Barman host, who makes a shell for it, who starts programs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PLUGINS = Path(__file__).parents[2] / "plugins"
FILES = {
    str(path.relative_to(PLUGINS)): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PLUGINS.rglob("*.py"))
}
BARMAN_HOST = "module_utils/_commands/barman_host.py"


def constructions(tree, name):
    """How often a class is called by its name, in its own class methods by ``cls``."""
    own = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name]
    known = {id(node.func) for of in own for node in ast.walk(of) if isinstance(node, ast.Call)}
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return sum(
        getattr(func, "id", getattr(func, "attr", None)) == name
        or (id(func) in known and getattr(func, "id", None) == "cls")
        for func in called
    )


def who_makes(name):
    """The files that make an object of a class, with how often."""
    counts = {path: constructions(tree, name) for path, tree in FILES.items()}
    return {path: count for path, count in counts.items() if count}


def test_a_barman_host_is_constructed_in_one_place():
    assert who_makes("BarmanHost") == {BARMAN_HOST: 1}


def test_a_shell_of_ssh_is_constructed_by_the_barman_host_only():
    assert who_makes("SshShell") == {BARMAN_HOST: 1}


def test_programs_are_started_in_one_file():
    starters = {"subprocess", "multiprocessing", "asyncio", "pty"}
    imported = {
        path: {
            name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [it.name for it in node.names])
        }
        for path, tree in FILES.items()
    }
    assert [path for path, names in imported.items() if names & starters] == ["module_utils/_commands/program_group.py"]


def test_no_file_starts_programs_by_other_means():
    names = {
        node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        for tree in FILES.values()
        for node in ast.walk(tree)
    }
    assert {name for name in names if re.fullmatch(r"(exec|spawn)[lv]p?e?|posix_spawnp?|popen|system", name)} == set()
