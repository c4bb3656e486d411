"""Side-by-side benchmarks: our clone and its peers, over the same backups and the same hosts, in turns.

Usage:
    run.py [--work pgbench,random] [--runs 5] [--scale 140] [--peers ours,rsync] [--before COMMIT]
    run.py transport [--data pgbench] [--workers 1,2] [--ciphers default] [--compress none,lz4] [--rate 200mbit]
    run.py catchup [--segments 64] [--forms plain,gzip] [--ways ours,get-wal] [--runs 5] [--scale 20]
    run.py fleet [--standbys 8] [--runs 5]
    run.py whole [--segments 120] [--runs 5] [--before COMMIT]
    run.py up | down | report

The hosts are made when they are missing and removed at the end, with --keep they stay for the next run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import catchup
import fleet
import hosts
import inside
import peers
import report
import transport
import whole
from datasets import DATASETS, Dataset, prepare
from hosts import Bench, LabError, capped
from measure import Meter, summary
from works import WORKS, Work, rounds

SCALE = 140  # about 2 GB of every shape
ENTRIES = 1_000_000
BEGAN = time.monotonic()


def say(what: str) -> None:
    print(f"{time.monotonic() - BEGAN:7.1f} s  {what}", flush=True)


def bench_work(bench: Bench, options: argparse.Namespace) -> None:
    works = [WORKS[name] for name in options.work]
    peers.install_module(bench)
    if options.before:
        peers.install_before(bench, options.before)
    data = {name: prepare(bench, name, options.scale, say) for name in dict.fromkeys(work.data for work in works)}
    versions = peers.versions(bench) | ({"before": options.before} if options.before else {})
    facts = {"machine": report.machine(), "versions": versions, "runs": options.runs}
    for work in works:
        peers.write_configurations(bench, data[work.data])
        for root in peers.builds(options.before):
            peers.write_arguments(bench, Meter(bench), data[work.data], options.options, root)
        measured = measure(bench, work, data[work.data], options)
        document = {"work": work.name, "what": work.what, **facts, "data": shape(data[work.data]), **measured}
        path = report.write(f"{work.name}-before" if options.before else work.name, document)
        print(f"\n{path.name}\n{report.table(document)}\n", flush=True)


def measure(bench: Bench, work: Work, data: Dataset, options: argparse.Namespace) -> dict[str, Any]:
    if work.name == "overhead":
        found = inside.overhead(bench, data, options.runs, say)
        parts = {"the call": "seconds", "slowest worker": "slowest_worker", "sync": "sync", "the rest": "rest"}
        return {
            "samples": found,
            "unit": "seconds",
            "figures": {name: summary([one[field] for one in found]) for name, field in parts.items()},
        }
    if work.name == "memory":
        peaks = inside.memory(bench, data, options.entries, say)
        names = {"bare": "this backup", "clone": f"and {options.entries:,} entries more"}
        return {"unit": "MiB at the peak", "figures": {names[key]: summary([peak]) for key, peak in peaks.items()}}
    absent = () if options.before else ("before",)
    chosen = [peers.PEERS[name] for name in work.peers if name in options.peers and name not in absent]
    samples = rounds(bench, work, data, chosen, options.runs, say)
    return {
        "options": options.options,
        "peers": report.comparison(samples, {peer.name: peer.what for peer in chosen}),
    }


def bench_transport(bench: Bench, options: argparse.Namespace) -> None:
    data = prepare(bench, options.data, options.scale, say)
    workers = [int(count) for count in options.workers]
    candidates = transport.variants(workers, options.ciphers, options.compress, options.write)
    with capped([bench.barman], options.rate):
        samples = transport.compare(bench, data, candidates, options.runs, say)
    link = f", link capped at {options.rate}" if options.rate else ""
    document = {
        "work": "transport",
        "what": f"raw rsync variants over the {data.name} files{link}; ratios are the first variant's to this one's",
        "machine": report.machine(),
        "versions": peers.versions(bench),
        "runs": options.runs,
        "data": shape(data),
        "peers": report.comparison(samples, {}, candidates[0].name),
    }
    path = report.write("-".join(filter(None, ("transport", data.name, options.rate))), document)
    print(f"\n{path.name}\n{report.table(document)}\n", flush=True)


def bench_catchup(bench: Bench, options: argparse.Namespace) -> None:
    peers.install_module(bench)
    data = prepare(bench, "pgbench", options.scale, say)
    peers.write_configurations(bench, data)
    peers.write_arguments(bench, Meter(bench), data, {})
    found = catchup.catchup(bench, data, options.segments, options.forms, options.ways, options.runs, say)
    for form, measured in found:
        document = {
            "work": f"catchup-{form}",
            "what": f"from the first start to a stream, {measured['segments']} segments behind; the archive is {form}",
            "machine": report.machine(),
            "versions": peers.versions(bench),
            "runs": options.runs,
            "data": shape(data),
            **measured,
        }
        path = report.write(document["work"], document)
        print(f"\n{path.name}\n{report.table(document)}\n", flush=True)


def bench_fleet(options: argparse.Namespace) -> None:
    measured = fleet.fleet(options.runs, options.standbys, say)
    document = {
        "work": "fleet",
        "what": f"a play over {options.standbys} healthy standbys of the lab, and a preflight",
        "machine": report.machine(),
        "versions": {"ansible": fleet.ansible_version()},
        "runs": options.runs,
        "data": None,
        **measured,
    }
    path = report.write(document["work"], document)
    print(f"\n{path.name}\n{report.table(document)}\n", flush=True)


def bench_whole(options: argparse.Namespace) -> None:
    measured = whole.whole(options.runs, options.segments, options.before, say)
    document = {
        "work": f"whole-{measured.pop('segments')}",
        "what": f"the whole play of one empty host of the lab, its backup some {options.segments} WAL segments old",
        "machine": report.machine(),
        "versions": {"ansible": fleet.ansible_version()} | ({"before": options.before} if options.before else {}),
        "runs": options.runs,
        "data": None,
        **measured,
    }
    path = report.write(document["work"], document)
    print(f"\n{path.name}\n{report.table(document)}\n", flush=True)


def shape(data: Dataset) -> dict[str, Any]:
    return {"scale": data.scale, "files": data.files, "bytes": data.bytes}


# --- command line ------------------------------------------------------------------------


def names(known: Mapping[str, Any] | Sequence[str]) -> Any:
    """The type of an option that takes some of these names, separated by commas."""

    def parse(given: str) -> list[str]:
        chosen = given.split(",")
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return chosen

    return parse


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "mode",
        nargs="?",
        default="work",
        choices=("work", "transport", "catchup", "fleet", "whole", "up", "down", "report"),
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", type=int, default=SCALE, help="140 is about 2 GB, or 30,000 relations")
    parser.add_argument("--keep", action="store_true", help="leave the hosts and the data sets for the next run")
    parser.add_argument("--standbys", type=int, default=fleet.STANDBYS, help="of the lab, for fleet")
    work = parser.add_argument_group("work")
    work.add_argument("--work", type=names(WORKS), default=list(WORKS))
    work.add_argument("--peers", type=names(peers.PEERS), default=list(peers.PEERS))
    work.add_argument("--entries", type=int, default=ENTRIES, help="of the generated listing, for memory")
    work.add_argument("--options", type=json.loads, default={}, help='more for standby_clone, such as {"jobs": 4}')
    work.add_argument("--before", metavar="COMMIT", help="measure our clone of this commit as well")
    behind = parser.add_argument_group("catchup")
    behind.add_argument("--segments", type=int, default=64, help="how many the standby has to replay, at least")
    behind.add_argument("--forms", type=names(catchup.FORMS), default=list(catchup.FORMS))
    behind.add_argument("--ways", type=names(catchup.WAYS), default=list(catchup.WAYS))
    raw = parser.add_argument_group("transport")
    raw.add_argument("--data", default="pgbench", choices=DATASETS)
    raw.add_argument("--workers", type=names("1234"), default=list("1234"))
    raw.add_argument("--ciphers", type=names(transport.CIPHERS), default=["default", "aes128-gcm"])
    raw.add_argument("--compress", type=lambda given: given.split(","), default=["none", "lz4", "zstd:1"])
    raw.add_argument("--write", type=names(("inplace", "rename")), default=["inplace"])
    raw.add_argument("--rate", help="cap of the backup host's link, such as 200mbit")
    return parser.parse_args(argv)


def main() -> int:
    options = arguments(sys.argv[1:])
    try:
        if options.mode == "report":
            report.write_readme()
            return 0
        if options.mode in ("fleet", "whole"):
            {"fleet": bench_fleet, "whole": bench_whole}[options.mode](options)
            report.write_readme()
            return 0
        if options.mode == "down":
            hosts.down()
            return 0
        bench = hosts.up()
        say("the hosts are up")
        if options.mode == "up":
            return 0
        try:
            {"transport": bench_transport, "catchup": bench_catchup, "work": bench_work}[options.mode](bench, options)
            report.write_readme()
        finally:
            if not options.keep:
                hosts.down()
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
