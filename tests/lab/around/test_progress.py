"""A long copy tells how far it is while the task runs: in a terminal, in a log, and as events of a job."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import ansible_runner
import pytest
import yaml
from lab import Lab
from standby_host import DATA, HOST

# KiB per second on the wire, nothing compressed: the lab's 414 MB take about 17 s, or 7 s.
SLOW, FAST = 25_000, 60_000
TIMEOUT = 180

LINE = re.compile(rf"{HOST}: standby_clone ([a-z]+)(?: (\d+) % of (\d.*? [kMG]?B))?(?:, .*)?$")
OWNED = ("/var/lib/postgresql/15", DATA, "/srv/tablespaces/fast")


@pytest.fixture(autouse=True)
def empty_host(lab: Lab) -> Iterator[None]:
    lab.reset(HOST)
    yield
    lab.reset(HOST)


def play(bwlimit: int, **options: object) -> list[dict[str, object]]:
    """A play that clones the newest backup, no faster than that."""
    as_postgres = {"become": True, "become_user": "postgres"}
    clone = {
        "barman_host": "barman@barman",
        "backup": "{{ backup.selected }}",
        "data_directory": DATA,
        "bwlimit": bwlimit,
        "compress": "none",
        **options,
    }
    tasks = [
        {
            "name": "Make the directories",
            "ansible.builtin.file": {"path": "{{ item }}", "state": "directory", "owner": "postgres", "mode": "0700"},
            "loop": list(OWNED),
        },
        {
            "name": "Choose a backup",
            "pgfleet.standby.barman_backup_info": {
                "barman_host": "barman@barman",
                "barman_server": "pg",
                "backup_id": "latest",
            },
            "register": "backup",
            **as_postgres,
        },
        {"name": "Copy", "pgfleet.standby.standby_clone": clone, "register": "clone", **as_postgres},
        {
            "name": "Look at the result",
            "ansible.builtin.assert": {
                "that": [
                    "clone.finished",
                    "clone is changed",
                    "clone.action == 'clone'",
                    "clone.progress is not defined",
                ]
            },
        },
    ]
    return [{"hosts": HOST, "gather_facts": False, "tasks": tasks}]


@dataclass
class Seen:
    """One line of progress, and when it was there to be read."""

    at: float
    phase: str
    percent: int | None

    @classmethod
    def of(cls, text: str) -> Seen | None:
        found = LINE.search(text.rstrip())
        return found and cls(time.monotonic(), found[1], None if found[2] is None else int(found[2]))


def expect_live(seen: list[Seen], ended: float) -> None:
    """Lines came one after the other while the copy ran, and each told of more than the one before."""
    copying = [line for line in seen if line.phase == "copying" and line.percent is not None]
    assert len(copying) >= 4, seen
    assert ended - copying[0].at > 6, "the first line came long before the end"
    assert all(after.at - before.at > 1 for before, after in pairwise(copying)), "each when it was true"
    percents = [line.percent for line in copying]
    assert percents == sorted(percents)
    assert percents[0] < 40
    assert percents[-1] > 60


def watch(lab: Lab, path: Path, **options: int) -> tuple[list[Seen], float, str]:
    """Run a play into a pipe, which nobody flushes for us: the lines as they arrive, the end, and the output."""
    path.write_text(yaml.safe_dump(play(**options), sort_keys=False))
    environment = dict(os.environ, ANSIBLE_NOCOLOR="1")
    environment.pop("PYTHONUNBUFFERED", None)
    command = ["timeout", str(TIMEOUT), "ansible-playbook", f"--inventory={lab.inventory}", str(path)]
    seen, output = [], []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
        env=environment,
    ) as process:
        assert process.stdout is not None
        for text in process.stdout:
            output.append(text)
            if line := Seen.of(text):
                seen.append(line)
    assert process.returncode == 0, "".join(output)
    return seen, time.monotonic(), "".join(output)


def test_lines_appear_while_the_copy_runs(lab: Lab, tmp_path: Path) -> None:
    seen, ended, _output = watch(lab, tmp_path / "play.yml", bwlimit=SLOW, progress_interval=2)
    expect_live(seen, ended)


def test_no_lines_where_nobody_wants_them(lab: Lab, tmp_path: Path) -> None:
    seen, _ended, output = watch(lab, tmp_path / "play.yml", bwlimit=FAST, progress_interval=0)
    assert seen == []
    assert f"{HOST}: standby_clone" not in output


def test_a_job_has_them_as_events(lab: Lab, tmp_path: Path) -> None:
    seen = []

    def look(event: dict[str, object]) -> bool:
        if line := Seen.of(str(event["stdout"])):
            seen.append(line)
        return True  # to keep the event

    runner = ansible_runner.run(
        private_data_dir=str(tmp_path),
        playbook=play(bwlimit=SLOW, progress_interval=2),
        inventory=str(lab.inventory),
        envvars={"ANSIBLE_COLLECTIONS_PATH": os.environ["ANSIBLE_COLLECTIONS_PATH"]},
        event_handler=look,
        timeout=TIMEOUT,
        quiet=True,
    )
    assert runner.rc == 0, runner.stdout.read()
    expect_live(seen, time.monotonic())
    # What a job keeps, for those who look at it later.
    kept = [line for event in runner.events if (line := Seen.of(event["stdout"]))]
    assert [line.percent for line in kept] == [line.percent for line in seen]
