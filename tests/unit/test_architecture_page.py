# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/architecture.md shows the house as it is: its table, its drawing, its nevers, and the way of the data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.tests.unit.house import FOLDERS, GROUND, GROUND_SENTENCE, NEVERS
from ansible_collections.pgfleet.standby.tests.unit.house_rules import definitions, read

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
UTILS = ROOT / "plugins" / "module_utils"
UNITS = read(UTILS)


def section(heading):
    """The text of a section of the page."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def table(heading):
    """The cells of a section's table, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def shown(name):
    """A folder as the page has it, or a file beside the folders."""
    return f"`{name}/`" if (UTILS / name).is_dir() else f"`{name}.py`"


def test_the_table_is_that_of_the_test():
    ground = [", ".join(map(shown, GROUND)), GROUND_SENTENCE, "nothing"]
    folders = [
        [shown(name), folder.sentence, ", ".join(f"`{other}`" for other in folder.may_import) or "nothing"]
        for name, folder in FOLDERS.items()
    ]
    assert table("The folders") == [ground, *folders]


def test_the_nevers_are_those_of_the_test():
    found = re.findall(r"^- (.*(?:\n  .*)*)", section("What never happens"), re.MULTILINE)
    assert [" ".join(never.split()) for never in found] == [never.sentence for never in NEVERS]


class TestDrawing:
    drawing = section("The folders").partition("```text\n")[2].partition("```")[0]
    floors = tuple(re.findall(r"(?<!\S)_\w+", line) for line in drawing.splitlines()[1:])

    def test_every_folder_is_on_one_floor(self):
        assert sorted(name for floor in self.floors for name in floor) == sorted([*FOLDERS, *GROUND])

    @pytest.mark.parametrize("name", FOLDERS)
    def test_what_a_folder_may_import_is_below_it(self, name):
        [floor] = [number for number, names in enumerate(self.floors) if name in names]
        below = {other for names in self.floors[floor + 1 :] for other in names}
        assert set(FOLDERS[name].may_import) <= below
        assert set(GROUND) <= below


class TestWayOfTheData:
    rows = table("The way of the data")

    def test_it_has_nine_forms(self):
        assert [row[0] for row in self.rows] == [str(number) for number in range(1, 10)]

    @pytest.mark.parametrize("path", sorted(set(re.findall(r"`(_\w+/\w+)\.py`", PAGE))))
    def test_a_file_that_is_named_exists(self, path):
        assert path.replace("/", ".") in UNITS

    def test_a_class_that_is_named_is_in_one_of_the_files(self):
        for _number, form, _what, where in self.rows:
            files = [UNITS[path.replace("/", ".")] for path in re.findall(r"`(_\w+/\w+)\.py`", where)]
            names = re.findall(r"`([A-Za-z_]+)`", form + re.sub(r"`_\w+/\w+\.py`", "", where))
            known = set().union(*map(definitions, files))
            assert [name for name in names if name not in {*known, "find"}] == []


def test_every_invariant_has_its_row():
    assert [row[0] for row in table("The invariants")] == [f"I{number}" for number in range(1, 11)]


def test_the_words_of_the_glossary_are_in_order():
    words = [row[0].strip("*").casefold() for row in table("Glossary")]
    assert len(words) > 20
    assert words == sorted(words)
