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

BUILD, LAB = (Path(os.environ[name]) for name in ("BUILD", "LAB_DIR"))
JOBS = BUILD / "awx"
HOSTS = ("n1", "n2")
INPUTS = Path("molecule/default/inventory/group_vars/standbys.yml")


def job(name: str, **options: Any) -> ansible_runner.Runner:
    """One job in a private directory of its own; it must succeed."""
    print(f"== {name}", flush=True)
    (JOBS / name / "home").mkdir(parents=True)
    runner = ansible_runner.run(
        private_data_dir=str(JOBS / name),
        playbook="pgfleet.standby.provision_standbys",
        inventory=str(LAB / "inventory.yml"),
        extravars=yaml.safe_load(INPUTS.read_text(encoding="utf-8")),
        envvars={
            "ANSIBLE_COLLECTIONS_PATH": f"{BUILD / 'artifact'}:{BUILD / 'collections'}",
            # As in an execution environment: a home with nothing of ours in it.
            "HOME": str(JOBS / name / "home"),
        },
        limit=",".join(HOSTS),
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


def report(runner: ansible_runner.Runner) -> dict[str, dict[str, Any]]:
    """The records of the report by host."""
    return {record["host"]: record for record in artifact_data(runner).get("standby_from_barman_report", [])}


def copied(runner: ansible_runner.Runner) -> set[str]:
    """The hosts on which an event tells that the files were copied."""
    events = (event for event in runner.events if event["event"] == "runner_on_ok")
    tasks = (event["event_data"] for event in events)
    return {task["host"] for task in tasks if task.get("task_action") == "pgfleet.standby.standby_clone"}


def leaks(secrets: list[str]) -> list[str]:
    """The files of the jobs that hold one of the lab's passwords."""
    files = [path for path in JOBS.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


def main() -> None:
    shutil.rmtree(JOBS, ignore_errors=True)
    subprocess.run([sys.executable, "molecule/lab/lab.py", "reset", *HOSTS], check=True)

    preview = job("preview", cmdline="--check --diff")
    launch = job("launch")
    again = job("again")

    problems = []

    def expect(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            problems.append(f"{what}: {found!r}, not {wanted!r}")

    states = {
        name: {host: record["state"] for host, record in report(runner).items()}
        for name, runner in (("preview", preview), ("launch", launch), ("again", again))
    }
    expect("state after the preview", states["preview"], dict.fromkeys(HOSTS, "planned"))
    expect("state after the launch", states["launch"], dict.fromkeys(HOSTS, "streaming"))
    expect("state after the second launch", states["again"], dict.fromkeys(HOSTS, "streaming"))
    expect("hosts that the launch copied to", copied(launch), set(HOSTS))
    expect("hosts that the second launch copied to", copied(again), set())
    expect("hosts that the second launch changed", changed(again), [])
    expect("backups of the launch", len({record["backup_id"] for record in report(launch).values()}), 1)
    secrets = list(json.loads((LAB / "secrets.json").read_text(encoding="utf-8")).values())
    problems += [f"a password is in {path}" for path in leaks(secrets)]
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
