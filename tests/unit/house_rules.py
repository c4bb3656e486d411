# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules of the house find in a set of units. A unit is a file of module_utils, such as ``_pgdata.state``.

Every function takes parsed files by their names, so that a test can show it a house that breaks the rule.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ansible_collections.pgfleet.standby.tests.unit.house import GROUND, MODULE_SIDE, PACKAGE, Folder

Units = Mapping[str, ast.Module]

# A file that imports one of these, or calls one of those, has a clock or acts.
OUTSIDE_WORLD = {
    "ctypes", "datetime", "errno", "fcntl", "glob", "io", "mmap", "multiprocessing", "os", "pathlib", "psycopg2", "pwd",
    "random", "resource", "secrets", "select", "selectors", "shutil", "signal", "socket", "subprocess", "sys", "syslog",
    "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
ACTS = {"open", "input", "print"}
# What starts programs.
STARTS = {"asyncio", "multiprocessing", "pty", "subprocess"}
SYSTEM_CALL = re.compile(r"(exec|spawn)[lv]p?e?|posix_spawnp?|popen|system")


def read(directory: Path) -> dict[str, ast.Module]:
    """All files below a directory, parsed, by their names with dots."""
    return {
        ".".join(path.relative_to(directory).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(directory.rglob("*.py"))
    }


# --- what a file says of itself -------------------------------------------------------
def top(name: str) -> str:
    """The folder of a unit; of a file beside the folders, the file."""
    return name.partition(".")[0]


def imports(tree: ast.Module) -> Iterator[str]:
    """Every module that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import that is relative says less"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(tree: ast.Module, units: Collection[str]) -> set[str]:
    """The units that a file imports, or of which it imports a name."""
    names = {name[len(PACKAGE) + 1 :] for name in imports(tree) if name.startswith(f"{PACKAGE}.")}
    return {name if name in units else name.rpartition(".")[0] for name in names}


def libraries(tree: ast.Module) -> set[str]:
    """The top-level packages that a file imports."""
    return {top(name) for name in imports(tree)}


def calls(tree: ast.AST) -> list[str | None]:
    """The last name of everything that is called."""
    return [
        getattr(node.func, "attr", getattr(node.func, "id", None))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


def offered(tree: ast.Module) -> list[str]:
    """What ``__all__`` says."""
    [names] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__"
    ]
    return names


def definitions(tree: ast.Module) -> dict[str, ast.AST]:
    """The functions, classes and constants of a file."""
    found: dict[str, ast.AST] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found.update({target.id: node.value for target in node.targets if isinstance(target, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = node.value
    return found


def says_pure(tree: ast.Module) -> bool:
    """Whether a file's docstring promises it."""
    return " Pure" in (ast.get_docstring(tree) or "")


# --- the rules ------------------------------------------------------------------------
def arrows_against(units: Units, folders: Mapping[str, Folder]) -> list[str]:
    """Imports that the table does not allow."""
    return [
        f"{name} imports {other}"
        for name, tree in units.items()
        for other in sorted(ours(tree, units))
        if top(other) not in (*GROUND, top(name), *(folders[top(name)].may_import if top(name) in folders else ()))
    ]


def arrows_up(folders: Mapping[str, Folder]) -> list[str]:
    """Permissions that lead to a folder which does not stand before."""
    names = list(folders)
    return [
        f"{name} may import {other}"
        for place, (name, folder) in enumerate(folders.items())
        for other in folder.may_import
        if other not in names[:place]
    ]


def unused_permissions(units: Units, folders: Mapping[str, Folder]) -> list[str]:
    """Permissions that no file makes use of."""
    used = {(top(name), top(other)) for name, tree in units.items() for other in ours(tree, units)}
    return [
        f"{name} may import {other}"
        for name, folder in folders.items()
        for other in folder.may_import
        if (name, other) not in used
    ]


def strangers_met(units: Units, who: Collection[str], whom: Collection[str]) -> list[str]:
    """Imports of one of ``whom`` in a folder of ``who``, whatever the table says."""
    return [
        f"{name} imports {other}"
        for name, tree in units.items()
        if top(name) in who
        for other in sorted(ours(tree, units))
        if top(other) in whom
    ]


def is_pure(name: str, units: Units) -> bool:
    """Whether a file has no clock, does not act, and imports no file beside the ground that is not pure itself."""
    tree = units[name]
    acts = libraries(tree) & OUTSIDE_WORLD or ACTS & set(calls(tree))
    return not acts and all(says_pure(units[other]) for other in ours(tree, units) if other not in GROUND)


def wrong_of_purity(units: Units) -> list[str]:
    """Files that say *Pure* and are not, or are and do not say so."""
    judged = {name: tree for name, tree in units.items() if name not in (*GROUND, *MODULE_SIDE)}
    return [
        f"{name} {'says that it is pure' if says_pure(tree) else 'is pure and does not say so'}"
        for name, tree in judged.items()
        if says_pure(tree) != is_pure(name, units)
    ]


def starters(units: Units) -> list[str]:
    """Files that start a program, by a library or by a call of the system."""
    return [
        name
        for name, tree in units.items()
        if libraries(tree) & STARTS or any(SYSTEM_CALL.fullmatch(str(word)) for word in calls(tree))
    ]


def makers(units: Units, name: str) -> list[str]:
    """The files that make an object of a class, one item for each place; a class method of it makes one by ``cls``."""
    return [
        unit for unit, tree in units.items() for word in [*calls(tree), *_calls_of_itself(tree, name)] if word == name
    ]


def _calls_of_itself(tree: ast.Module, name: str) -> list[str]:
    """The class's name for every ``cls(...)`` in it."""
    found = definitions(tree).get(name)
    return [name for word in (calls(found) if isinstance(found, ast.ClassDef) else ()) if word == "cls"]


def crowded(units: Collection[str], most: int) -> list[str]:
    """Folders with more files than can be seen at one glance."""
    counts: dict[str, int] = {}
    for name in units:
        if "." in name:
            counts[top(name)] = counts.get(top(name), 0) + 1
    return [f"{folder} has {count} files" for folder, count in counts.items() if count > most]


def beside_the_folders(units: Collection[str]) -> list[str]:
    """The files that are in no folder."""
    return sorted(name for name in units if "." not in name)


def unused_names(units: Units, others: Iterable[ast.Module], told: Collection[str]) -> list[str]:
    """What a file offers in ``__all__`` and no other file uses.

    ``others`` are the files that are no units: modules and plugins. ``told`` are names that are used as text, by which
    the forced command knows what may run on the Barman host. A class in the signature of something that is used is
    used, too.
    """
    used = {name for tree in (*units.values(), *others) for name in _used(tree, units)}
    found = []
    for name, tree in units.items():
        names, defined = set(offered(tree)), definitions(tree)
        reached = [word for word in sorted(names) if f"{name}.{word}" in used or word in told]
        for word in reached:  # it grows on the way
            reached += sorted(_in_signature(defined.get(word)) & names - set(reached))
        found += [f"{name}.{word}" for word in sorted(names - set(reached))]
    return found


def _used(tree: ast.Module, units: Collection[str]) -> Iterator[str]:
    """The names of units that a file imports, or reaches through a unit that it has imported."""
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{PACKAGE}."):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"[len(PACKAGE) + 1 :]
                if name in units:
                    modules[alias.asname or alias.name] = name
                else:
                    yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield f"{modules[node.value.id]}.{node.attr}"


def _in_signature(node: ast.AST | None) -> set[str]:
    """The names in what a function takes and returns, or in the fields, bases and methods' signatures of a class."""
    if isinstance(node, ast.FunctionDef):
        parts = [argument.annotation for argument in ast.walk(node.args) if isinstance(argument, ast.arg)]
        parts.append(node.returns)
    elif isinstance(node, ast.ClassDef):
        parts = [*node.bases, *(field.annotation for field in node.body if isinstance(field, ast.AnnAssign))]
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        return _names(parts).union(*map(_in_signature, methods))
    else:
        parts = [node]
    return _names(parts)


def _names(parts: Iterable[ast.AST | None]) -> set[str]:
    nodes = [node for part in parts if part is not None for node in ast.walk(part)]
    quoted = [
        ast.parse(node.value, mode="eval")
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier()
    ]
    nodes += [node for tree in quoted for node in ast.walk(tree)]
    return {node.id for node in nodes if isinstance(node, ast.Name)}
