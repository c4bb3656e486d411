"""Results as data, and the tables made from them."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure import Sample, summary

__all__ = ["comparison", "machine", "table", "write", "write_readme"]

RESULTS = Path(__file__).resolve().parent / "results"
HEAD = """\
# Benchmarks

Made by `make bench` from the JSON files beside this one, the newest of each work item; do not edit.

Every figure is a median with the least and the most in brackets. A ratio is ours divided by the peer's seconds in the
same round, so that what disturbs the machine disturbs both; below 1 we are faster. Compare within one table only:
the hosts are containers on one machine, which share its cores, its memory and its disk.

- *seconds*: the tool's own call, from start to end, where it runs.
- *durable*: the same and a `sync -f` after it. Ours, `pg_basebackup`, pgBackRest and the floor have synced by
  then; the others leave it to the kernel.
- *ratio*, *ratio durable*: ours to the peer's, of either.
- *CPU*: seconds of user and system time on the target and on the senders together.
- *wire*: bytes received on the target's link.
"""


def machine() -> dict[str, Any]:
    """What a reader needs to judge the figures, and nothing that names the machine."""
    memory = Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]
    processor = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory) / 1e6, 1),
        "processor": processor[0].partition(":")[2].strip() if processor else "unknown",
        "kernel": os.uname().release.split("-")[0],
    }


def comparison(results: Mapping[str, Sequence[Sample]], whats: Mapping[str, str], base: str = "ours") -> dict[str, Any]:
    """Each peer's samples, their summaries, and how the base's compare with them round by round."""
    return {
        name: entry(samples, () if name == base else results.get(base, ()), whats.get(name, name))
        for name, samples in results.items()
    }


def entry(samples: Sequence[Sample], base: Sequence[Sample], what: str) -> dict[str, Any]:
    made: dict[str, Any] = {"what": what, "samples": [asdict(sample) for sample in samples]}
    good = [sample for sample in samples if sample.failure is None]
    failures = sorted({sample.failure for sample in samples if sample.failure is not None})
    if failures:
        made["failures"] = failures
    if not good:
        return made
    for field in ("seconds", "durable", "cpu_target", "cpu_source", "received"):
        values = [value for value in (getattr(sample, field) for sample in good) if value is not None]
        if values:
            made[field] = summary(values)
    pairs = [(a, b) for a, b in zip(base, samples, strict=False) if a.failure is None and b.failure is None]
    if pairs:
        made["ratio"] = summary([a.seconds / b.seconds for a, b in pairs])
        made["ratio_durable"] = summary([a.durable / b.durable for a, b in pairs])
    return made


def write(name: str, document: Mapping[str, Any], results: Path = RESULTS) -> Path:
    results.mkdir(exist_ok=True)
    path = results / f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}-{name}.json"
    path.write_text(json.dumps(document, indent=1, default=str) + "\n")
    return path


def write_readme(results: Path = RESULTS) -> None:
    newest: dict[str, Path] = {}
    for path in sorted(results.glob("????-??-??-*.json")):
        newest[path.stem[11:]] = path
    parts = [HEAD, peers_told(newest.values()), *(section(path) for path in newest.values())]
    (results / "README.md").write_text("\n".join(parts))


def peers_told(paths: Iterable[Path]) -> str:
    told: dict[str, str] = {}
    for path in paths:
        peers = json.loads(path.read_text()).get("peers", {})
        told.update((name, peer["what"]) for name, peer in peers.items() if peer["what"] != name)
    return "".join(f"- **{name}**: {what}\n" for name, what in told.items())


def section(path: Path) -> str:
    document = json.loads(path.read_text())
    facts, data = document["machine"], document["data"]
    versions = ", ".join(f"{name}: {said}" for name, said in document["versions"].items())
    size = f"{data['files']:,} files, {data['bytes'] / 1e6:,.0f} MB; " if data else ""
    return "\n".join(
        [
            f"## {document['work']}: {document['what']}",
            "",
            f"{path.stem[:10]}; {size}rounds: {document['runs']};"
            f" {facts['cores']} cores ({facts['processor']}), {facts['memory_gb']} GB, Linux {facts['kernel']}.",
            "",
            table(document),
            "",
            f"Versions: {versions}.",
            "",
        ]
    )


def table(document: Mapping[str, Any]) -> str:
    """The figures of one work item, as Markdown."""
    if "figures" in document:
        rows = [[name, text(figures, 2)] for name, figures in document["figures"].items()]
        return grid(["", document["unit"]], rows)
    head = ["", "seconds", "durable", "ratio", "ratio durable", "CPU target", "CPU senders", "wire MB"]
    told = grid(head, [row(name, peer) for name, peer in document["peers"].items()])
    held = "; ".join(f"{name} {text(figures, 0)}" for name, figures in document.get("held", {}).items())
    return f"{told}\n\nHeld by the feed at the peak, MiB: {held}." if held else told


def row(name: str, peer: Mapping[str, Any]) -> list[str]:
    failures = "; ".join(peer.get("failures", ()))
    if "seconds" not in peer:
        return [name, failures, *[""] * 6]
    return [
        f"{name} (in some rounds: {failures})" if failures else name,
        text(peer["seconds"], 2),
        text(peer["durable"], 2),
        text(peer.get("ratio"), 2),
        text(peer.get("ratio_durable"), 2),
        text(peer.get("cpu_target"), 1, spread=False),
        text(peer.get("cpu_source"), 1, spread=False),
        text({key: value / 1e6 for key, value in peer["received"].items()}, 0, spread=False),
    ]


def text(figures: Mapping[str, float] | None, digits: int, spread: bool = True) -> str:
    if not figures:
        return ""
    median = f"{figures['median']:.{digits}f}"
    return f"{median} ({figures['min']:.{digits}f} to {figures['max']:.{digits}f})" if spread else median


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    lines = [[*head], ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
