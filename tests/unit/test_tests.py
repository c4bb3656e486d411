# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every file of the tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# Not what ansible-test leaves below tests/output.
FILES = sorted(path for path in TESTS.rglob("*.py") if path.relative_to(TESTS).parts[0] != "output")
MIRROR = TESTS / "unit" / "plugins" / "module_utils"
SOURCES = TESTS.parent / "plugins" / "module_utils"


def name_of(path):
    return str(path.relative_to(TESTS))


def modules_of(path):
    """The last names of all modules that a file imports, and of what it imports from them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[-1] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "").split(".")[-1], *(name.name for name in node.names))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_is_longer_than_one_can_overlook(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_imports_a_test(path):
    assert [name for name in modules_of(path) if name.startswith("test_")] == []


@pytest.mark.parametrize("path", sorted(MIRROR.rglob("test_*.py")), ids=name_of)
def test_a_unit_test_is_where_its_file_is(path):
    """A file's tests may be several: test_x.py and test_x_what.py are about x.py."""
    folder = SOURCES / path.parent.relative_to(MIRROR)
    about = path.stem.removeprefix("test_")
    sources = [source.stem.lstrip("_") for source in folder.glob("*.py")]
    assert [name for name in sources if about == name or about.startswith(f"{name}_")] != []
