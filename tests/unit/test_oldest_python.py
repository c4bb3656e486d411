# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on managed nodes and on the Barman host starts on Python 3.8, where mypy does not see why not.

Before Python 3.9 the classes of the standard library take no types in brackets: ``Callable[[int], bytes]`` of
collections.abc fails (PEP 585). In an annotation that is well, for it is not evaluated (PEP 563).
"""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    ROOT / "roles" / "standby_from_barman" / "files" / "pgfleet_barman_only.py",
    *sorted((ROOT / "plugins" / "module_utils").rglob("*.py")),
    *sorted((ROOT / "plugins" / "modules").rglob("*.py")),
]
# Classes of the standard library whose names do not look so.
CLASSES = {"array", "defaultdict", "deque"} | {
    name for name, value in vars(builtins).items() if isinstance(value, type) and name.islower()
}


def annotations(tree):
    for node in ast.walk(tree):
        yield from (getattr(node, name, None) for name in ("annotation", "returns"))


def evaluated(tree):
    """All nodes but those in annotations, and what only a type checker reads."""
    unread = [one for one in annotations(tree) if one is not None]
    unread += [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    skipped = {id(node) for one in unread for node in ast.walk(one)}
    return [node for node in ast.walk(tree) if id(node) not in skipped]


def is_class(name):
    return name in CLASSES or (name[:1].isupper() and not name.isupper())


def generic_classes(tree):
    """The classes of the standard library that are given types in brackets when the code runs."""
    of_typing = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "typing"
        for alias in node.names
    }
    names = [ast.unparse(node.value) for node in evaluated(tree) if isinstance(node, ast.Subscript)]
    return [
        name
        for name in names
        if is_class(name.rpartition(".")[2]) and name not in of_typing and not name.startswith("typing.")
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_gives_no_class_types_in_brackets_when_it_runs(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert generic_classes(tree) == []
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from collections.abc import Callable\nRead = Callable[[int], bytes]", ["Callable"]),
        ("import re\nPattern = re.Pattern[str]", ["re.Pattern"]),
        ("from typing import cast\ndef f(): return cast(list[int], 1)", ["list"]),
        ("from array import array\nUnits = array[int]", ["array"]),
        ("from typing import Callable, Dict\nRead = Callable[[int], Dict[str, str]]", []),
        ("def f(read: Callable[[int], bytes]) -> list[int]: units: array[int] = []", []),
        ("from re import DEBUG\nFIELDS = {}\nfirst = FIELDS[0]\nsecond = sys.argv[1]", []),
    ],
)
def test_it_is_seen(text, found):
    assert generic_classes(ast.parse(text)) == found
