"""Whether something on a lab host is as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from podman import Host, wait_for

__all__ = ["LOOK", "look", "motionless", "python"]

# Everything that can be seen of some trees: names, kinds, modes, times, and contents.
LOOK = """\
import hashlib, json, os, stat, sys

seen = {}
for top in sys.argv[1:]:
    for path in [top] + [os.path.join(at, name) for at, dirs, files in os.walk(top) for name in dirs + files]:
        if not os.path.lexists(path):
            continue
        status = os.lstat(path)
        content = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                content = hashlib.sha1(file.read()).hexdigest()
        seen[path] = [oct(status.st_mode), status.st_uid, status.st_ino, status.st_mtime_ns, status.st_size, content]
print(json.dumps(seen))
"""


def python(host: Host, script: str, *arguments: str) -> str:
    """What a script prints that the database's OS user runs there."""
    return host.run(["python3", "-", *arguments], user="postgres", input=script).stdout


def look(host: Host, *places: str) -> dict[str, list[Any]]:
    """All that is seen there of some trees, for each path."""
    return dict(json.loads(python(host, LOOK, *places)))


@contextmanager
def motionless(host: Host, data: str) -> Iterator[int]:
    """The pid of a running server whose processes are held, so that it changes nothing of its own accord."""
    pid = host.run(["head", "-n1", f"{data}/postmaster.pid"]).stdout.strip()
    pids = [pid, *host.run(["pgrep", "--parent", pid]).stdout.split()]
    host.run(["kill", "-STOP", *pids], check=False)  # one of its children may just have ended
    states = ["ps", "-o", "state=", "--pid", ",".join(pids)]
    try:
        # One that is writing to a slow disk stops when that is done.
        wait_for(lambda: set(host.run(states, check=False).stdout.split()) == {"T"}, "its processes to be held")
        yield int(pid)
    finally:
        host.run(["kill", "-CONT", *pids], check=False)
