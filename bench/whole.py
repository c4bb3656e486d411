"""The whole play of one empty host of the lab, to a standby that streams, beside an earlier build of ours."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleet import PLAYBOOK
from hosts import ROOT, LabError
from lab import Lab, up
from measure import summary

__all__ = ["whole"]

HOST = "n1"
NOW, BEFORE = "ours", "before"

# A sixth of the accounts is changed a time, and each page of them is written to the WAL as a whole.
WRITE = "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 6 = {turn}; CHECKPOINT"


def whole(runs: int, segments: int, commit: str | None, say: Callable[[str], None], scale: int = 24) -> dict[str, Any]:
    """Seconds of the play in turns, from the start of ansible-playbook to its end, and the ratio in each round.

    The backup is so many WAL segments old when the rounds begin; all of them are in Barman's archive.
    """
    up(1, scale, all_backups=False)
    lab = Lab.load()
    lab.backup("pg")
    behind = write_wal(lab, segments)
    say(f"whole: the backup is {behind} segments old")
    with builds(commit) as places:
        found: dict[str, list[float]] = {name: [] for name in places}
        ratios = []
        for number in range(1, runs + 1):
            for name, place in places.items():
                lab.reset(HOST)
                found[name].append(provision(lab, place))
                say(f"whole {number}/{runs} {name}: {found[name][-1]:.1f} s")
            if commit:
                ratios.append(found[NOW][-1] / found[BEFORE][-1])
    figures = {name: summary(values) for name, values in found.items()}
    if commit:
        figures["ratio"] = summary(ratios)
    return {"unit": "seconds; the ratio is that within a round", "segments": behind, "figures": figures}


def write_wal(lab: Lab, segments: int) -> int:
    """Have the primary write WAL and Barman archive it: how many segments came after the backup."""
    began = current(lab)
    turn = 0
    while current(lab) - began < segments:
        for statement in WRITE.format(turn=turn % 6).split("; "):
            lab.primary_sql(statement, "bench")
        turn += 1
    last = lab.primary_sql("SELECT pg_walfile_name(pg_switch_wal())")
    while last > lab.primary_sql("SELECT last_archived_wal FROM pg_stat_archiver"):
        time.sleep(1)
    return current(lab) - began


def current(lab: Lab) -> int:
    """The number of the segment that the primary writes."""
    return int(lab.primary_sql("SELECT div(pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'), 16777216)"))


@contextmanager
def builds(commit: str | None) -> Iterator[dict[str, Path]]:
    """For each build, the directory of collections in which Ansible finds it first."""
    with tempfile.TemporaryDirectory() as scratch:
        places = {NOW: "HEAD", **({BEFORE: commit} if commit else {})}
        for name, of in places.items():
            target = Path(scratch) / name / "ansible_collections/pgfleet/standby"
            target.mkdir(parents=True)
            archive = Path(scratch) / "build.tar"
            for argv in (
                ["git", "-C", str(ROOT), "archive", f"--output={archive}", of],
                ["tar", "-xf", str(archive), "-C", str(target)],
            ):
                subprocess.run(argv, check=True)
        yield {name: Path(scratch) / name for name in places}


def provision(lab: Lab, place: Path) -> float:
    """Seconds until the play has proven that the standby streams."""
    inventories = [f"--inventory={lab.inventory}", f"--inventory={ROOT}/molecule/default/inventory"]
    paths = os.pathsep.join([str(place), os.environ.get("ANSIBLE_COLLECTIONS_PATH", "")])
    began = time.monotonic()
    done = subprocess.run(
        ["ansible-playbook", *inventories, f"--limit={HOST}", PLAYBOOK],
        capture_output=True,
        text=True,
        env=dict(os.environ, ANSIBLE_NOCOLOR="1", ANSIBLE_PIPELINING="1", ANSIBLE_COLLECTIONS_PATH=paths),
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise LabError(f"the play failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return seconds
