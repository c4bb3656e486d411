"""Raw rsync, to choose defaults by: workers x cipher x compression over the same files, in turns."""

from __future__ import annotations

import heapq
import itertools
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from datasets import TARGET, Dataset
from hosts import ACCOUNTS, Bench
from measure import Meter, Sample

__all__ = ["CIPHERS", "Variant", "compare", "variants"]

CIPHERS = {
    "default": "",
    "aes128-gcm": "-c aes128-gcm@openssh.com",
    "aes256-gcm": "-c aes256-gcm@openssh.com",
    "chacha20": "-c chacha20-poly1305@openssh.com",
}
LISTS = "/var/tmp/bench-lists"
SSH = "ssh -T -x -o BatchMode=yes -o ControlPath=none"


@dataclass(frozen=True)
class Variant:
    """One way to call rsync. ``compression`` is an algorithm, perhaps with ``:level``; ``write`` inplace or rename."""

    workers: int
    cipher: str
    compression: str
    write: str = "inplace"

    @property
    def name(self) -> str:
        return f"{self.workers} x {self.cipher} {self.compression}{'' if self.write == 'inplace' else ' rename'}"

    def argv(self, source: str, target: str, names: str) -> list[str]:
        argv = ["rsync", "-tp", "-O", "--whole-file", "--ignore-times", "--from0", f"--files-from={names}"]
        argv += ["--no-implied-dirs", "--inplace"] if self.write == "inplace" else ["--no-implied-dirs"]
        algorithm, colon, level = self.compression.partition(":")
        if algorithm != "none":
            argv += ["--compress", f"--compress-choice={algorithm}", *([f"--compress-level={level}"] if colon else [])]
        rsh = " ".join(filter(None, (SSH, CIPHERS[self.cipher])))
        return [*argv, f"--rsh={rsh}", f"barman@b-barman:{source}/", f"{target}/"]


def variants(
    workers: Sequence[int], ciphers: Sequence[str], compressions: Sequence[str], writes: Sequence[str]
) -> list[Variant]:
    return [Variant(*choice) for choice in itertools.product(workers, ciphers, compressions, writes)]


def shares(files: Sequence[tuple[int, str]], workers: int) -> list[list[str]]:
    """The files dealt out by size, the largest first, each to the worker that has the least."""
    heap: list[tuple[int, int, list[str]]] = [(0, number, []) for number in range(workers)]
    for size, path in sorted(files, reverse=True):
        total, number, names = heapq.heappop(heap)
        names.append(path)
        heapq.heappush(heap, (total + size, number, names))
    return [sorted(names) for _total, _number, names in sorted(heap, key=lambda entry: entry[1])]


def lay_out(bench: Bench, data: Dataset, counts: Sequence[int]) -> None:
    """The lists of names for every number of workers, once; the data directory and its tablespace are one tree here."""
    found = bench.barman.run(["find", data.directory, "-type", "f", "-printf", "%s %P\\0"]).stdout
    files = [(int(size), path) for size, path in (entry.split(" ", 1) for entry in found.split("\0")[:-1])]
    bench.standby.run(["install", "-d", "-o", "postgres", "-g", "postgres", LISTS])
    for count in counts:
        for number, names in enumerate(shares(files, count)):
            bench.standby.write(f"{LISTS}/{count}.{number}", "".join(f"./{name}\0" for name in names))
    directories = bench.barman.run(["find", data.directory, "-mindepth", "1", "-type", "d", "-printf", "%P\\n"]).stdout
    bench.standby.write(f"{LISTS}/directories", directories)


def empty(bench: Bench) -> None:
    script = f'rm -rf "{TARGET}"; mkdir -p "{TARGET}"; cd "{TARGET}"; xargs -d "\\n" mkdir -p < {LISTS}/directories'
    bench.standby.run(["sh", "-euc", f"{script}; sync --file-system ."], user=ACCOUNTS["b-standby"][0], timeout=120)


def measure(bench: Bench, meter: Meter, data: Dataset, variant: Variant) -> Sample:
    empty(bench)
    commands = [
        shlex.join(variant.argv(data.directory, TARGET, f"{LISTS}/{variant.workers}.{number}"))
        for number in range(variant.workers)
    ]
    starts = "".join(f'{command} & pids="$pids $!"\n' for command in commands)
    script = f"pids=\n{starts}for pid in $pids; do wait $pid || exit; done"
    argv = ["sh", "-c", script]
    return meter.sample(lambda: meter.time(bench.standby, "postgres", argv), bench.standby, [TARGET])[0]


def compare(
    bench: Bench, data: Dataset, candidates: Sequence[Variant], runs: int, say: Callable[[str], None]
) -> dict[str, list[Sample]]:
    """Every variant once, then every variant again: what disturbs the machine disturbs them all."""
    lay_out(bench, data, sorted({variant.workers for variant in candidates}))
    meter = Meter(bench)
    results: dict[str, list[Sample]] = {variant.name: [] for variant in candidates}
    for number in range(1, runs + 1):
        for variant in candidates:
            sample = measure(bench, meter, data, variant)
            results[variant.name].append(sample)
            say(
                f"{number}/{runs} {variant.name:30} {sample.seconds:6.2f} + sync {sample.sync_seconds:5.2f} s"
                f" {sample.received / 1e6:6.0f} MB {sample.failure or ''}"
            )
    return results
