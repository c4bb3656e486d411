# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules of one kind return under one name is one thing: RETURN has no fragments, so copies are held equal."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

MODULES = Path(__file__).parents[2] / "plugins" / "modules"
# Modules that do the same in other ways.
COPYING = ("standby_basebackup", "standby_clone", "standby_restore")
KEEPING = ("barman_backup_keep", "barman_backup_stage")
# What is a word for word copy. The other values say in their own words what copies, or what is claimed.
SAME_WORDS = {
    "backup_id": ("standby_clone", "standby_restore"),
    "bytes": COPYING,
    "files": ("standby_clone", "standby_restore"),
    "finished": ("standby_basebackup", "standby_clone"),
    "kept_old": COPYING,
    "left_behind": ("standby_clone", "standby_restore"),
    "run": ("standby_basebackup", "standby_clone"),
    "seconds": COPYING,
}


def returns(module):
    for node in ast.parse((MODULES / f"{module}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "RETURN":
            return yaml.safe_load(ast.literal_eval(node.value))
    raise LookupError(f"{module} has no RETURN")


def shape(value):
    """The types of a value, and what its sample is made of."""
    sample = value.get("sample")
    return (value["type"], value.get("elements"), sorted(sample) if isinstance(sample, dict) else type(sample).__name__)


def shared(modules):
    """What at least two of the modules return, with each of them."""
    documented = {module: returns(module) for module in modules}
    names = {name for values in documented.values() for name in values}
    found = {name: {module for module in modules if name in documented[module]} for name in sorted(names)}
    return [(name, sorted(having)) for name, having in found.items() if len(having) > 1]


@pytest.mark.parametrize(("name", "modules"), [*shared(COPYING), *shared(KEEPING)])
def test_one_name_has_one_shape(name, modules):
    shapes = {module: shape(returns(module)[name]) for module in modules}
    assert all(found == shapes[modules[0]] for found in shapes.values()), shapes


@pytest.mark.parametrize(("name", "modules"), SAME_WORDS.items(), ids=SAME_WORDS)
def test_a_copy_is_word_for_word(name, modules):
    first, *others = (returns(module)[name] for module in modules)
    assert others == [first] * len(others)
