# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The groups for module_defaults: whoever takes a group's options is in it, and nobody else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GROUPS = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
OPTIONS = {
    "barman": {"barman_host", "ssh_options", "barman_server", "barman_config", "barman_executable"},
    "cluster": {"data_directory", "state_directory", "pg_bindir"},
    "login": {"login_user"},
    "restore": {"restore_command", "restore_jobs", "restore_compression"},
    "target": {"waldir", "tablespace_mapping", "overwrite", "keep_old"},
    "upstream": {"upstream_conninfo", "replication_user", "upstream_password", "passfile"},
}


def documentation(path):
    """What a plugin's file says in its text DOCUMENTATION, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            return yaml.safe_load(ast.literal_eval(node.value))
    raise LookupError(path)


def options(module):
    """All options of a module, those of its fragments among them."""
    said = documentation(module)
    found = set(said.get("options", {}))
    for fragment in said.get("extends_documentation_fragment", []):
        name = fragment.removeprefix("pgfleet.standby.").partition(".")[0]
        found |= set(documentation(ROOT / "plugins" / "doc_fragments" / f"{name}.py")["options"])
    return found


MODULES = {f"pgfleet.standby.{path.stem}": options(path) for path in (ROOT / "plugins" / "modules").glob("*.py")}


def members(group):
    """Its modules, and those of the groups that it extends."""
    for member in GROUPS[group]:
        if isinstance(member, dict):
            for name in member["metadata"]["extend_group"]:
                yield from members(name.removeprefix("pgfleet.standby."))
        else:
            yield member


@pytest.mark.parametrize("group", OPTIONS)
def test_a_group_is_of_those_who_take_its_options(group):
    assert sorted(members(group)) == sorted(name for name, options in MODULES.items() if OPTIONS[group] <= options)


def test_all_are_in_one_group():
    assert set(members("all")) == set(MODULES)
