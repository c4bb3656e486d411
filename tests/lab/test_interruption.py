"""I1 and I2: whatever ends a copy, nothing starts on what it left, and the next run finishes it."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from conftest import BINDIR, DATA, STATE, Playbook
from lab import Lab

HOST = "n1"
LIMIT = ("--limit", HOST)

# Runs on the standby, because the moments are too short for a look from outside: waits until a
# condition holds, then ends every process that copies, with SIGKILL, so that none can tidy up.
ASSASSIN = """
import os, pathlib, signal, sys, time

data, state = map(pathlib.Path, sys.argv[1:3])
moment = sys.argv[3]

def files():
    return sum(1 for p in (data / "base").rglob("*") if p.is_file() and not p.name.startswith("."))

MOMENTS = {
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


def finished_files(lab: Lab) -> dict[str, str]:
    """The inode of every file under its final name; rsync writes under another name until a file is complete."""
    listing = lab.host(HOST).run(["find", DATA, "-type", "f", "-printf", r"%P\t%i\n"]).stdout
    pairs = (line.split("\t") for line in listing.splitlines())
    return {path: inode for path, inode in pairs if not path.rpartition("/")[2].startswith(".")}


def try_to_start(lab: Lab) -> tuple[int, str]:
    """What a hasty administrator would do, with a configuration that is not to blame."""
    lab.host(HOST).run(["mkdir", "-p", "/tmp/hasty"])
    lab.host(HOST).write("/tmp/hasty/postgresql.conf", f"data_directory = '{DATA}'\nport = 6000\n")
    lab.host(HOST).write("/tmp/hasty/pg_hba.conf", "")
    lab.host(HOST).write("/tmp/hasty/pg_ident.conf", "")
    start = [f"{BINDIR}/pg_ctl", "start", "--wait", "--timeout=10", "--pgdata=/tmp/hasty", "--log=/tmp/hasty.log"]
    lab.host(HOST).run(["rm", "-f", "/tmp/hasty.log"])
    done = lab.host(HOST).run(start, user="postgres", check=False)
    return done.returncode, lab.host(HOST).run(["cat", "/tmp/hasty.log"], check=False).stdout


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("moment", ["the first files are there", "many files are there", "all is there but pg_control"])
def test_a_killed_copy_cannot_be_started_and_is_resumed(lab: Lab, playbook: Playbook, moment: str) -> None:
    play = playbook.start(*LIMIT, bwlimit=60_000)
    lab.host(HOST).run(["python3", "-", DATA, STATE, moment], input=ASSASSIN, timeout=150)
    output, _stderr = play.communicate(timeout=120)
    assert play.returncode != 0, output

    assert json.loads(lab.host(HOST).read(f"{STATE}/state.json"))["phase"] == "copying"
    code, log = try_to_start(lab)
    assert code != 0
    assert "could not find the database system" in log or "global/pg_control" in log
    left = finished_files(lab)

    resumed = playbook.run(*LIMIT)
    assert resumed.rc == 0, resumed.output
    assert "streaming" in resumed.output
    now = finished_files(lab)
    # Recovery itself makes unlogged relations anew (those with an init fork), and files outside of base/.
    ours = {path for path in left if path.startswith("base/") and f"{path}_init" not in now}
    assert [path for path in ours if now.get(path) != left[path]] == []
    healthy = playbook.run(*LIMIT).recap[HOST]
    assert healthy["changed"] == 0
    assert healthy["ok"] <= 12


@pytest.mark.usefixtures("empty")
def test_a_copy_outlives_its_play_or_is_resumed(lab: Lab, playbook: Playbook) -> None:
    """The control node dies: the copy may go on by itself. The next play finishes it either way."""
    play = playbook.start(*LIMIT, bwlimit=60_000)
    deadline = time.monotonic() + 90
    while not lab.host(HOST).exists(f"{DATA}/base") and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(play.pid, signal.SIGKILL)
    play.wait()
    assert not lab.host(HOST).exists(f"{DATA}/global/pg_control")

    again = playbook.run(*LIMIT)
    assert again.rc == 0, again.output
    assert "streaming" in again.output
