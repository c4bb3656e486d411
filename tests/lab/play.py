"""The collection's playbook on a lab, and what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

# A net, and never a measure: on a busy machine a play takes some minutes.
PLAY_SECONDS = 1800
PLAYBOOK = "pgfleet.standby.provision_standbys"
CODES = re.compile(r'"error_codes": \[([^\]]*)\]')


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
    """ansible-playbook on a lab's hosts, with the inputs of its inventories and those of a test."""

    def __init__(self, *inventories: Path) -> None:
        self._inventories = [f"--inventory={inventory}" for inventory in inventories]

    def command(self, *arguments: str, **extra: object) -> list[str]:
        values = json.dumps({f"standby_from_barman_{name}": value for name, value in extra.items()})
        return ["ansible-playbook", *self._inventories, "--extra-vars", values, *arguments, PLAYBOOK]

    def start(self, *arguments: str, **extra: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments, **extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # One connection for a task instead of five; molecule's plays do it the default way.
            env={"ANSIBLE_PIPELINING": "1", **os.environ, "ANSIBLE_NOCOLOR": "1"},
        )

    def run(self, *arguments: str, **extra: object) -> Run:
        process = self.start(*arguments, **extra)
        try:
            output, _stderr = process.communicate(timeout=PLAY_SECONDS)
        finally:
            process.kill()
        return Run.of(process.returncode, output)


def said_of(host: str, run: Run) -> str:
    """The action in the report."""
    found = re.search(rf'"{host} +(none|settings|start|rewind|delta|replace|resume|clone) ', run.output)
    return found.group(1) if found else ""


def errors(run: Run) -> set[str]:
    """The codes of all problems that a preflight told."""
    return {code.strip(' "\n') for codes in CODES.findall(run.output) for code in codes.split(",")}
