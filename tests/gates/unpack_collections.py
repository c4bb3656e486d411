"""Take named collections out of the wheel of the community package.

usage: unpack_collections.py WHEEL ROOT NAMESPACE.NAME...
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path


def main(wheel: str, root: str, *names: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            folder = "ansible_collections/" + name.replace(".", "/")
            members = [member for member in archive.namelist() if member.startswith(folder + "/")]
            if not members:
                sys.exit(f"{wheel} holds no collection {name}")
            shutil.rmtree(Path(root, folder), ignore_errors=True)
            archive.extractall(root, members)


if __name__ == "__main__":
    main(*sys.argv[1:])
