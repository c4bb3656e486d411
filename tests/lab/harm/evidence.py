"""What would be seen of harm: every file of some trees, and every server of the host."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from podman import Host
from untouched import LOOK

__all__ = ["Evidence", "evidence"]

# Every server's first process, by its number: when it was started, and the directory that it works in.
SERVERS = """\
import json, os

def stat(pid):
    with open(f"/proc/{pid}/stat") as file:
        name, _, rest = file.read().partition("(")[2].rpartition(")")
    return name, *rest.split()

found, servers = {}, {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        found[pid] = stat(pid)
        place = os.stat(f"/proc/{pid}/cwd")
    except OSError:
        continue
    if found[pid][0] in ("postgres", "postmaster"):
        servers[pid] = [found[pid][20], place.st_dev, place.st_ino]
print(json.dumps({pid: seen for pid, seen in servers.items() if found[pid][2] not in servers}))
"""

# What a server that runs writes of its own accord, what it keeps of the catalogue and WAL; and the locks of a copy.
OWN = re.compile(
    r"/pg_internal\.init$|/pg_wal/[0-9A-F]{24}$|/\.\w+\.standby/(?:lock|runner|result\.json|progress\.json)$"
)


@dataclass(frozen=True)
class Evidence:
    """``files`` is what is seen of each path: mode, owner, inode, time, size and contents."""

    files: dict[str, list[Any]]
    servers: dict[str, list[Any]]

    def of(self, *places: str) -> Evidence:
        """The part that speaks of some trees, and of all servers."""
        tops = tuple(f"{place}/" for place in places)
        return Evidence({path: seen for path, seen in self.files.items() if f"{path}/".startswith(tops)}, self.servers)

    def differs(self, other: Evidence) -> dict[str, Any]:
        """What is not the same: both sides of each."""
        mine, yours = {**self.files, **self.servers}, {**other.files, **other.servers}
        names = sorted({*mine, *yours})
        return {name: (mine.get(name), yours.get(name)) for name in names if mine.get(name) != yours.get(name)}


def evidence(host: Host, *places: str) -> Evidence:
    files = json.loads(host.run(["python3", "-", *places], input=LOOK).stdout)
    # The time of a directory is that of the server's own files in it, too.
    seen = {path: _content(*of_file) for path, of_file in files.items() if not OWN.search(path)}
    return Evidence(seen, dict(json.loads(host.run(["python3", "-"], input=SERVERS).stdout)))


def _content(mode: str, owner: int, inode: int, time: int, size: int, content: str) -> list[Any]:
    return [mode, owner, inode, *([] if mode.startswith("0o4") else [time, size]), content]
