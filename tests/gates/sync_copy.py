"""Refresh the copy of the checkout that the gates work on.

Ansible's tools want a collection under ansible_collections/<namespace>/<name>, and ansible-test takes its list of
files from git. So the copy is a git repository of its own, with no commits: what .gitignore names (test output,
caches) is left alone there, and everything else is made equal to the checkout's tracked and new files.

usage: sync_copy.py COPY     in the root of the checkout
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path


def files(root: Path) -> set[Path]:
    """The files git would track: the tracked ones that still exist, and the new ones that are not ignored."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout
    paths = (Path(os.fsdecode(name)) for name in listing.split(b"\0") if name)
    return {path for path in paths if os.path.lexists(root / path)}


def same(source: Path, target: Path) -> bool:
    if source.is_symlink() or target.is_symlink():
        return source.is_symlink() and target.is_symlink() and os.readlink(source) == os.readlink(target)
    return (
        target.is_file()
        and source.stat().st_mode == target.stat().st_mode
        and filecmp.cmp(source, target)  # by size and time, and by content where those differ
    )


def put(source: Path, target: Path) -> None:
    """Replace the target in one step: another gate may be reading it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copy2(source, fresh, follow_symlinks=False)
    os.replace(fresh, target)


def main(destination: str) -> None:
    checkout, copy = Path.cwd(), Path(destination)
    if not (copy / ".git").is_dir():
        shutil.rmtree(copy, ignore_errors=True)
        subprocess.run(["git", "init", "-q", str(copy)], check=True)

    wanted = files(checkout)
    for path in files(copy) - wanted:
        (copy / path).unlink()
        for parent in path.parents[:-1]:
            if not any((copy / parent).iterdir()):
                (copy / parent).rmdir()
    for path in wanted:
        if not same(checkout / path, copy / path):
            put(checkout / path, copy / path)


if __name__ == "__main__":
    main(*sys.argv[1:])
