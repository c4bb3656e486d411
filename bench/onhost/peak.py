"""Run a command and say the most memory that it and all it started held at once, in KiB, as the last line.

Memory is the sum of proportional set sizes, so what two processes share counts once. The copy is no descendant of
the command, so every process of this user that was not there before counts.
"""

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

from held import held

ended = threading.Event()
peak = 0


def processes() -> set[str]:
    found = set()
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit() and path.stat().st_uid == os.getuid():
                found.add(path.name)
    return found


def watch(before: set[str]) -> None:
    global peak
    while not ended.wait(0.1):
        peak = max(peak, held(processes() - before))


watcher = threading.Thread(target=watch, args=(processes(),))
watcher.start()
done = subprocess.run(sys.argv[1:], check=False)
ended.set()
watcher.join()
print(f"\npeak {peak}")
sys.exit(done.returncode)
