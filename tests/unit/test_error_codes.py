# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every error code that a user may see is explained in docs/error_codes.md, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Which argument of these calls is the code.
POSITIONS = {"StandbyError": 1, "Diagnosis": 0, "Verdict": 3, "problem": 1, "warning": 1, "_needs": 3}
BY_ASSIGNMENT = {"code"}
BY_KEYWORD = {"error_code"}


def constants(node: ast.AST) -> set[str]:
    return {child.value for child in ast.walk(node) if isinstance(child, ast.Constant) and isinstance(child.value, str)}


def codes_in(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in POSITIONS:
            position = POSITIONS[node.func.id]
            # A code that is passed on is told where it comes from.
            if len(node.args) > position and not isinstance(node.args[position], ast.Attribute | ast.Call):
                found |= constants(node.args[position])
        elif isinstance(node, ast.keyword) and node.arg in BY_KEYWORD and isinstance(node.value, ast.Constant):
            found |= constants(node.value)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in BY_ASSIGNMENT:
            found |= constants(node.value) if isinstance(node.value, ast.Constant) else set()
    return found


def test_every_code_is_explained():
    used = {"preflight_failed"}
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        used |= {code for code in codes_in(path.read_text()) if re.fullmatch(r"[a-z0-9]+(_[a-z]+)+|interrupted", code)}
    explained = re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "error_codes.md").read_text(), re.MULTILINE)
    assert len(used) > 40
    assert sorted(explained) == sorted(used)
