"""Start a standby, and the command that feeds it if one is given, and say when it streams.

usage: catchup.py BINDIR DATA_DIRECTORY SPOOL [COMMAND...]

The clock runs from the first start of the two to the first sight of a WAL receiver that streams. The last lines say
`seconds`, and of what the command has started the most memory at once (KiB) and the most bytes in the spool.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from held import held

LOOK_SECONDS = 0.05

STREAMS = re.compile(r"postgres: .*walreceiver.* streaming")


def titles() -> dict[str, str]:
    """The command lines of this user's processes."""
    found = {}
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit() and path.stat().st_uid == os.getuid():
                found[path.name] = (path / "cmdline").read_text().replace("\0", " ")
    return found


def spooled(spool: Path) -> int:
    """Bytes below the spool."""
    total = 0
    for directory, _names, files in os.walk(spool):
        for name in files:
            with contextlib.suppress(OSError):
                total += (Path(directory) / name).stat().st_size
    return total


bindir, data, spool, *command = sys.argv[1:]
before = set(titles())
peak = most = 0
began = time.monotonic()
if command:
    subprocess.run(command, check=True)
    fed = set(titles()) - before
subprocess.run([f"{bindir}/pg_ctl", "-s", "-W", "-D", data, "-l", f"{data}/log", "start"], check=True)
while True:
    seen = titles()
    if any(STREAMS.match(title) for title in seen.values()):
        break
    if command:
        # What is not PostgreSQL's own and was not there before, the feed has started.
        ours = {pid for pid, title in seen.items() if pid not in before and not title.startswith(("postgres", bindir))}
        peak = max(peak, held(ours - {str(os.getpid())}))
        most = max(most, spooled(Path(spool)))
    time.sleep(LOOK_SECONDS)
print(f"seconds {time.monotonic() - began:.3f}")
print(f"memory {peak}")
print(f"spool {most}")
