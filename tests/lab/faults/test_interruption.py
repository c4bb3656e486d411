"""I1 and I2: whatever ends a copy, nothing starts on what it left, and the next run finishes it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest
from clone_on_host import Clone
from copies_under_way import Copy
from lab import Lab
from play import Playbook
from standby_host import DATA, HOST, STATE

pytestmark = pytest.mark.long

LIMIT = ("--limit", HOST)

# Runs on the standby, because the moments are too short for a look from outside: waits until a
# condition holds, then ends every process that copies, with SIGKILL, so that none can tidy up.
ASSASSIN = """
import os, pathlib, signal, sys, time

data, state = map(pathlib.Path, sys.argv[1:3])
moment = sys.argv[3]

def files():
    return sum(1 for p in (data / "base").rglob("*") if p.is_file())

MOMENTS = {
    "now": lambda: True,
    "the first files are there": lambda: files() > 20,
    "many files are there": lambda: files() > 700,
    "all is there but pg_control": lambda: (data / "standby.signal").exists(),
}
deadline = time.monotonic() + 120
while not MOMENTS[moment]():
    if time.monotonic() > deadline:
        sys.exit("the moment did not come")
    time.sleep(0.005)
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


@pytest.mark.parametrize("moment", ["the first files are there", "many files are there", "all is there but pg_control"])
def test_a_killed_copy_cannot_be_started_and_is_resumed(clone: Clone, playbook: Playbook, moment: str) -> None:
    play = playbook.start(*LIMIT, bwlimit=60_000, compress="none")
    clone.host.run(["python3", "-", DATA, STATE, moment], input=ASSASSIN, timeout=150)
    kill(play)  # or it would look again, and resume the copy itself
    clone.host.run(["python3", "-", DATA, STATE, "now"], input=ASSASSIN)
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
    assert healthy["ok"] <= 12


def test_a_copy_outlives_its_play_and_the_next_one_attaches(clone: Clone, playbook: Playbook) -> None:
    """The control node dies: the copy goes on by itself."""
    play = playbook.start(*LIMIT, bwlimit=60_000, compress="none")
    clone.wait_until_copied(5)
    kill(play)
    copy = Copy(clone, play)
    run, rsyncs = copy.note["run"], copy.pids("rsync")
    # However slow this machine is, the copy is not over before the next play has come to it.
    copy.signal(rsyncs, "STOP")
    assert not clone.host.exists(f"{DATA}/global/pg_control")

    again = playbook.start("--verbose", *LIMIT)
    try:
        attached = next((line for line in again.stdout if "standby_clone copying" in line), "")
        copy.signal(rsyncs, "CONT")
        output, _stderr = again.communicate(timeout=200)
    finally:
        copy.signal(rsyncs, "CONT")
        again.kill()
    assert again.returncode == 0, output
    assert attached
    assert "streaming" in output
    assert json.loads(clone.host.read(f"{STATE}/result.json"))["run"] == run
    assert sent(output)[1] > 0, "the result is that of the copy, not of a later look at the directory"
