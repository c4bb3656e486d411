"""A release's lab is brought up for its tests, and taken down whatever became of them; one a worker at a time."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "molecule" / "lab"
sys.path[:0] = [str(LAB), str(ROOT / "tests" / "lab")]

from lab import STATE, Lab  # noqa: E402 - the lab is a program beside us, not an installed package
from release import RELEASES, Release  # noqa: E402
from standby import Standby  # noqa: E402

# What the tests of each release have shown: docs/versions.md is made of it.
RECORDS = STATE / "releases"
# An image that is missing is built by `up`.
UP_SECONDS, DOWN_SECONDS = 900, 120


def run_lab(release: Release, *arguments: str, timeout: float) -> None:
    """The program as anybody runs it; what it says is in the report of a test that fails."""
    command = [sys.executable, str(LAB / "lab.py"), "--release", release.debian, *arguments]
    subprocess.run(command, check=True, timeout=timeout)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: run by `make long` and not by `make test`, which has 45 minutes")


class ByRelease(LoadScopeScheduling):
    """All tests of a release go to the same worker; by its marks xdist 3.8 does not tell them, with pytest 9."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("[")[2].rstrip("]").partition("-")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByRelease:
    return ByRelease(config, log)


def bring_up(release: Release, standbys: int) -> None:
    """One after the other: two networks that are made at once may get the same addresses."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "releases.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run_lab(release, "up", "--standbys", str(standbys), "--scale", "3", timeout=UP_SECONDS)


@contextmanager
def in_lab(release: Release, standbys: int) -> Iterator[Lab]:
    """The release's lab, fresh."""
    run_lab(release, "down", timeout=DOWN_SECONDS)
    try:
        bring_up(release, standbys)
        yield Lab.load(release)
    finally:
        run_lab(release, "down", timeout=DOWN_SECONDS)


@pytest.fixture(scope="module", params=list(RELEASES.values()), ids=list(RELEASES))
def standby(request: pytest.FixtureRequest) -> Iterator[Standby]:
    """An empty host of the release, and what its tests have made of it so far."""
    release: Release = request.param
    record = RECORDS / f"{release.debian}.json"
    record.unlink(missing_ok=True)
    with in_lab(release, standbys=1) as lab:
        standby = Standby(lab)
        yield standby
        record.write_text(json.dumps(standby.record(), indent=2) + "\n")
