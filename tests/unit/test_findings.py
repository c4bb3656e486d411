"""Each finding is a script that can be run, says what it is about, and stands in the table of findings/README.md."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "findings"
# What the scripts share.
LIBRARY = FOLDER / "lib.sh"
SCRIPTS = sorted(set(FOLDER.glob("*.sh")) - {LIBRARY})
FIELDS = ("Software", "Guess", "Seen", "Source")


def header(script: Path) -> str:
    """The comment at the top, without the line that names the interpreter."""
    lines = script.read_text(encoding="utf-8").splitlines()[1:]
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(lines[:end])


def table() -> dict[str, str]:
    """The software of each script, by the script's name, as the table tells it."""
    rows = re.findall(
        r"^\| `(\w+\.sh)` \| ([^|]+) \| [^|]+\. \|$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.M
    )
    return dict(rows)


def test_there_are_findings():
    assert SCRIPTS


def test_the_table_names_exactly_the_scripts():
    assert sorted(table()) == [script.name for script in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
class TestScript:
    def test_can_be_run_and_is_seen_by_the_linter(self, script):
        assert os.access(script, os.X_OK)
        assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")

    def test_tells_software_guess_what_is_seen_and_the_source(self, script):
        told = re.findall(r"^# (\w+): \S", header(script), re.MULTILINE)
        assert tuple(told) == FIELDS

    def test_software_has_the_versions_of_the_table(self, script):
        versions = re.findall(r"\d+\.\d+(?:\.\d+)?", table()[script.name])
        assert versions
        assert [version for version in versions if version not in header(script)] == []

    def test_ends_with_the_verdict(self, script):
        assert script.read_text(encoding="utf-8").splitlines()[-1] == "verdict"

    def test_installs_pinned_packages_only(self, script):
        installed = re.findall(r"^packages (.+)$", script.read_text(encoding="utf-8"), re.MULTILINE)
        names = [name for line in installed for name in line.split()]
        assert [name for name in names if "==" not in name] == []
