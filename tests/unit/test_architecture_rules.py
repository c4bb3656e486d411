# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the house see a house that breaks them: each is shown a small one, first sound and then not."""

from __future__ import annotations

import ast

import pytest
from ansible_collections.pgfleet.standby.tests.unit.house import PACKAGE, Folder
from ansible_collections.pgfleet.standby.tests.unit.house_rules import (
    arrows_against,
    arrows_up,
    beside_the_folders,
    crowded,
    makers,
    starters,
    strangers_met,
    unused_names,
    unused_permissions,
    wrong_of_purity,
)

FOLDERS = {"_formats": Folder("Notations."), "_servers": Folder("Servers asked.", ("_formats",))}
# Two folders and the ground: one file reads a notation, the other asks a server for it.
SOUND = {
    "_errors": "__all__ = ['StandbyError']\nclass StandbyError(Exception): pass",
    "_formats.lsn": f"""
'''WAL positions. Pure.'''
from {PACKAGE}._errors import StandbyError
__all__ = ["parse_lsn"]
def parse_lsn(text): return int(text, 16)
""",
    "_servers.ask": f"""
'''Servers asked.'''
import socket
from {PACKAGE}._formats.lsn import parse_lsn
__all__ = ["Answer", "ask"]
class Answer: lsn: int
def ask(host) -> Answer: return parse_lsn(socket.gethostbyname(host))
""",
}
MODULE = f"from {PACKAGE}._servers.ask import ask"


def house(**changed):
    """The sound house with some files changed or added; two underscores stand for a folder's dot."""
    files = {**SOUND, **{f"_{name.replace('__', '.')}": text for name, text in changed.items()}}
    return {name: ast.parse(text) for name, text in files.items()}


def importing(*names, docstring=""):
    """A file that imports these units."""
    lines = [f"'''{docstring}'''", *(f"import {PACKAGE}.{name}" for name in names), "__all__ = []"]
    return "\n".join(lines)


def unused(units, others=(MODULE,), told=()):
    return unused_names(units, [ast.parse(text) for text in others], told)


def test_a_sound_house_breaks_no_rule():
    units = house()
    found = [arrows_against(units, FOLDERS), unused_permissions(units, FOLDERS), wrong_of_purity(units), unused(units)]
    assert [*found, arrows_up(FOLDERS), crowded(units, 14), strangers_met(units, ("_formats",), ("_servers",))] == [
        []
    ] * 7


class TestArrows:
    def test_an_import_that_the_table_does_not_allow(self):
        units = house(formats__lsn=importing("_servers.ask"))
        assert arrows_against(units, FOLDERS) == ["_formats.lsn imports _servers.ask"]

    def test_a_name_that_is_imported_counts_as_well(self):
        units = house(formats__lsn=f"from {PACKAGE}._servers.ask import ask")
        assert arrows_against(units, FOLDERS) == ["_formats.lsn imports _servers.ask"]

    def test_an_import_inside_of_a_function_counts_as_well(self):
        units = house(formats__lsn=f"def late():\n    from {PACKAGE}._servers import ask")
        assert arrows_against(units, FOLDERS) == ["_formats.lsn imports _servers.ask"]

    def test_the_ground_may_not_import_a_folder(self):
        assert arrows_against(house(errors=importing("_formats.lsn")), FOLDERS) == ["_errors imports _formats.lsn"]

    def test_a_file_that_the_table_does_not_know_may_import_the_ground_only(self):
        units = house(new=importing("_errors", "_formats.lsn"))
        assert arrows_against(units, FOLDERS) == ["_new imports _formats.lsn"]

    def test_an_import_that_is_relative_is_not_accepted(self):
        with pytest.raises(AssertionError, match="relative"):
            arrows_against(house(formats__lsn="from . import other"), FOLDERS)

    def test_a_permission_that_leads_up(self):
        table = {"_formats": Folder("Notations.", ("_servers",)), "_servers": Folder("Servers asked.")}
        assert arrows_up(table) == ["_formats may import _servers"]

    def test_a_permission_that_leads_nowhere(self):
        assert arrows_up({"_formats": Folder("Notations.", ("_nowhere",))}) == ["_formats may import _nowhere"]

    def test_a_permission_that_nobody_uses(self):
        units = house(servers__ask=importing("_errors"))
        assert unused_permissions(units, FOLDERS) == ["_servers may import _formats"]

    def test_strangers_that_meet_although_the_table_allows_it(self):
        assert strangers_met(house(), ("_servers",), ("_formats",)) == ["_servers.ask imports _formats.lsn"]


