"""A copy that something breaks under: its processes and files, and what is expected of it."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any

from clone_on_host import FAST, Clone
from copies_under_way import HALF_WAY, TWO_WORKERS
from held import MIB, Held
from podman import Host
from standby_host import DATA, HOST, STATE

OWN = f"/var/lib/barman/faults-{HOST}"

# Another content of the same size and time, under the same name; other hard links keep the old one.
SPOIL = """
import os, shutil, sys
path, way = sys.argv[1:]
content = bytearray(open(path, "rb").read())
if way == "flip":
    content[len(content) // 2] ^= 1
else:
    content = bytes(len(content))
with open(path + ".spoilt", "wb") as file:
    file.write(content)
shutil.copystat(path, path + ".spoilt")
os.rename(path + ".spoilt", path)
"""


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str


def below(tops: set[int], listed: str) -> list[Process]:
    """These processes and all that they started, of what ps listed."""
    lines = (line.split(None, 2) for line in listed.splitlines())
    everyone = [Process(int(pid), int(parent), command) for pid, parent, command in lines]
    found = set(tops)
    while more := {p.pid for p in everyone if p.parent in found} - found:
        found |= more
    return [process for process in everyone if process.pid in found]


def send(host: Host, number: str, processes: list[Process]) -> None:
    host.run(["kill", f"-{number}", *(str(process.pid) for process in processes)], check=False)


def copying(clone: Clone) -> list[Process]:
    """The process that copies, its rsyncs and connections; none when there is no copy."""
    script = 'test -e "$0" && ! flock --nonblock "$0" true && head -1 "$0" && ps -eo pid=,ppid=,args='
    note, _end, listed = clone.host.run(["sh", "-c", script, f"{STATE}/runner"], check=False).stdout.partition("\n")
    return below({int(json.loads(note)["pid"])}, listed) if listed else []


def serving(clone: Clone) -> list[Process]:
    """What runs on the Barman host for the connections of this host."""
    sockets = f"state established sport = :22 and dst {clone.host.address}"
    script = f"ss --no-header --tcp --processes {sockets} | grep -o 'pid=[0-9]*'; echo; ps -eo pid=,ppid=,args="
    tops, _empty, listed = clone.lab.barman.run(["sh", "-c", script]).stdout.partition("\n\n")
    return below({int(pid) for pid in re.findall(r"\d+", tops)}, listed)


def begin(clone: Clone, hold: Held, **options: Any) -> subprocess.Popen[str]:
    """A copy that is held in the middle of the largest file."""
    hold.after(HALF_WAY)
    copy = clone.start(**{**TWO_WORKERS, **options})
    hold.wait(copy)
    return copy


def halt(clone: Clone) -> None:
    """End what a failed test left at work."""
    if left := copying(clone):
        send(clone.host, "KILL", left)


def ranked(clone: Clone, tree: str = "data") -> list[str]:
    """The files of one tree of the backup, the largest first."""
    top = f"{clone.options['backup']['directory']}/{tree}"
    listed = clone.lab.barman.run(["find", top, "-type", "f", "-printf", r"%s\t%P\n"]).stdout.splitlines()
    pairs = (line.split("\t") for line in listed)
    return [path for _size, path in sorted(((int(size), path) for size, path in pairs), reverse=True)]


def await_bytes(clone: Clone, path: str, least: int) -> int:
    """Wait until so much of a file has arrived; how much that is."""
    script = 'until [ "$(stat -c %s "$0" 2>/dev/null || echo 0)" -ge "$1" ]; do sleep 0.02; done; stat -c %s "$0"'
    return int(clone.host.run(["sh", "-c", script, path, str(least)]).stdout)


def arrived(clone: Clone) -> int:
    """The bytes of all files that are there, whether complete or not."""
    listed = clone.host.run(["find", DATA, FAST, "-type", "f", "-printf", r"%s\n"]).stdout
    return sum(map(int, listed.split()))


def spoil(host: Host, path: str, way: str) -> None:
    owner = host.run(["stat", "-c", "%U", path]).stdout.strip()
    host.run(["python3", "-", path, way], user=owner, input=SPOIL)


def expect_failure(clone: Clone, result: dict[str, Any], code: str, *words: str) -> None:
    """It says what, where, why and what next, and it was not tried twice; nothing can be started (I1)."""
    assert result.get("failed"), result
    assert result["error_code"] == code, result["msg"]
    for word in ("Next: ", *words):
        assert word in result["msg"]
    assert clone.progress().get("retries", 0) == 0
    expect_unstartable(clone)


def expect_unstartable(clone: Clone) -> None:
    """Also where so little has arrived that pg_ctl itself refuses, before a server could say why."""
    assert not clone.host.exists(f"{DATA}/global/pg_control")
    code, log = clone.try_to_start()
    assert code != 0, log


def expect_rest(result: dict[str, Any], there: int, action: str = "resume") -> None:
    """The copy ended well, and of what was there nothing worth mentioning was sent again."""
    assert not result.get("failed"), result["msg"]
    assert result["action"] == action
    assert result["bytes_sent"] <= result["bytes"] - there + MIB
