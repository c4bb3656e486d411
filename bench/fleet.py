"""What a play costs that has nothing to do: on healthy standbys of the lab, beside Ansible's own look at them."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hosts import ROOT, LabError
from lab import Lab, up
from measure import summary

__all__ = ["STANDBYS", "ansible_version", "fleet"]

STANDBYS = 8
FACTS = [{"hosts": "standbys", "gather_facts": True}]
PLAYBOOK = "pgfleet.standby.provision_standbys"


def fleet(runs: int, standbys: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds of both plays in turns, from the start of ansible-playbook to its end, and their ratio in each round."""
    up(standbys, 1, all_backups=False)
    lab = Lab.load()
    with tempfile.TemporaryDirectory() as scratch:
        facts = Path(scratch) / "facts.yml"
        facts.write_text(json.dumps(FACTS), encoding="utf-8")
        seconds, said = play(lab, PLAYBOOK)
        say(f"fleet: {standbys} standbys provisioned in {seconds:.1f} s")
        found: dict[str, list[float]] = {
            "gather_facts": [],
            "nothing to do": [],
            "preflight of one host": [],
            "ratio": [],
        }
        for number in range(1, runs + 1):
            gathered, _said = play(lab, str(facts))
            seconds, said = play(lab, PLAYBOOK)
            if said.count("changed=0 ") != standbys:
                raise LabError(f"the play was to change nothing:\n{said}")
            say(f"fleet {number}/{runs} {seconds:.2f} s, gather_facts {gathered:.2f} s")
            found["gather_facts"].append(gathered)
            found["nothing to do"].append(seconds)
            found["ratio"].append(seconds / gathered)
    found["preflight of one host"] = preflights(lab, runs)
    return {
        "unit": "seconds; the ratio is that of the two plays",
        "figures": {name: summary(values) for name, values in found.items()},
    }


def ansible_version() -> str:
    """The first line that it prints of itself."""
    return subprocess.run(["ansible", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def play(lab: Lab, playbook: str, *more: str) -> tuple[float, str]:
    """One run of a play: its seconds and its output."""
    inventories = [f"--inventory={lab.inventory}", f"--inventory={ROOT}/molecule/default/inventory"]
    began = time.monotonic()
    done = subprocess.run(
        ["ansible-playbook", "--forks=8", *inventories, *more, playbook],
        capture_output=True,
        text=True,
        env=dict(os.environ, ANSIBLE_NOCOLOR="1"),
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise LabError(f"{playbook} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return seconds, done.stdout


def preflights(lab: Lab, runs: int) -> list[float]:
    """Seconds of the task that checks everything, on an empty host: from its banner to that of the next task."""
    lab.reset("n1")
    found = []
    for _number in range(runs):
        argv = ["stdbuf", "--output=L", "ansible-playbook", f"--inventory={lab.inventory}"]
        argv += [f"--inventory={ROOT}/molecule/default/inventory", "--check", "--limit=n1", PLAYBOOK]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=dict(os.environ, ANSIBLE_NOCOLOR="1"))
        began = None
        for line in process.stdout or ():
            if began is None and line.startswith("TASK") and "Check everything and plan" in line:
                began = time.monotonic()
            elif began is not None and line.startswith("TASK"):
                found.append(time.monotonic() - began)
                break
        process.communicate()
    play(lab, PLAYBOOK, "--limit=n1")
    return found
