# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages for people: every link leads somewhere, every page can be found, and the state directory is told whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.tests.unit.pages import anchors, broken, headings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("roles/*/README.md"), *ROOT.glob("molecule/**/*.md"),
    *ROOT.glob("bench/**/*.md"),
]  # fmt: skip
TROUBLE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
CODES = (DOCS / "error_codes.md").read_text(encoding="utf-8")
# A heading that begins with code is that of an error code.
CODED = [heading.strip("`") for heading in headings(TROUBLE) if heading.startswith("`")]


# --- links ----------------------------------------------------------------------------
@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    assert broken(page, ROOT) == []


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("How to go on", "how-to-go-on"),
        ("`copy_killed`", "copy_killed"),
        ("The state directory, file by file", "the-state-directory-file-by-file"),
        ("A key, and `rrsync`!", "a-key-and-rrsync"),
        ("See [the page](page.md)", "see-the-page"),
    ],
)
def test_an_anchor_is_made_as_github_does(heading, anchor):
    assert anchors(f"text\n\n## {heading}\n") == {anchor}


def test_a_second_heading_of_the_same_words_has_a_number():
    assert anchors("# Slots\n## Slots\n### Slots\n") == {"slots", "slots-1", "slots-2"}


@pytest.mark.parametrize("link", ["nowhere.md", "there.md#gone", "#gone", "sub/there.md"])
def test_a_broken_link_is_seen(tmp_path, link):
    (tmp_path / "there.md").write_text("# Here\n```\n# gone\n```\n")
    page = tmp_path / "page.md"
    page.write_text(f"[sound](there.md#here), `[code](no-link.md)` and [broken]({link})\n")
    assert len(broken(page, tmp_path)) == 1


def test_the_index_has_every_page():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    names = {page.name for page in DOCS.glob("*.md")} - {"README.md"}
    assert {name for name in names if f"]({name}" not in index} == set()


def test_what_contributing_names_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = {path for path in re.findall(r"[`=]((?:\w+/)+[\w.]*)(?=[`\s])", text) if path.split("/")[0] != "fixtures"}
    assert len(paths) > 25
    places = (ROOT, ROOT / "plugins" / "module_utils")
    assert sorted(path for path in paths if not any((place / path).exists() for place in places)) == []
    targets = {word for line in re.findall(r"\bmake ([a-z-]+(?: [a-z-]+)*)", text) for word in line.split()}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = re.findall(r"^([a-z-]+(?: [a-z-]+)*):(?!=)", makefile, re.MULTILINE)
    assert targets - set(" ".join(known).split()) == set()


# --- error codes ----------------------------------------------------------------------
def rows(heading):
    """The rows of a section of error_codes.md, by their codes."""
    text = CODES.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return {row.split("`")[1]: row for row in text.splitlines() if row.startswith("| `")}


SECTIONS = re.findall(r"^## (.*)$", CODES, re.MULTILINE)


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_codes_of_a_section_are_in_order(heading):
    assert list(rows(heading)) == sorted(rows(heading))


def test_a_code_that_has_a_heading_leads_to_it():
    every = {code: row for heading in SECTIONS for code, row in rows(heading).items()}
    assert len(CODED) > 15
    assert [code for code in CODED if f"(troubleshooting.md#{code})" not in every.get(code, "")] == []


def test_a_code_that_is_named_beside_a_heading_leads_there():
    beside = re.findall(r"^### `(\w+)`\n\nAlso ([^.]*)\.", TROUBLE, re.MULTILINE)
    assert len(beside) > 5
    for code, others in beside:
        for other in re.findall(r"`(\w+)`", others):
            assert re.search(rf"^\| `{other}` \|.*\(troubleshooting\.md#{code}\)", CODES, re.MULTILINE), other


def test_a_code_that_is_met_in_the_middle_of_a_copy_leads_to_help():
    assert [code for code, row in rows("The copy").items() if "(troubleshooting.md#" not in row] == []


# --- the state directory --------------------------------------------------------------
def names_in_state_directory():
    """What the modules and the role make in the state directory, from the code: plain names, or how they begin."""
    found, unknown = set(), []
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        }
        loops = {
            node.target.id: node.iter
            for node in ast.walk(tree)
            if isinstance(node, ast.comprehension | ast.For) and isinstance(node.target, ast.Name)
        }
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "os.path.join":
                where, *rest = call.args
                if ast.unparse(where).rpartition(".")[2] != "state_directory":
                    continue
                made = names_of(rest[0], constants, loops)
                found |= made
                unknown += [] if made or is_listed(rest[0], loops) else [f"{path.name}: {ast.unparse(call)}"]
    for path in sorted((ROOT / "roles").rglob("*.yml")):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"_state_directory(?: }}| ~ ')/([\w.]+)", text))
    return found, unknown


def names_of(node, constants, loops):
    """The names that an expression may have; of a name that is put together, how it begins."""
    if isinstance(node, ast.Constant):
        return {node.value}
    if isinstance(node, ast.BinOp):
        return {f"{name}*" for name in names_of(node.left, constants, loops)}
    if isinstance(node, ast.Name) and node.id in constants:
        return {constants[node.id]}
    if isinstance(node, ast.Name) and isinstance(loops.get(node.id), ast.Tuple):
        return {one.value for one in loops[node.id].elts}
    return set()


def is_listed(node, loops):
    """Whether a name is one of those that are there already."""
    return isinstance(node, ast.Name) and "listdir" in ast.unparse(loops.get(node.id, ast.Constant(None)))


MADE, UNKNOWN = names_in_state_directory()


def test_every_name_in_the_state_directory_can_be_told_from_the_code():
    assert UNKNOWN == []
    assert {"state.json", "runner", "lock", "work", "own", "spool", "pg_control.*", "server.log"} <= MADE


def test_every_name_in_the_state_directory_is_explained_and_no_other():
    text = TROUBLE.partition("\n## The state directory, file by file\n")[2]
    first = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    explained = {name.rstrip("/") for cell in first for name in re.findall(r"`([^`]+)`", cell)}
    # Files that are being written have a name of their own for a moment.
    halves = {name for name in explained if re.fullmatch(r"\.?\w+\.json\.\*", name)}
    assert explained - halves == MADE
    assert {name.lstrip(".").removesuffix(".*") for name in halves} <= MADE
