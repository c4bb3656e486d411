# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make test` does with stages that fail: tests/gates/stages.py, run on a Makefile of our own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.tests.gates.stages import failed_tests

STAGES_PY = Path(__file__).resolve().parents[2] / "gates" / "stages.py"
ALL = "lint types unit artifact lab integration awx releases lab-test"
# What a recipe inherits from the make that runs the tests; a run in CI takes the lab down.
INHERITED = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "CI")
BOUND = 300  # seconds: more than any machine needs, so that a stage that hangs ends the test


class Checkout:
    """A directory with a Makefile: each of its stages says that it begins and ends, and fails if it is to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: list[subprocess.Popen[str]] = []
        self.program = [str(STAGES_PY)]
        self.recipes = dict.fromkeys(("prepare", "release-images", "lab-down", *ALL.split()), "")

    def start(self, stages: str = ALL, **env: str) -> subprocess.Popen[str]:
        rules = [
            f".PHONY: {stage}\n{stage}:\n\t@echo begin {stage} >>story\n{recipe}\t@echo end {stage} >>story\n"
            for stage, recipe in self.recipes.items()
        ]
        (self.path / "Makefile").write_text("\n".join(rules))
        inherited = {name: value for name, value in os.environ.items() if name not in INHERITED}
        command = [sys.executable, *self.program, *stages.split()]
        run = subprocess.Popen(command, cwd=self.path, env=inherited | env, stdout=subprocess.PIPE, text=True)
        self.runs.append(run)
        return run

    def end(self) -> None:
        """Those that a failed test has left."""
        for run in self.runs:
            run.terminate()
            run.communicate()

    def run(self, stages: str = ALL, **env: str) -> tuple[int, list[str]]:
        """The exit code, and the lines that were printed."""
        process = self.start(stages, **env)
        output, _errors = process.communicate(timeout=BOUND)
        return process.returncode, [line for line in output.splitlines() if line]

    def fails(self, stage: str, *lines: str) -> None:
        self.recipes[stage] = "".join(f"\t@echo '{line}'\n" for line in lines) + "\t@exit 3\n"

    @property
    def begun(self) -> list[str]:
        return [line.removeprefix("begin ") for line in self.story if line.startswith("begin ")]

    @property
    def story(self) -> list[str]:
        return (self.path / "story").read_text().splitlines()


@pytest.fixture
def checkout(tmp_path):
    checkout = Checkout(tmp_path)
    yield checkout
    checkout.end()


def summary(lines):
    """What comes after the lines of the stages."""
    return lines[lines.index("Failed:") :]


def test_all_stages_pass(checkout):
    code, lines = checkout.run()
    assert code == 0
    assert lines[-1] == "11 passed, 0 failed"
    assert sorted(checkout.begun) == sorted({"prepare", "release-images", *ALL.split()})
    assert "Failed:" not in lines


def test_what_does_not_need_a_failed_stage_is_run(checkout):
    checkout.fails("unit")
    code, lines = checkout.run()
    assert code == 1
    assert set(ALL.split()) <= set(checkout.begun)
    assert summary(lines) == ["Failed:", "  unit (all of its log: .build/log/unit.log)", "10 passed, 1 failed"]


@pytest.mark.parametrize(
    ("failed", "not_run"),
    [
        ("artifact", ["awx"]),
        ("lab", ["integration", "awx", "lab-test"]),
        ("release-images", ["releases"]),
        ("prepare", ["release-images", *ALL.split()]),
    ],
)
def test_what_needs_a_failed_stage_is_not_run_and_has_not_passed(checkout, failed, not_run):
    checkout.fails(failed)
    code, lines = checkout.run()
    assert code == 1
    assert not set(not_run) & set(checkout.begun)
    assert sorted(line.split()[0] for line in summary(lines) if "not run" in line) == sorted(not_run)
    assert lines[-1] == f"{11 - 1 - len(not_run)} passed, {1 + len(not_run)} failed"


def test_a_stage_that_was_not_run_says_what_it_needs(checkout):
    checkout.fails("lab")
    _code, lines = checkout.run("lab integration")
    assert summary(lines)[2:] == ["  integration (not run: it needs lab)", "1 passed, 2 failed"]


def test_what_a_stage_needs_is_run_unasked(checkout):
    checkout.run("awx")
    assert checkout.begun == ["prepare", "artifact", "lab", "awx"]


def test_the_end_of_the_log_of_a_failed_stage_is_shown(checkout):
    checkout.fails("lint", *(f"line {number}" for number in range(200)), "the reason")
    _code, lines = checkout.run("lint types")
    assert "    the reason" in lines
    assert "    line 199" in lines
    assert "    line 1" not in lines


def test_all_that_failed_is_listed_at_the_end(checkout):
    checkout.fails(
        "unit", "FAILED tests/unit/test_a.py::test_b[x y] - assert 1 == 2", "FAILED tests/unit/test_a.py::test_c"
    )
    checkout.fails("types", "plugins/a.py:7: error: Name is not defined  [name-defined]")
    _code, lines = checkout.run("types unit lint")
    assert summary(lines) == [
        "Failed:",
        "  types (all of its log: .build/log/types.log)",
        "    plugins/a.py",
        "  unit (all of its log: .build/log/unit.log)",
        "    tests/unit/test_a.py::test_b[x y]",
        "    tests/unit/test_a.py::test_c",
        "2 passed, 2 failed",
    ]


def test_releases_run_beside_the_plays_on_the_lab_and_end_before_three_of_them_run_at_once(checkout):
    # A named pipe is opened by both ends or by none: each of the two stages waits for the other one.
    os.mkfifo(checkout.path / "both")
    checkout.recipes["releases"] = "\t@echo releases >both\n"
    checkout.recipes["integration"] = "\t@cat both\n"
    code, lines = checkout.run()
    assert (code, lines[-1]) == (0, "11 passed, 0 failed")
    story = checkout.story
    assert story.index("end lab") < story.index("begin releases")
    assert story.index("end releases") < story.index("begin lab-test")


def test_stages_that_need_both_cores_run_one_by_one(checkout):
    checkout.run()
    beside = ("release-images", "releases")
    one_by_one = ["prepare", *(stage for stage in ALL.split() if stage not in beside)]
    story = [line for line in checkout.story if line.split()[1] not in beside]
    assert story == [f"{word} {stage}" for stage in one_by_one for word in ("begin", "end")]


# It tells through the pipe `begun` that it has begun, and that it was ended.
LASTS = "\t@exec 3>begun; trap 'echo ended >&3; exit 1' TERM; echo begun >&3; sleep 100000 3>&- & wait\n"


def test_who_ends_the_run_ends_the_stages_beside(checkout):
    os.mkfifo(checkout.path / "begun")
    checkout.recipes["release-images"] = LASTS
    checkout.recipes["lint"] = "\t@exec sleep 100000\n"
    run = checkout.start("lint releases")
    with (checkout.path / "begun").open() as pipe:
        assert pipe.readline() == "begun\n"
        run.send_signal(signal.SIGTERM)
        assert run.wait(BOUND) != 0
        assert pipe.read() == "ended\n"


# The signal comes when a stage's processes run, and before anybody has noted them.
ENDED_WHILE_A_STAGE_BEGINS = """\
import os, pathlib, signal, sys
sys.path.insert(0, sys.argv.pop(1))
import stages
begun = stages.begin
def begin(stage):
    running = begun(stage)
    if stage == "release-images":
        pathlib.Path("begun").read_text()
        os.kill(os.getpid(), signal.SIGTERM)
    return running
