# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every error code that a user may see is explained in docs/error_codes.md, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A preflight's problems together, and what the role says of a task that told no code.
TOGETHER = {"preflight_failed"}


def constants(node: ast.AST) -> set[str]:
    return {child.value for child in ast.walk(node) if isinstance(child, ast.Constant) and isinstance(child.value, str)}


def refusals_in(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refusal":
            yield node


def codes_in(source: str) -> set[str]:
    """The codes of all refusals: the first argument, unless it is passed on from another refusal."""
    found: set[str] = set()
    for call in refusals_in(source):
        if call.args and not isinstance(call.args[0], ast.Attribute | ast.Name | ast.Call):
            found |= constants(call.args[0])
    return found


def test_every_code_is_explained():
    used = set(TOGETHER)
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        used |= codes_in(path.read_text())
    # What failed without a code gets one from the role.
    for path in sorted((ROOT / "roles").rglob("*.yml")):
        used |= set(re.findall(r"error_code \| default\('(\w+)'\)", path.read_text()))
    explained = re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "error_codes.md").read_text(), re.MULTILINE)
    assert len(used) > 40
    assert sorted(explained) == sorted(used)


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ('Refusal("a_b", "It is.", "mend it")', {"a_b"}),
        ('Refusal("a_b" if full else "c_d", "It is.", "mend it")', {"a_b", "c_d"}),
        ('Refusal(reason.code, f"{reason.found}", "mend it")', set()),
        ('StandbyError("It is.", "a_b")', set()),
    ],
)
def test_codes_are_the_first_word_of_a_refusal(source, codes):
    assert codes_in(source) == codes


# Ansible's own exceptions on the controller take a text and have no code.
CONTROLLER = (ROOT / "plugins" / "action", ROOT / "plugins" / "plugin_utils")
# The words themselves, and what takes them apart that another module has failed with.
KNOW_THE_WORD = {"_errors.py"}


def test_there_is_one_way_to_refuse():
    """Nothing but a refusal says what comes next, so that a message has a code and a step, always in this order."""
    elsewhere = []
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        if any(map(path.is_relative_to, CONTROLLER)) or path.name in KNOW_THE_WORD:
            continue
        tree = ast.parse(path.read_text())
        documentation = {id(node.value) for node in tree.body if isinstance(node, ast.Assign)}
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
            if is_text and "Next: " in node.value:
                elsewhere.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert elsewhere == []
