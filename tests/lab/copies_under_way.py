"""Copies on their way, for tests that harm them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from clone_on_host import Clone
from held import MIB, Held
from standby_host import STATE

# The lab's 435 MB are mostly one file of 322 MB: one worker is with it, and held half-way, while the other one brings
# the rest.
TWO_WORKERS: dict[str, Any] = {"compress": "none", "jobs": 2}
HALF_WAY = 150 * MIB
DESCENDANTS = """\
pids=$1
while [ "$pids" ]; do
    echo "$pids"
    pids=$(ps -o pid= --ppid "$(echo $pids | tr ' ' ,)")
done
"""


def taking_part(clone: Clone, top: int, start: str) -> list[int]:
    """A process and all that it has started, if their command begins so."""
    found = clone.host.run(["sh", "-c", DESCENDANTS, "sh", str(top)], check=False).stdout.split()
    listed = clone.host.run(["ps", "-o", "pid=,args=", "--pid", ",".join(found)], check=False).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if line.split(None, 1)[1].startswith(start)]


@dataclass
class Copy:
    """A copy on its way, and the processes that take part in it."""

    clone: Clone
    waiting: subprocess.Popen[str]

    @classmethod
    def begun(cls, hold: Held, clone: Clone, count: int = HALF_WAY, **options: Any) -> Copy:
        """A copy that is held as soon as so many bytes of one stream have come."""
        hold.after(count)
        copy = cls(clone, clone.start(**{**TWO_WORKERS, **options}))
        hold.wait(copy.waiting)
        return copy

    @property
    def note(self) -> dict[str, Any]:
        return dict(json.loads(self.clone.host.read(f"{STATE}/runner")))

    def pids(self, start: str) -> list[int]:
        """Those of the copying process and of all that it has started, if their command begins so."""
        return taking_part(self.clone, self.note["pid"], start)

    def waiters(self) -> list[int]:
        """The module's own process, which has started the copying one and waits for it."""
        listed = self.clone.host.run(["ps", "-u", "postgres", "-o", "pid=,args="], check=False).stdout
        modules = [int(line.split()[0]) for line in listed.splitlines() if "/standby_clone.py /tmp/" in line]
        return [pid for pid in modules if pid != self.note["pid"]]

    def signal(self, pids: list[int], name: str = "KILL") -> None:
        assert pids
        self.clone.host.run(["kill", f"-{name}", *map(str, pids)], check=False)  # one may just have ended

    def result(self) -> dict[str, Any]:
        return self.clone.finish(self.waiting)
