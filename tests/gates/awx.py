"""Run the built collection as a job template does: ansible-runner, the playbook by its full name, a preview first.

usage: awx.py     with the lab up; $BUILD, $GATES and $LAB_DIR set, as make does
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible_runner
import yaml

BUILD, GATES, LAB = (Path(os.environ[name]) for name in ("BUILD", "GATES", "LAB_DIR"))
JOBS = BUILD / "awx"


def job(name: str, **options: Any) -> ansible_runner.Runner:
    """One job in a private directory of its own; it must succeed."""
    print(f"== {name}", flush=True)
    (JOBS / name).mkdir(parents=True)
    runner = ansible_runner.run(
        private_data_dir=str(JOBS / name),
        playbook="pgfleet.standby.provision_standbys",
        inventory=str(LAB / "inventory.yml"),
        extravars=yaml.safe_load((GATES / "lab_vars.yml").read_text(encoding="utf-8")),
        envvars={"ANSIBLE_COLLECTIONS_PATH": f"{BUILD / 'artifact'}:{BUILD / 'collections'}"},
        verbosity=3,
        **options,
    )
    if runner.rc != 0:
        sys.exit(f"{name}: {runner.status}, rc {runner.rc}")
    return runner


def changed(runner: ansible_runner.Runner) -> list[str]:
    return sorted(runner.stats["changed"])


def artifact_data(runner: ansible_runner.Runner) -> dict[str, Any]:
    """What set_stats leaves for the next node of a workflow."""
    ends = [event for event in runner.events if event["event"] == "playbook_on_stats"]
    data: dict[str, Any] = ends[-1]["event_data"].get("artifact_data") or {}
    return data


def leaks(secrets: list[str]) -> list[str]:
    """The files of the jobs that hold one of the lab's passwords."""
    files = [path for path in JOBS.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


def main() -> None:
    shutil.rmtree(JOBS, ignore_errors=True)
    subprocess.run([sys.executable, "molecule/lab/lab.py", "reset"], check=True)

    job("preview", cmdline="--check --diff")
    launch = job("launch")
    again = job("again")

    problems = []
    if not changed(launch):
        problems.append("the launch changed nothing: did the preview?")
    if changed(again):
        problems.append(f"the second launch changed {', '.join(changed(again))}")
    if not artifact_data(launch):
        problems.append("the launch left no artifacts for a workflow")
    secrets = list(json.loads((LAB / "secrets.json").read_text(encoding="utf-8")).values())
    problems += [f"a password is in {path}" for path in leaks(secrets)]
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
