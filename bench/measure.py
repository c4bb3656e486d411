"""One command, timed where it runs, with what it cost both ends."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hosts import Bench, Host, run

__all__ = ["Meter", "Sample", "Stopwatch", "summary"]

CGROUPS = Path("/sys/fs/cgroup")
# The clock of the machine is the clock of its containers, so starting a command in one is not part of the time.
TIMED = """
begin=$(date +%s%N)
"$@" >/tmp/bench.out 2>/tmp/bench.err </dev/null
rc=$?
end=$(date +%s%N)
echo "$rc $begin $end"
"""


@dataclass(frozen=True)
class Sample:
    """One run of one peer. Bytes are those on the target's link; seconds of CPU are user and system."""

    seconds: float
    sync_seconds: float
    cpu_target: float | None
    cpu_source: float | None
    received: int
    sent: int
    failure: str | None = None

    @property
    def durable(self) -> float:
        return self.seconds + self.sync_seconds


@dataclass(frozen=True)
class Stopwatch:
    rc: int
    seconds: float
    out: str
    err: str


Watch = Callable[[], Stopwatch]


class Meter:
    """Reads the counters of the hosts from outside, so that reading them costs the hosts nothing."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        shown = [
            host.podman("inspect", "--format", "{{.State.Pid}} {{.State.CgroupPath}}", host.container).stdout.split()
            for host in bench.all
        ]
        self._pids = {host.name: int(pid) for host, (pid, _path) in zip(bench.all, shown, strict=True)}
        self._groups = {host.name: path for host, (_pid, path) in zip(bench.all, shown, strict=True)}

    def cpu(self, host: Host) -> float | None:
        """Seconds of CPU that the host has used, from either generation of cgroups."""
        group = self._groups[host.name].strip("/")
        for controller in ("cpuacct", "cpu,cpuacct"):
            usage = CGROUPS / controller / group / "cpuacct.usage"
            if usage.exists():
                return int(usage.read_text()) / 1e9
        for top in (CGROUPS, CGROUPS / "unified"):
            stat = top / group / "cpu.stat"
            fields = dict(line.split() for line in stat.read_text().splitlines()) if stat.exists() else {}
            if "usage_usec" in fields:
                return int(fields["usage_usec"]) / 1e6
        return None

    def wire(self, host: Host) -> tuple[int, int]:
        """Bytes received and sent on the host's link."""
        for line in Path(f"/proc/{self._pids[host.name]}/net/dev").read_text().splitlines():
            name, colon, counters = line.partition(":")
            if colon and name.strip() == "eth0":
                fields = counters.split()
                return int(fields[0]), int(fields[8])
        return 0, 0

    def time(self, host: Host, user: str, argv: Sequence[str], timeout: float = 1800) -> Stopwatch:
        command = host.contained(["sh", "-c", TIMED, "sh", *argv], user)
        done = run(command, timeout=timeout, env=host.podman.env)
        rc, begin, end = (int(field) for field in done.stdout.split())
        out = host.run(["cat", "/tmp/bench.out"]).stdout
        err = host.run(["cat", "/tmp/bench.err"]).stdout
        host.run(["rm", "-f", "/tmp/bench.out", "/tmp/bench.err"])
        return Stopwatch(rc, (end - begin) / 1e9, out, err)

    def sample(self, watch: Watch, sync_on: Host, paths: Sequence[str]) -> tuple[Sample, Stopwatch]:
        """Time it, then time making its result durable, which some peers leave to chance."""
        target, sources = self.bench.standby, [self.bench.barman, self.bench.primary]
        cpu = [self.cpu(host) for host in (target, *sources)]
        received, sent = self.wire(target)
        stopped = watch()
        used = [
            after - before if after is not None and before is not None else None
            for before, after in zip(cpu, [self.cpu(host) for host in (target, *sources)], strict=True)
        ]
        received, sent = (now - then for now, then in zip(self.wire(target), (received, sent), strict=True))
        there = [path for path in paths if sync_on.exists(path)]
        synced = self.time(sync_on, "root", ["sync", "--file-system", *there]).seconds if there else 0.0
        at_source = None if used[1] is None or used[2] is None else used[1] + used[2]
        failure = None if stopped.rc == 0 else reason(stopped)
        return Sample(stopped.seconds, synced, used[0], at_source, received, sent, failure), stopped


def reason(stopped: Stopwatch) -> str:
    """Why it failed, in one line without the names of directories."""
    lines = [line for line in (stopped.err or stopped.out).strip().splitlines() if line.strip()]
    return f"rc {stopped.rc}: {lines[-1].strip()[:120] if lines else 'nothing said'}"


def summary(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
