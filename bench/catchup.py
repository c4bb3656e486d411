"""From files that are there to a stream: who brings the WAL of an old backup how fast."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import report
from datasets import BACKREST_CONF, BINDIR, TARGET, Dataset, psql
from hosts import Bench, File, LabError, capped
from measure import Meter, Sample, Stopwatch, summary
from peers import BARMAN, MODULE_ROOT, module_argv
from podman import wait_for
from works import STATE, empty

__all__ = ["FORMS", "WAYS", "catchup"]

SAVED, PLAIN, NEAR = "/srv/bench-saved", "/srv/bench-plain", "/srv/bench-near"
PUSH_CONF = "/etc/pgbackrest-push.conf"
LINK = "/usr/local/bin/barman"  # before Debian's in PATH: the newest answers `barman get-wal`
# How Barman has its WAL: the program that makes it so, and whether it all comes over a link of 200 Mbit/s.
FORMS: Mapping[str, tuple[str, str | None]] = {
    "plain": ("cat", None),
    "gzip": ("gzip -c", None),
    "lz4": ("lz4 -qc", None),
    "zstd": ("zstd -qc", None),
    "slow": ("cat", "200mbit"),
}


@dataclass(frozen=True)
class Way:
    """``command`` is the standby's restore_command, ``auto`` that of our role; ``fed`` is ours, by the feed."""

    name: str
    what: str
    command: str
    fed: bool = False
    plain_only: bool = False


WAYS: Mapping[str, Way] = {
    way.name: way
    for way in (
        Way("ours", "standby_wal_feed, and barman-wal-restore for what it does not have", "auto", fed=True),
        Way("barman-wal-restore", "barman-wal-restore, as our role has it without the feed", "auto"),
        Way("parallel", "barman-wal-restore --parallel 8", "barman-wal-restore -U barman -P --parallel 8"
            " --spool-dir /tmp/bench-spool b-barman {name} %f %p"),
        Way("get-wal", "barman get-wal over ssh", "ssh -q barman@b-barman barman get-wal {name} %f > %p"),
        Way("pgbackrest", "pgBackRest, archive-get with archive-async and process-max=2",
            f"pgbackrest --config={PUSH_CONF} --stanza={{name}} archive-get %f %p", plain_only=True),
        Way("near", "cp, from a directory of the standby's own", f"cp {NEAR}/%f %p", plain_only=True),
    )
}  # fmt: skip