class TestPurity:
    @pytest.mark.parametrize(
        "acts",
        ["import os", "from time import monotonic", "import os.path", "open('x')", "def f():\n    import subprocess"],
    )
    def test_a_file_that_says_pure_and_is_not(self, acts):
        units = house(formats__lsn=f"'''Positions. Pure.'''\n{acts}\n__all__ = []")
        assert wrong_of_purity(units) == ["_formats.lsn says that it is pure"]

    def test_a_file_that_imports_one_that_is_not_pure(self):
        units = house(formats__lsn=importing("_servers.ask", docstring="Positions. Pure."))
        assert wrong_of_purity(units) == ["_formats.lsn says that it is pure"]

    def test_a_file_that_is_pure_and_does_not_say_so(self):
        units = house(formats__lsn=importing("_errors", docstring="Positions."))
        assert wrong_of_purity(units) == ["_formats.lsn is pure and does not say so"]


class TestOnePlace:
    @pytest.mark.parametrize(
        "starts",
        [
            "import subprocess",
            "from subprocess import run",
            "import os\nos.execvp('ls', [])",
            "import os\nos.system('')",
        ],
    )
    def test_a_file_that_starts_programs(self, starts):
        assert starters(house()) == []
        assert starters(house(formats__lsn=starts)) == ["_formats.lsn"]

    @pytest.mark.parametrize(
        ("text", "places"),
        [
            ("def f(): return Answer()", 1),
            ("def f(): return ask.Answer(Answer())", 2),
            ("class Answer:\n    def make(cls): return cls()", 1),
            ("class Other:\n    def make(cls): return cls()", 0),
            ("def f(given: Answer): return given", 0),
        ],
    )
    def test_places_that_make_an_object(self, text, places):
        assert makers(house(formats__lsn=text), "Answer") == ["_formats.lsn"] * places


class TestRoom:
    def test_a_folder_with_one_file_too_many(self):
        units = house(**{f"formats__file{number}": importing() for number in range(14)})
        assert crowded(units, 14) == ["_formats has 15 files"]

    def test_files_beside_the_folders_are_counted_apart(self):
        units = house(**{f"file{number}": importing() for number in range(15)})
        assert crowded(units, 14) == []
        assert len(beside_the_folders(units)) == 16


class TestNames:
    def test_a_name_that_no_other_file_uses(self):
        assert unused(house(), others=()) == ["_servers.ask.Answer", "_servers.ask.ask"]

    def test_a_name_that_only_its_own_file_uses(self):
        units = house(formats__lsn=SOUND["_formats.lsn"].replace('["parse_lsn"]', '["DIGITS", "parse_lsn"]'))
        assert unused(units) == ["_formats.lsn.DIGITS"]

    def test_a_file_that_is_imported_whole_counts_for_what_is_taken_of_it(self):
        whole = f"from {PACKAGE}._servers import ask as _ask\n_ask.ask('primary')"
        assert unused(house(), others=[whole]) == []
        assert unused(house(), others=[whole.partition("\n")[0]]) == ["_servers.ask.Answer", "_servers.ask.ask"]

    def test_a_name_that_the_forced_command_knows(self):
        assert unused(house(), others=(), told=["ask"]) == []

    @pytest.mark.parametrize(
        "offer",
        [
            "def ask() -> Answer: pass",
            "def ask() -> 'Answer': pass",
            "def ask() -> list[Answer] | None: pass",
            "def ask(host, *, before: Answer): pass",
            "class ask:\n    before: Answer",
            "class ask:\n    def get(self) -> Answer: pass",
            "class ask(Answer): pass",
        ],
    )
    def test_a_class_that_comes_with_what_is_used(self, offer):
        text = f"""from {PACKAGE}._formats.lsn import parse_lsn
__all__ = ["Answer", "ask"]
class Answer: pass
{offer}
"""
        assert unused(house(servers__ask=text)) == []
        assert unused(house(servers__ask=text), others=()) == ["_servers.ask.Answer", "_servers.ask.ask"]

    def test_a_class_that_only_a_function_s_body_uses(self):
        text = f"""from {PACKAGE}._formats.lsn import parse_lsn
__all__ = ["Answer", "ask"]
class Answer: pass
def ask(): return Answer()
"""
        assert unused(house(servers__ask=text)) == ["_servers.ask.Answer"]
