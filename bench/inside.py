"""What only our own module is asked: its time beside the transfer, and its memory."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass

from datasets import Dataset
from hosts import Bench, LabError
from measure import Meter, Stopwatch
from peers import ARGUMENTS, MODULE_ROOT, module_argv
from works import empty

__all__ = ["memory", "overhead"]

TRACE = "/var/tmp/bench-trace"
PATHS = f"{MODULE_ROOT}/lib:{MODULE_ROOT}/onhost"


@dataclass(frozen=True)
class Overhead:
    """Seconds of one call: all of it, its slowest worker's rsyncs, its syncs, and the rest."""

    seconds: float
    slowest_worker: float
    sync: float

    @property
    def rest(self) -> float:
        return self.seconds - self.slowest_worker - self.sync


def overhead(bench: Bench, data: Dataset, runs: int, say: Callable[[str], None]) -> list[dict[str, float]]:
    meter, found = Meter(bench), []
    for number in range(1, runs + 1):
        empty(bench, data)
        bench.standby.run(["rm", "-f", TRACE])
        argv = module_argv("standby_clone", ARGUMENTS, f"BENCH_TRACE={TRACE}", path=PATHS)
        done = must(meter.time(bench.standby, "postgres", argv))
        one = split(done.seconds, bench.standby.read(TRACE))
        say(f"overhead {number}/{runs} {one.rest:6.2f} s beside {one.slowest_worker:.2f} + sync {one.sync:.2f} s")
        found.append({**asdict(one), "rest": one.rest})
    return found


def split(seconds: float, trace: str) -> Overhead:
    """By what the trace says of every program: begin, end, the thread that waited, name.

    The file systems are also synced while rsyncs run; of that only what lasts longer than they do counts.
    """
    lines = [line.split(maxsplit=3) for line in trace.splitlines()]
    programs = [(float(begin), float(end), thread, program) for begin, end, thread, program in lines]
    workers: dict[str, float] = defaultdict(float)
    for begin, end, thread, program in programs:
        if program == "rsync":
            workers[thread] += end - begin
    slowest = max(workers, key=lambda thread: workers[thread])
    copied = max(end for _begin, end, thread, program in programs if (thread, program) == (slowest, "rsync"))
    syncs = [(max(begin, copied), end) for begin, end, _thread, program in programs if program == "sync"]
    return Overhead(seconds, workers[slowest], sum(end - begin for begin, end in syncs if end > begin))


def memory(bench: Bench, data: Dataset, entries: int, say: Callable[[str], None]) -> dict[str, float]:
    """The peak of the module with that many more entries in the listing: planning alone, and a whole clone."""
    meter, peaks = Meter(bench), {}
    for name, more in (("bare", 0), ("clone", entries)):
        empty(bench, data)
        path = f"PATH={MODULE_ROOT}/bin:/usr/bin:/bin"
        prefix = [path, f"BENCH_ENTRIES={more}", "python3", f"{MODULE_ROOT}/onhost/peak.py"]
        done = must(meter.time(bench.standby, "postgres", module_argv("standby_clone", ARGUMENTS, *prefix)))
        peak = re.search(r"^peak (\d+)$", done.out, re.MULTILINE)
        if peak is None:
            raise LabError("the peak of memory was not said")
        peaks[name] = int(peak[1]) / 1024
        say(f"memory, {more} entries more: {peaks[name]:.0f} MiB in {done.seconds:.1f} s")
    empty(bench, data)
    return peaks


def must(done: Stopwatch) -> Stopwatch:
    if done.rc:
        raise LabError(f"standby_clone failed: {done.out or done.err}")
    return done
