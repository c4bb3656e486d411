"""I1 and I2: whatever ends a copy, nothing starts on what it left, and the next run finishes it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest
from clone_on_host import Clone
from copies_under_way import HALF_WAY, TWO_WORKERS, Copy
from held import MIB, Held
from lab import Lab
from play import PLAY_SECONDS, Playbook
from podman import wait_for
from standby_host import DATA, HOST, STATE

pytestmark = pytest.mark.long

LIMIT = ("--limit", HOST)

# Ends every process that copies, with SIGKILL, so that none can tidy up.
ASSASSIN = """
import os, pathlib, signal

for _ in range(3):
    for process in pathlib.Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"standby_clone" in command or command.startswith((b"rsync", b"ssh\\0")):
            try:
                os.kill(int(process.name), signal.SIGKILL)
            except ProcessLookupError:
                pass
"""
FILES = ["sh", "-c", f"find {DATA}/base -type f | wc -l"]


def at_the_beginning(clone: Clone, hold: Held) -> Callable[[], bool]:
    hold.after(MIB)
    return lambda: clone.state().get("phase") == "copying"


def with_many_files(clone: Clone, hold: Held) -> Callable[[], bool]:
    """The largest one is on its way, and another worker has brought the rest."""
    hold.after(HALF_WAY)
    return lambda: int(clone.host.run(FILES).stdout) > 700


def with_all_but_pg_control(_clone: Clone, hold: Held) -> Callable[[], bool]:
    hold.before_control()
    return hold.has_come_to_control


@pytest.fixture
def clone(lab: Lab) -> Iterator[Clone]:
    """The host as it was installed, before and after; its clone is what the plays make."""
    lab.reset(HOST)
    clone = Clone.on(lab)
    lab.reset(HOST)
    yield clone
    lab.reset(HOST)


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default way of Ansible: with pipelining a play looks again, and resumes, before the test can kill it."""
    monkeypatch.setenv("ANSIBLE_PIPELINING", "0")


def kill(play: subprocess.Popen[str]) -> None:
    """The control node dies, with Ansible's workers, each of which leads a session of its own."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], stdout=subprocess.PIPE, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = {play.pid}
    while more := {pid for pid, parent in pairs if parent in found} - found:
        found |= more
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    play.wait()


def finished(clone: Clone) -> int:
    """The bytes of the files below base/ that have the backup's size and time, which rsync sets last."""
    find = ["sh", "-c", r'cd "$0" && find base -type f -printf "%s %T@ %P\n"']
    there = clone.lab.barman.run([*find, f"{clone.options['backup']['directory']}/data"]).stdout.splitlines()
    here = clone.host.run([*find, DATA]).stdout.splitlines()
    return sum(int(line.split()[0]) for line in {*there} & {*here})


def sent(output: str) -> tuple[int, int]:
    """The bytes of the backup's files and those that had to be sent, of the copy in a play's output."""
    found = [re.search(rf'"{name}": (\d+)', output) for name in ("bytes", "bytes_sent")]
    assert all(found), output
    return int(found[0][1]), int(found[1][1])


@pytest.mark.parametrize("moment", [at_the_beginning, with_many_files, with_all_but_pg_control])
def test_a_killed_copy_cannot_be_started_and_is_resumed(
    clone: Clone, hold: Held, playbook: Playbook, moment: Callable[[Clone, Held], Callable[[], bool]]
) -> None:
    has_come = moment(clone, hold)
    play = playbook.start(*LIMIT, **TWO_WORKERS)
    wait_for(has_come, "the moment")
    kill(play)  # or it would look again, and resume the copy itself
    clone.host.run(["python3", "-"], input=ASSASSIN)
    hold.go_on()
    assert clone.state()["phase"] == "copying"
    assert clone.try_to_start()[0] != 0
    assert not clone.host.exists(f"{DATA}/global/pg_control")
    before = finished(clone)

    resumed = playbook.run("--verbose", *LIMIT)
    assert resumed.rc == 0, resumed.output
    assert "streaming" in resumed.output
    whole, again = sent(resumed.output)
    assert again <= whole - before, "a finished file was sent again"
    healthy = playbook.run(*LIMIT).recap[HOST]
    assert healthy["changed"] == 0
    assert healthy["ok"] <= 8
    assert healthy["skipped"] <= 9


def test_a_copy_outlives_its_play_and_the_next_one_attaches(clone: Clone, hold: Held, playbook: Playbook) -> None:
    """The control node dies: the copy goes on by itself."""
    hold.after(HALF_WAY)
    play = playbook.start(*LIMIT, **TWO_WORKERS)
    hold.wait(play)
    kill(play)
    run = Copy(clone, play).note["run"]
    assert not clone.host.exists(f"{DATA}/global/pg_control")

    again = playbook.start("--verbose", *LIMIT)
    try:
        attached = next((line for line in again.stdout if "standby_clone copying" in line), "")
        hold.go_on()
        output, _stderr = again.communicate(timeout=PLAY_SECONDS)
    finally:
        again.kill()
    assert again.returncode == 0, output
    assert attached
    assert "streaming" in output
    assert json.loads(clone.host.read(f"{STATE}/result.json"))["run"] == run
    assert sent(output)[1] > 0, "the result is that of the copy, not of a later look at the directory"