stages.begin = begin
stages.main(sys.argv[1:])
"""


def test_a_stage_that_begins_when_the_run_is_ended_is_ended_as_well(checkout):
    os.mkfifo(checkout.path / "begun")
    checkout.recipes["release-images"] = (
        "\t@trap 'echo ended >heard; exit 1' TERM; echo begun >begun; sleep 100000 & wait\n"
    )
    checkout.program = ["-c", ENDED_WHILE_A_STAGE_BEGINS, str(STAGES_PY.parent)]
    code, _lines = checkout.run("releases")
    assert code != 0
    assert (checkout.path / "heard").read_text() == "ended\n"


def test_a_run_that_was_ended_says_how_far_its_stages_have_come(checkout):
    os.mkfifo(checkout.path / "begun")
    checkout.recipes["unit"] = (
        "\t@echo '[gw1] [ 7%] FAILED tests/unit/test_a.py::test_b '\n\t@echo slow >begun; exec sleep 100000\n"
    )
    run = checkout.start("lint unit types")
    assert (checkout.path / "begun").read_text() == "slow\n"
    run.send_signal(signal.SIGTERM)
    output, _errors = run.communicate(timeout=BOUND)
    told = [line for line in output.splitlines() if line]
    assert [line.split()[:2] for line in told[:3]] == [["ok", "prepare"], ["ok", "lint"], ["ended", "unit"]]
    assert told[3:5] == ["    tests/unit/test_a.py::test_b", "    [gw1] [ 7%] FAILED tests/unit/test_a.py::test_b "]


def test_in_ci_the_lab_is_taken_down_before_and_after(checkout):
    checkout.fails("lint")
    checkout.run("lint", CI="true")
    assert checkout.begun[0] == checkout.begun[-1] == "lab-down"
    assert checkout.begun.count("lab-down") == 2


# A line as the tool prints it, and the name that is told of it.
NAMES = {
    "FAILED tests/unit/test_a.py::TestB::test_c - AssertionError: no": "tests/unit/test_a.py::TestB::test_c",
    "FAILED tests/unit/test_a.py::test_b[a - b]": "tests/unit/test_a.py::test_b[a - b]",
    "[gw1] [ 42%] FAILED tests/lab/test_a.py::test_b[x-y] ": "tests/lab/test_a.py::test_b[x-y]",
    "ERROR tests/lab/test_a.py::test_b - LabError: the lab is down": "tests/lab/test_a.py::test_b",
    "ERROR tests/lab/test_a.py - ImportError: no": "tests/lab/test_a.py",
    "ERROR tests/lab/test_a.py": "tests/lab/test_a.py",
    "FAIL  ruff check .": "ruff check .",
    "ansible_collections/a/b.py:12: error: Incompatible types": "ansible_collections/a/b.py",
    "default > converge: Executed: Failed (Ansible return code was 2)": "default > converge",
}


@pytest.mark.parametrize("line", NAMES)
def test_a_tool_names_what_failed(line):
    assert failed_tests(f"before\n{line}\n{line}\nafter\n") == [NAMES[line]]


@pytest.mark.parametrize("kind", ["sanity", "integration"])
def test_ansible_test_names_what_failed(kind):
    head = f"ERROR: The 2 {kind} test(s) listed below (out of 40) failed. See error output above for details."
    assert failed_tests(f"before\n{head}\na\nb\nafter\n") == ["a", "b"]


@pytest.mark.parametrize(
    "line", ["ERROR! no such play", "FAILED - RETRYING: [n1]: Wait (3 retries left).", "ok    ruff"]
)
def test_what_is_no_name_is_not_told(line):
    assert failed_tests(line) == []
