"""Run the stages of `make test` in order, and tell at the end all that failed.

A stage that fails ends no other but those that need it. The log of every stage is .build/log/STAGE.log below the
directory where this is run: the root of the checkout, which has the Makefile with the stages.

usage: stages.py STAGE...
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# What a stage cannot do without. When that fails, the stage is not run. All but the first need `prepare`.
FIRST = "prepare"
NEEDS: dict[str, tuple[str, ...]] = {
    "awx": ("artifact", "lab"),
    "integration": ("lab",),
    "molecule": ("lab",),
    "lab-test": ("lab",),
    "releases": ("release-images",),
}
# Stages that mostly wait, for a mirror or for hosts of their own: they run beside the others, which run one by one.
BESIDE = ("release-images", "releases")
# A stage that does not begin before the other has ended, well or not. `lab` comes after all that need both cores, and
# by then all is made that the plays on the lab's hosts share with `releases`; `lab-test` runs three plays at a time.
NOT_BEFORE = {"releases": "lab", "lab-test": "releases"}
# `releases` makes nothing again under the feet of the stages beside it.
MAKE = {
    "release-images": ("nice", "make"),
    "releases": ("make", "-o", "prepare", "-o", "release-images"),
}

LOGS = Path(".build", "log")
LINES_OF_A_FAILURE = 100
CHARACTERS_OF_A_LINE = 400  # a module's whole result is a line
NAMES_OF_A_STAGE = 50

# How the stages' tools name a failure, one to a line; the group is the name.
ONE_TO_A_LINE = re.compile(
    r"""
      (?:\[gw\d+\]\s\[[ \d]+%\]\s)?  # while it runs, or in its short summary
      (?:FAILED|ERROR)\s(?P<pytest>\S+\.py(?:::[^[\s]+(?:\[.*?\])?)?)(?:\s|\s-\s.*)?
    | FAIL\s\s(?P<lint>.+)                                         # lint.sh
    | (?P<mypy>\S+\.py):\d+:\serror:\s.*
    | (?P<molecule>\S+\s>\s\S+):\sExecuted:\sFailed\b.*
    """,
    re.VERBOSE,
)
# ansible-test ends with a list; what follows it comes from elsewhere.
LIST_BEGINS = re.compile(r"ERROR: The (?P<count>\d+) (?:sanity|integration) test\(s\) listed below .* failed\. .*")


@dataclass
class Results:
    """How the stages have ended so far."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    # A stage that was not run, with what it needs and did not get
    not_run: dict[str, str] = field(default_factory=dict)

    def ended(self, stage: str) -> bool:
        return stage in self.passed or stage in self.failed or stage in self.not_run

    def missing(self, stage: str) -> str | None:
        """What the stage needs and will not get."""
        return next((need for need in needs(stage) if need in self.failed or need in self.not_run), None)

    def may_begin(self, stage: str, stages: list[str]) -> bool:
        other = NOT_BEFORE.get(stage)
        waits = other in stages and not self.ended(other)
        return not waits and all(need in self.passed for need in needs(stage))


@dataclass(frozen=True)
class Running:
    stage: str
    process: subprocess.Popen[bytes]
    since: float


class Ending:
    """The wish to end the run, by SIGTERM. It waits while a stage begins, whose processes nobody would know else."""

    def __init__(self) -> None:
        self.waits = False
        self.wanted = False

    def told(self, *_signal: object) -> None:
        self.wanted = True
        if not self.waits:
            sys.exit(128 + signal.SIGTERM)

    @contextlib.contextmanager
    def later(self) -> Iterator[None]:
        self.waits = True
        try:
            yield
        finally:
            self.waits = False
        if self.wanted:
            self.told()


ENDING = Ending()


def needs(stage: str) -> tuple[str, ...]:
    return () if stage == FIRST else (FIRST, *NEEDS.get(stage, ()))


def with_needs(stages: list[str]) -> list[str]:
    """The stages, and before each one what it needs."""
    found: dict[str, None] = {}
    for stage in stages:
        for one in (*with_needs(list(needs(stage))), stage):
            found.setdefault(one)
    return list(found)


def log_of(stage: str) -> Path:
    return LOGS / f"{stage}.log"


def begin(stage: str) -> Running:
    """A stage beside the others gets a process group of its own, which can be ended whole."""
    command = [*MAKE.get(stage, ("make",)), "--no-print-directory", stage]
    with log_of(stage).open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=stage in BESIDE)
    return Running(stage, process, time.monotonic())


