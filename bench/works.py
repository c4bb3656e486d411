"""The work items, each measured in rounds: every peer once, then every peer again."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from datasets import TARGET, Dataset
from hosts import Bench, LabError, capped
from measure import Meter, Sample, Stopwatch
from peers import FLOOR, OLDER, PEERS, Peer, module_argv

__all__ = ["STATE", "WORKS", "Work", "empty", "rounds"]

STATE = "/var/lib/postgresql/15/.main.standby"  # ours, beside the target
# Servers write these on their own, or every tool writes them its own way.
OWN = ("/postgresql.auto.conf*", "/*.signal", "/backup_label*", "/tablespace_map*", "/pg_wal/*", "/pg_stat*/*")


@dataclass(frozen=True)
class Work:
    """``start`` is what the target holds: nothing, the older backup, or what the same peer has just restored."""

    name: str
    what: str
    data: str
    start: str = "empty"
    rate: str | None = None
    peers: tuple[str, ...] = tuple(PEERS)


AGAIN = tuple(name for name, peer in PEERS.items() if peer.again)
LINKED = tuple(name for name in PEERS if name not in ("ansible", "floor"))
WORKS = {
    work.name: work
    for work in (
        Work("pgbench", "pgbench's tables, one tablespace", "pgbench"),
        Work("random", "tables of random bytes, which do not compress", "random"),
        Work("relations", "very many relations of one page", "relations"),
        Work("slow", "pgbench's tables, the sender's link capped at 200 Mbit/s", "pgbench", rate="200mbit",
             peers=LINKED),
        Work("changed", "over an older backup; 1 % of the pages changed since, spread evenly", "changed", "older",
             peers=AGAIN),
        Work("changed-slow", "the same, the sender's link capped at 200 Mbit/s", "changed", "older", rate="200mbit",
             peers=AGAIN),
        Work("nothing", "over what the same tool has just restored", "pgbench", "restored", peers=AGAIN),
        Work("overhead", "our seconds beside the slowest worker's transfer and the sync", "pgbench", peers=("ours",)),
        Work("memory", "our memory for a backup of very many files", "pgbench", peers=("ours",)),
    )
}  # fmt: skip


def rounds(
    bench: Bench, work: Work, data: Dataset, peers: Sequence[Peer], runs: int, say: Callable[[str], None]
) -> dict[str, list[Sample]]:
    """The samples of each peer, one per round; a peer that fails has said why in its sample."""
    meter = Meter(bench)
    results: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
    for number in range(1, runs + 1):
        for peer in peers:
            set_up(bench, meter, work, data, peer)
            with capped([bench.barman, bench.primary], work.rate):
                sample = measure(bench, meter, work, data, peer)
            results[peer.name].append(sample)
            say(
                f"{work.name} {number}/{runs} {peer.name:13} {sample.seconds:7.2f} + sync {sample.sync_seconds:5.2f} s"
                f" {sample.received / 1e6:7.0f} MB {sample.failure or ''}"
            )
    return results


def set_up(bench: Bench, meter: Meter, work: Work, data: Dataset, peer: Peer) -> None:
    empty(bench, data)
    filled: Stopwatch | None = None
    if work.start == "restored":
        filled = peer.time(bench, meter, data)
    elif work.start == "older":
        filled = meter.time(bench.standby, "postgres", module_argv("standby_clone", OLDER))
    if filled is not None:
        if filled.rc:
            raise LabError(f"cannot fill the target for {peer.name}: {filled.err or filled.out}")
        bench.standby.run(["sync", "--file-system", TARGET, data.tablespace], timeout=300)


def empty(bench: Bench, data: Dataset) -> None:
    """Empty directories for everybody, and nothing of the last peer still on its way to the disk."""
    places = [TARGET, data.tablespace]
    bench.standby.run(["rm", "-rf", STATE, *places], timeout=300)
    # The parent too: the record of a copy lies beside the data directory.
    parent = TARGET.rpartition("/")[0]
    bench.standby.run(["install", "-d", "-m", "700", "-o", "postgres", "-g", "postgres", parent, *places])
    bench.standby.run(["sync", "--file-system", *places], timeout=300)
    bench.barman.run(["rm", "-rf", FLOOR], timeout=300)
    bench.barman.run(["install", "-d", "-o", "barman", "-g", "barman", FLOOR])
    bench.barman.run(["sync", "--file-system", FLOOR], timeout=300)


def measure(bench: Bench, meter: Meter, work: Work, data: Dataset, peer: Peer) -> Sample:
    again = work.start != "empty"
    sample, stopped = meter.sample(lambda: peer.time(bench, meter, data, again), peer.where(bench), peer.places(data))
    if sample.failure is not None:
        return replace(sample, failure=code_of(stopped) or sample.failure)
    wrong = incomplete(bench, data, peer) or (work.start == "older" and differing(bench, data, peer)) or None
    return replace(sample, failure=wrong)


def code_of(stopped: Stopwatch) -> str | None:
    """The error code of a module that refused, from its result or from what Ansible prints of it."""
    code = re.search(r'"error_code": "(\w+)"', stopped.out)
    return f"refuses: {code[1]}" if code else None


def incomplete(bench: Bench, data: Dataset, peer: Peer) -> str | None:
    """Why what is there is no whole copy, by its bytes and its control file."""
    host, places = peer.where(bench), peer.places(data)
    top = f"{FLOOR}/{data.backup_id}/data" if peer.name == "floor" else TARGET
    if not host.exists(f"{top}/global/pg_control"):
        return "left no pg_control"
    listed = host.run(["find", *places, "-type", "f", "-printf", "%s\\n"], timeout=120).stdout.split()
    found = sum(map(int, listed))
    return None if found > 0.98 * data.bytes else f"left {found} of {data.bytes} bytes"


def differing(bench: Bench, data: Dataset, peer: Peer) -> str | None:
    """How many files of the result are not those of the backup, by content."""
    count = 0
    tables_only = ["--min-size=1m"] if peer.own_backup else []
    for source, target in data.trees:
        argv = ["rsync", "-rcn", "--out-format=%n", *tables_only, *(f"--exclude={name}" for name in OWN)]
        listed = bench.standby.run([*argv, f"barman@b-barman:{source}/", f"{target}/"], user="postgres", timeout=300)
        count += sum(not line.endswith("/") for line in listed.stdout.splitlines())
    return f"leaves {count} files that differ from the backup" if count else None
