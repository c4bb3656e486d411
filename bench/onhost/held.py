"""The memory of processes on the target."""

import contextlib
import re
from pathlib import Path

__all__ = ["held"]


def held(pids: set[str]) -> int:
    """KiB that the processes hold, what two of them share counted once: the sum of proportional set sizes."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total