def end(running: Running) -> None:
    with contextlib.suppress(ProcessLookupError):
        if running.stage in BESIDE:
            os.killpg(running.process.pid, signal.SIGTERM)
        else:
            running.process.terminate()
    running.process.wait()


def wait_for_one(running: list[Running]) -> tuple[Running, bool]:
    """The stage that ends first, and whether it has passed."""
    while True:
        pid, status = os.waitpid(-1, 0)
        for one in running:
            if one.process.pid == pid:
                one.process.returncode = os.waitstatus_to_exitcode(status)
                return one, one.process.returncode == 0


def tell(result: str, stage: str, remark: str) -> None:
    print(f"{result:8}  {stage:14} {remark}", flush=True)


def read_log(stage: str) -> str:
    return log_of(stage).read_text(encoding="utf-8", errors="replace")


def tell_end_of_log(stage: str) -> None:
    """The names come first: what is printed of a stage may be cut short by those who keep it."""
    log = read_log(stage)
    for name in failed_tests(log)[:NAMES_OF_A_STAGE]:
        print(f"    {name}")
    for line in log.splitlines()[-LINES_OF_A_FAILURE:]:
        print(f"    {line[:CHARACTERS_OF_A_LINE]}")
    sys.stdout.flush()


def leave_out(waiting: list[str], results: Results) -> None:
    """Those stages that will not get what they need."""
    for stage in list(waiting):
        if need := results.missing(stage):
            results.not_run[stage] = need
            waiting.remove(stage)
            tell("not run", stage, f"it needs {need}")


def begin_next(waiting: list[str], running: list[Running], stages: list[str], results: Results) -> None:
    """Those stages that may begin now: any of those beside the others, one of the others."""
    for stage in list(waiting):
        occupied = stage not in BESIDE and any(one.stage not in BESIDE for one in running)
        if not occupied and results.may_begin(stage, stages):
            waiting.remove(stage)
            with ENDING.later():
                running.append(begin(stage))


def run(stages: list[str], results: Results) -> None:
    """Each stage to its end."""
    waiting, running = list(stages), list[Running]()
    try:
        while waiting or running:
            leave_out(waiting, results)
            begin_next(waiting, running, stages, results)
            if not running:
                break
            ended, passed = wait_for_one(running)
            running.remove(ended)
            (results.passed if passed else results.failed).append(ended.stage)
            tell("ok" if passed else "FAIL", ended.stage, f"{time.monotonic() - ended.since:5.0f} s")
            if not passed:
                tell_end_of_log(ended.stage)
    finally:
        # This run was ended from outside: how far each stage has come says what took too long.
        for one in running:
            end(one)
            tell("ended", one.stage, f"{time.monotonic() - one.since:5.0f} s")
            tell_end_of_log(one.stage)


def failed_tests(log: str) -> list[str]:
    """What failed, in the order of the log, each name once; empty where the log names nothing that we know."""
    names: dict[str, None] = {}
    listed = 0
    for line in log.splitlines():
        if listed:
            names[line.strip()] = None
            listed -= 1
        elif begins := LIST_BEGINS.fullmatch(line):
            listed = int(begins["count"])
        elif one := ONE_TO_A_LINE.fullmatch(line):
            names[one[one.lastgroup or 0]] = None
    return list(names)


def tell_failures(results: Results) -> None:
    if results.failed or results.not_run:
        print("\nFailed:")
    for stage in results.failed:
        names = failed_tests(read_log(stage))
        print(f"  {stage} (all of its log: {log_of(stage)})")
        for name in names[:NAMES_OF_A_STAGE]:
            print(f"    {name}")
        if len(names) > NAMES_OF_A_STAGE:
            print(f"    and {len(names) - NAMES_OF_A_STAGE} more")
    for stage, need in results.not_run.items():
        print(f"  {stage} (not run: it needs {need})")


def lab_down() -> None:
    subprocess.run(
        ["make", "--no-print-directory", "lab-down"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def main(stages: list[str]) -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    # The process groups of the stages beside are ended on the way out.
    signal.signal(signal.SIGTERM, ENDING.told)
    # A run in CI starts with hosts of its own, whatever an earlier one may have left; a developer may want to look at
    # the hosts of a failed stage.
    in_ci = bool(os.environ.get("CI"))
    if in_ci:
        lab_down()
    results = Results()
    try:
        run(with_needs(stages), results)
    finally:
        if in_ci:
            lab_down()
    tell_failures(results)
    # A stage that was not run has not passed.
    failed = len(results.failed) + len(results.not_run)
    print(f"{len(results.passed)} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(sys.argv[1:])
