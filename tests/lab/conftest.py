"""Fixtures for tests on the lab's real hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from story import Story

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "molecule" / "lab"))

from lab import Lab  # noqa: E402 - the lab is a program beside us, not an installed package

PLAYBOOK = "pgfleet.standby.provision_standbys"
DATA = "/var/lib/postgresql/15/main"
STATE = "/var/lib/postgresql/15/.main.standby"
BINDIR = "/usr/lib/postgresql/15/bin"
# A test works on one standby of the lab. Two run side by side, one each: most of their time is waiting.
HOST = os.environ.get("LAB_TEST_HOST", {"gw1": "n2"}.get(os.environ.get("PYTEST_XDIST_WORKER", ""), "n1"))


@dataclass
class Run:
    """A finished play: its exit code, its output, and the result of every task by host."""

    rc: int
    output: str
    recap: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, rc: int, output: str) -> Run:
        recap = {}
        for line in output.partition("PLAY RECAP")[2].splitlines()[1:]:
            host, colon, counts = line.partition(":")
            if colon:
                recap[host.strip()] = {name: int(n) for name, n in (pair.split("=") for pair in counts.split())}
        return cls(rc, output, recap)


class Playbook:
    """ansible-playbook on the lab, with the inputs of the lab's inventory and those of a test."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def command(self, *arguments: str, **extra: object) -> list[str]:
        inventories = [f"--inventory={self._lab.inventory}", f"--inventory={ROOT}/molecule/default/inventory"]
        values = json.dumps({f"standby_from_barman_{name}": value for name, value in extra.items()})
        return ["ansible-playbook", *inventories, "--extra-vars", values, *arguments, PLAYBOOK]

    def start(self, *arguments: str, **extra: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments, **extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # One connection for a task instead of five; molecule's plays do it the default way.
            env=dict(os.environ, ANSIBLE_NOCOLOR="1", ANSIBLE_PIPELINING="1"),
        )

    def run(self, *arguments: str, timeout: float = 300, **extra: object) -> Run:
        process = self.start(*arguments, **extra)
        try:
            output, _stderr = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return Run.of(process.returncode, output)


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab.load()


@pytest.fixture(scope="session")
def playbook(lab: Lab) -> Playbook:
    return Playbook(lab)


@pytest.fixture
def empty(lab: Lab) -> Iterator[None]:
    """The standby of the test as it was installed, before and after."""
    lab.reset(HOST)
    yield
    lab.reset(HOST)


@pytest.fixture(scope="module")
def story(lab: Lab, playbook: Playbook) -> Iterator[Story]:
    """The host's year; what is there stays from test to test."""
    from story import Story  # it needs what is above

    lab.reset(HOST)
    yield Story(lab, lab.host(HOST), playbook)
    lab.reset(HOST)


@pytest.fixture
def bare(story: Story) -> None:
    """Nothing is there, and nothing runs."""
    story.lab.reset(HOST)


@pytest.fixture
def healthy(story: Story) -> None:
    """A standby that streams."""
    story.heal()
