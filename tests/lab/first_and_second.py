"""Two backups of a small cluster, and all that can be seen of some trees."""

from __future__ import annotations

from typing import Any

from clone_on_host import Clone
from podman import Host

TOP = "/srv/pgfleet-hostile"
# Every file and directory below some places, with its contents.
WALK = """
import hashlib, os, sys
for top in map(os.fsencode, sys.argv[1:]):
    for directory, directories, files in sorted(os.walk(top)):
        for name in sorted(directories):
            print(os.path.relpath(os.path.join(directory, name), top).hex())
        for name in sorted(files):
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                print(os.path.relpath(path, top).hex(), hashlib.sha256(file.read()).hexdigest())
"""


def walk(host: Host, *tops: str) -> list[str]:
    return host.run(["python3", "-", *tops], input=WALK).stdout.splitlines()


def compare(clone: Clone, backup: dict[str, Any], data: str, fast: str) -> None:
    """All of the databases and the tablespace is the backup's, byte for byte."""
    top = backup["directory"]
    parts = ("base", "global", "pg_xact")
    there = walk(clone.lab.barman, *(f"{top}/data/{part}" for part in parts), f"{top}/{oid(backup)}")
    assert walk(clone.host, *(f"{data}/{part}" for part in parts), fast) == there
    assert len(there) > 300


def oid(backup: dict[str, Any]) -> int:
    return int(backup["tablespaces"][0]["oid"])