def catchup(
    bench: Bench, data: Dataset, segments: int, forms: list[str], ways: list[str], runs: int, say: Callable[[str], None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of one form of the archive after the other: what the ways cost, as a document's part.

    The clocks run inside of the standby.
    """
    bench.barman.run(["ln", "-sfn", BARMAN, LINK])
    try:
        count = archive(bench, data, segments, say)
        save(bench, Meter(bench), data)
        for form in forms:
            yield form, measure(bench, data, form, count, ways, runs, say)
    finally:
        bench.barman.run(["rm", "-f", LINK])


def measure(
    bench: Bench, data: Dataset, form: str, count: int, ways: list[str], runs: int, say: Callable[[str], None]
) -> dict[str, Any]:
    _program, rate = FORMS[form]
    shape_archive(bench, data, form)
    chosen = [WAYS[name] for name in ways if form == "plain" or not WAYS[name].plain_only]
    samples: dict[str, list[Sample]] = {way.name: [] for way in chosen}
    held: dict[str, list[float]] = {"memory": [], "spool": []}
    meter = Meter(bench)
    for number in range(1, runs + 1):
        for way in chosen:
            set_up(bench, meter, data, way)
            with capped([bench.barman], rate):
                sample, told = take(bench, meter, way)
            samples[way.name].append(sample)
            say(f"catchup {form} {number}/{runs} {way.name:18} {sample.seconds:7.2f} s {sample.failure or ''}")
            if way.fed:
                held["memory"].append(told["memory"] / 1024)
                held["spool"].append(told["spool"] / 2**20)
    return {
        "segments": count,
        "held": {name: summary(values) for name, values in held.items() if values},
        "peers": report.comparison(samples, {way.name: way.what for way in chosen}),
    }


def take(bench: Bench, meter: Meter, way: Way) -> tuple[Sample, dict[str, float]]:
    """One catch-up; its sample, of which the clock is that of the program on the standby."""
    feed = module_argv("standby_wal_feed", f"{MODULE_ROOT}/feed.json") if way.fed else []
    argv = ["python3", f"{MODULE_ROOT}/onhost/catchup.py", BINDIR, TARGET, f"{STATE}/wal_feed", *feed]
    sample, stopped = meter.sample(lambda: meter.time(bench.standby, "postgres", argv, 1200), bench.standby, [TARGET])
    if sample.failure is not None:
        return sample, {"memory": 0.0, "spool": 0.0}
    told = {name: float(value) for name, value in re.findall(r"(?m)^(\w+) ([0-9.]+)$", stopped.out)}
    return replace(sample, seconds=told["seconds"]), told


def set_up(bench: Bench, meter: Meter, data: Dataset, way: Way) -> None:
    """The standby as it is after the copy, with the settings of this way, and not started."""
    standby = bench.standby
    stop(bench)
    call(bench, meter, "standby_wal_feed", {"data_directory": TARGET, "state": "absent"})
    standby.run(["rm", "-rf", TARGET, data.tablespace, "/tmp/bench-spool", "/var/spool/pgbackrest"], timeout=300)
    standby.run(["install", "-d", "-o", "postgres", "-g", "postgres", "/var/spool/pgbackrest"])
    for place in (TARGET, data.tablespace):
        standby.run(["cp", "-a", SAVED + place, place], timeout=600)
    options = {
        "data_directory": TARGET,
        "pg_bindir": BINDIR,
        "upstream_conninfo": {"host": "b-primary", "port": data.port, "user": "postgres"},
        "application_name": "b-standby",
        "barman_host": "barman@b-barman",
        "barman_server": data.name,
        "restore_command": way.command.format(name=data.name),
        "wal_feed": way.fed,
    }
    call(bench, meter, "standby_recovery", options)
    standby.run(["sync", "--file-system", TARGET], timeout=300)


def stop(bench: Bench) -> None:
    """Stop the last turn's server."""
    script = f"[ ! -e {TARGET}/postmaster.pid ] || {BINDIR}/pg_ctl -s -m immediate -D {TARGET} stop"
    bench.standby.run(["sh", "-c", script], user="postgres", timeout=300)


def call(bench: Bench, meter: Meter, module: str, options: Mapping[str, Any]) -> Stopwatch:
    """A module of ours, which has to succeed."""
    place = f"{MODULE_ROOT}/options.json"
    bench.standby.write(place, json.dumps({"ANSIBLE_MODULE_ARGS": options}))
    done = meter.time(bench.standby, "postgres", module_argv(module, place))
    if done.rc:
        raise LabError(f"{module}: {done.out or done.err}")
    return done


# --- what is brought -------------------------------------------------------------------


def wals_of(data: Dataset) -> str:
    return f"/var/lib/barman/{data.name}/wals"


def archived(bench: Bench, data: Dataset, begin: str) -> list[str]:
    """The segments of Barman's archive from the backup's first on."""
    listed = bench.barman.run(["find", wals_of(data), "-type", "f", "-printf", "%f\\n"]).stdout.split()
    return sorted(name for name in listed if re.fullmatch(r"[0-9A-F]{24}", name) and name >= begin)


def archive(bench: Bench, data: Dataset, segments: int, say: Callable[[str], None]) -> int:
    """Have the primary write so many segments after the backup, into the archives of all; how many there are."""
    conf = "\n".join(
        [
            "[global]",
            "repo1-host=b-barman",
            "repo1-host-user=barman",
            f"repo1-host-config={BACKREST_CONF}.{data.name}",
            "process-max=2",
            "archive-async=y",
            "spool-path=/var/spool/pgbackrest",
            "log-level-console=warn",
            "log-level-file=off",
            "lock-path=/tmp/pgbackrest",
            f"[{data.name}]",
            f"pg1-path={data.pgdata}",
            f"pg1-port={data.port}",
            "",
        ]
    )
    bench.primary.write(PUSH_CONF, conf.replace("archive-async=y\n", ""))
    bench.standby.write(PUSH_CONF, conf.replace(data.pgdata, TARGET).replace(f"pg1-port={data.port}\n", ""))
    backup = json.loads((bench.state / "clone.json").read_text())["backup"]
    turn = 0
    while True:
        settle(bench, data)
        bench.barman.run(["barman", "archive-wal", data.name], user="barman", timeout=600)
        there = archived(bench, data, backup["begin_wal"])
        say(f"{len(there)} segments are archived since the backup")
        if len(there) >= segments:
            break
        psql(
            bench, data, f"UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 8 = {turn % 8}", timeout=600
        )
        turn += 1
    keep_plain(bench, data, there)
    return len(there)


def settle(bench: Bench, data: Dataset) -> None:
    """End the segment and wait until all is archived."""
    last = psql(bench, data, "SELECT pg_walfile_name(pg_switch_wal())")
    done = f"SELECT last_archived_wal >= '{last}' FROM pg_stat_archiver"
    wait_for(lambda: psql(bench, data, done) == "t", "the archiver to be done")


def keep_plain(bench: Bench, data: Dataset, names: list[str]) -> None:
    """The same segments beside Barman's archive, in pgBackRest's, and on the standby for who needs no network."""
    bench.barman.run(["rm", "-rf", PLAIN])
    bench.barman.run(["cp", "-a", wals_of(data), PLAIN], timeout=300)
    wanted = "".join(f"{name[:16]}/{name}\n" for name in names)
    argv = ["rsync", "-a", "--no-relative", "--files-from=-", f"barman@b-barman:{wals_of(data)}/", f"{NEAR}/"]
    for host in (bench.standby, bench.primary):
        host.run(["rm", "-rf", NEAR])
        host.run(["install", "-d", "-o", "postgres", "-g", "postgres", NEAR])
        host.run(argv, user="postgres", input=wanted, timeout=600)
    push = f'for f in {NEAR}/*; do pgbackrest --config={PUSH_CONF} --stanza={data.name} archive-push "$f"; done'
    bench.primary.run(["sh", "-euc", push], user="postgres", timeout=900)


def shape_archive(bench: Bench, data: Dataset, form: str) -> None:
    """Have Barman's archive in a form. Barman looks at a segment's first bytes to see how to unpack it."""
    program, _rate = FORMS[form]
    script = f'cd {PLAIN} && for f in */????????????????????????; do {program} "$f" >{wals_of(data)}/"$f"; done'
    bench.barman.run(["sh", "-euc", script], user="barman", timeout=900)


def save(bench: Bench, meter: Meter, data: Dataset) -> None:
    """Copy the backup once; every turn begins with these files."""
    standby = bench.standby
    stop(bench)
    empty(bench, data)
    copied = meter.time(standby, "postgres", module_argv("standby_clone", f"{MODULE_ROOT}/clone.json"))
    if copied.rc:
        raise LabError(f"standby_clone: {copied.out or copied.err}")
    given = json.loads(standby.read(f"{MODULE_ROOT}/clone.json"))["ANSIBLE_MODULE_ARGS"]
    feed = {"barman_executable": BARMAN, **{name: given[name] for name in ("barman_host", "backup", "data_directory")}}
    conf = "listen_addresses = ''\nunix_socket_directories = '/tmp'\nmax_connections = 100\n"
    standby.put(
        [
            File(f"{MODULE_ROOT}/feed.json", json.dumps({"ANSIBLE_MODULE_ARGS": feed})),
            File(f"{TARGET}/postgresql.conf", conf, "postgres", 0o600),
            File(f"{TARGET}/pg_hba.conf", "local all all trust\n", "postgres", 0o600),
            File(f"{TARGET}/pg_ident.conf", "", "postgres", 0o600),
        ]
    )
    standby.run(["rm", "-rf", SAVED])
    for place in (TARGET, data.tablespace):
        standby.run(["mkdir", "-p", (SAVED + place).rpartition("/")[0]])
        standby.run(["cp", "-a", place, SAVED + place], timeout=600)
